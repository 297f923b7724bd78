"""The job on a Ray cluster: an actor for each worker, each with the model.

This process reads and writes, as with every runner, so outputs, order, errors and resuming are the
same; actors answer windows of texts. Where an actor or its node is lost, another takes its work.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Thread
from typing import Any

from nlpcli import store
from nlpcli.device import cpu_threads
from nlpcli.errors import DeviceError, NlpcliError, UsageError
from nlpcli.notice import notice
from nlpcli.runners import Job, Key
from nlpcli.runners.local import Local
from nlpcli.runners.workers import WorkerDied, Workers
from nlpcli.tasks import Answer, Text

_CONNECT_SECONDS = 20
_WAIT_SECONDS = 10  # for room in the cluster, before it is told
_PASSED_ON = ("HF_", "NLPCLI_", "OPENAI_", "XDG_")


class Ray:
    """`jobs` actors on the cluster at `address` ("": RAY_ADDRESS, else one of this machine alone,
    which ends with the job).

    Raises UsageError without the library, DeviceError where no cluster answers.
    """

    def __init__(self, job: Job, jobs: int, address: str) -> None:
        self.window = job.window
        threads = 1 if job.single else max(1, min(job.device.threads, cpu_threads()) // (jobs or 1))
        self._job = job._replace(device=job.device._replace(threads=threads, index=0))
        self._address = address or os.environ.get("RAY_ADDRESS", "")
        self._workers = Workers(lambda _: Actor(self._ray, self._job), max(1, jobs))
        self._ray: Any = None

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.close()
        if self._ray is not None:
            self._ray.shutdown()

    def map(
        self, windows: Iterable[tuple[Key, Sequence[Text]]]
    ) -> Iterator[tuple[Key, list[Answer]]]:
        self._ray = _connected(self._address, self._job.device.threads)
        yield from self._workers.map(windows)


class Actor:
    """An actor with the model."""

    def __init__(self, ray: Any, job: Job) -> None:
        self._ray = ray
        self._job = job
        gpu = job.device.kind == "cuda"
        kind = ray.remote(num_cpus=job.device.threads, num_gpus=1 if gpu else 0)(_Remote)
        self._actor = kind.remote()

    def begin(self) -> None:
        """Wait for the model. Raises what loading raises."""
        # Not as the actor's environment: Ray would log it, keys and all.
        environment = {k: v for k, v in os.environ.items() if k.startswith(_PASSED_ON)}
        loading = self._actor.load.remote(self._job, environment)
        if not self._ray.wait([loading], timeout=_WAIT_SECONDS)[0]:
            notice("waiting for the cluster to have room for a worker, or for it to load the model")
        self._result(loading)

    def answer(self, texts: Sequence[Text]) -> list[Answer]:
        """One answer for each text. Raises what computing raises, WorkerDied where it is lost."""
        answers: list[Answer] = self._result(self._actor.answer.remote(list(texts)))
        return answers

    def close(self) -> None:
        with contextlib.suppress(Exception):  # the cluster may be gone
            self._ray.kill(self._actor)

    def _result(self, reference: Any) -> Any:
        from ray import exceptions

        try:
            value, error = self._ray.get(reference)
        except (
            exceptions.NodeDiedError,
            exceptions.ObjectLostError,
            exceptions.OutOfMemoryError,
            exceptions.RayActorError,
            exceptions.WorkerCrashedError,
        ) as lost:
            self.close()
            memory = isinstance(lost, exceptions.OutOfMemoryError)
            how = "killed by Ray for want of memory" if memory else "its Ray actor is gone"
            raise WorkerDied(how) from lost
        except exceptions.RayError as problem:
            raise NlpcliError(f"Ray: {' '.join(str(problem).split())[:200]}") from problem
        if error is not None:
            raise error
        return value


class _Remote:
    """What an actor does; errors are values, so that they arrive as they are."""

    def load(self, job: Job, environment: dict[str, str]) -> tuple[None, Exception | None]:
        """Load the models: those of the driver's folders, where these are shared, else this node's
        own, pulled if need be."""
        os.environ.update(environment)
        try:
            legs = tuple(
                leg
                if not leg.model.folder.name or leg.model.folder.exists()
                else leg._replace(model=store.fetch(leg.model.spec))
                for leg in job.legs
            )
            self._local = Local(job._replace(legs=legs))
            self._local.open()
        except Exception as error:
            return None, error
        return None, None

    def answer(self, texts: list[Text]) -> tuple[list[Answer] | None, Exception | None]:
        try:
            return self._local.answer(texts), None
        except Exception as error:
            return None, error


def _connected(address: str, threads: int) -> Any:
    """The library, connected to the cluster at `address`."""
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # by a thread that outlives the job
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("--runner ray needs Ray", "pip install 'nlpcli[ray]'") from None
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    try:
        if not address:
            # Not by a thread: Ray's processes end with the thread that starts them.
            kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                ray.init("local", include_dashboard=False, **settings)
            finally:
                for number, handler in kept.items():  # Ray takes them
                    signal.signal(number, handler)
        else:
            _reachable(address)
            _in_time(lambda: ray.init(address, **settings))
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        why = " ".join(str(error).split())[:150]
        raise DeviceError(
            f"no Ray cluster answers at {address or 'this machine'}: {why}",
            "`ray status` tells of a cluster; for one with a token: RAY_AUTH_MODE=token",
        ) from error
    return ray


def _in_time(connect: Callable[[], Any]) -> None:
    """Call `connect`, and raise what it raises, or TimeoutError with the last that was said on
    standard error: Ray's native part tries for minutes, and tells each time."""
    failure: list[Exception] = []

    def run() -> None:
        try:
            connect()
        except Exception as error:
            failure.append(error)

    with tempfile.TemporaryFile("w+", errors="replace") as said:
        screen = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            thread = Thread(target=run, daemon=True)
            thread.start()
            thread.join(_CONNECT_SECONDS)
        finally:
            os.dup2(screen, 2)
            os.close(screen)
        said.seek(0)
        lines = said.read().splitlines()
    theirs = [line for line in lines if not line.startswith("nlpcli: ")]
    for line in lines:
        if line not in theirs:
            notice(line.removeprefix("nlpcli: "))
    if thread.is_alive():
        why = f": {theirs[-1].rpartition(': ')[2]}" if theirs else ""
        raise TimeoutError(f"no answer in {_CONNECT_SECONDS} seconds{why}")
    if failure:
        raise failure[0]


def _reachable(address: str) -> None:
    """Raise DeviceError where nothing listens at HOST:PORT: Ray would take minutes to tell."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not (host and port.isdecimal()):
        raise UsageError(f"--ray-address {address}: not HOST:PORT", "such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise DeviceError(
            f"no Ray cluster answers at {address}: {error.strerror or error}",
            "start one: ray start --head",
        ) from error
