"""Where a job runs: what a job and a runner are, and the table of runners."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar

from nlpcli.backends import choice
from nlpcli.device import Device, cpu_threads
from nlpcli.errors import UsageError
from nlpcli.registry import LocalModel
from nlpcli.tasks import Answer, Task, Text

Key = TypeVar("Key")


class Leg(NamedTuple):
    """One model and the backend that runs it."""

    model: LocalModel
    backend: str


class Job(NamedTuple):
    """All a process needs to answer texts; picklable. The task gets a backend for each leg.

    `gpus` is the number of GPUs that several processes take turns on, from the first."""

    task: Task
    legs: tuple[Leg, ...]
    device: Device
    gpus: int = 1

    def open(self) -> list[Any]:
        """Load the models."""
        return [choice.load(leg.backend, leg.model, self.device) for leg in self.legs]

    def on(self, slot: int) -> Job:
        """The job for the process of that number."""
        if self.gpus == 1:
            return self
        return self._replace(device=self.device._replace(index=slot % self.gpus))

    @property
    def window(self) -> int:
        """The most texts that one of several workers is given at once."""
        return 16 if self.single else 128

    @property
    def single(self) -> bool:
        """Whether it computes on one thread, one text after the other."""
        return all(leg.backend in ("bergamot", "echo") for leg in self.legs)


class Runner(AbstractContextManager["Runner"], Protocol):
    """Answers windows of texts, in order. Each window comes with a key that is handed back."""

    window: int
    """The most texts it wants in one window."""

    def map(
        self, windows: Iterable[tuple[Key, Sequence[Text]]]
    ) -> Iterator[tuple[Key, list[Answer]]]: ...


RUNNERS = {
    "local": "nlpcli.runners.local:Local",
    "pool": "nlpcli.runners.pool:Pool",
    "ray": "nlpcli.runners.ray:Ray",
}


def choose(name: str, job: Job, jobs: int) -> tuple[str, int]:
    """The runner for `name` (auto, or of RUNNERS) and its number of processes (`jobs` 0: chosen).

    `auto` takes the pool where several processes are asked for, where the job is for several GPUs,
    or where every leg computes on one thread and there are more CPUs than that.
    """
    if name not in ("auto", *RUNNERS):
        raise UsageError(f"no such runner: {name}", f"name one of auto, {', '.join(RUNNERS)}")
    if name == "local":
        if jobs > 1:
            raise UsageError("--runner local is one process", "drop --jobs, or use --runner pool")
        return name, 1
    translating = job.single and any(leg.backend == "bergamot" for leg in job.legs)
    count = jobs or (min(job.device.threads, cpu_threads()) if translating else job.gpus)
    if name == "auto":
        return ("local" if count == 1 else "pool"), count
    return name, count


def make(name: str, job: Job, jobs: int, *, at_home: bool = False, address: str = "") -> Runner:
    """The runner `name`, not yet started. `at_home`: a pool answers the first texts itself;
    `address` is that of the Ray cluster ("": one of its own)."""
    module, _, attribute = RUNNERS[name].partition(":")
    kind = getattr(import_module(module), attribute)
    more = {"local": (), "pool": (jobs, at_home), "ray": (jobs, address)}[name]
    runner: Runner = kind(job, *more)
    return runner
