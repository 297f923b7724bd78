"""The job in several processes of this machine, each with the model; answers keep their order.

The first windows are answered in this process, so that a few lines never wait for processes to
start; those start when more comes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from threading import Thread
from typing import TYPE_CHECKING

from nlpcli.batching import ahead
from nlpcli.errors import NlpcliError
from nlpcli.runners import Job, Key
from nlpcli.runners.local import Local
from nlpcli.tasks import Answer, Text

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

_AT_HOME = 24
_WINDOWS_AHEAD = 4


class Pool:
    """`jobs` processes. A process that dies ends the job."""

    window = 16

    def __init__(self, job: Job, jobs: int) -> None:
        self._jobs = jobs
        threads = max(1, job.device.threads // jobs)
        self._job = job._replace(device=job.device._replace(threads=threads))
        self._local = Local(job)
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self._local.__exit__(*error)
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def map(
        self, windows: Iterable[tuple[Key, Sequence[Text]]]
    ) -> Iterator[tuple[Key, list[Answer]]]:
        rest = iter(windows)
        answered = 0
        for key, texts in rest:
            yield key, self._local.answer(texts)
            answered += len(texts)
            if answered >= _AT_HOME:
                yield from self._spread(rest)

    def _spread(
        self, windows: Iterator[tuple[Key, Sequence[Text]]]
    ) -> Iterator[tuple[Key, list[Answer]]]:
        """The answers of the worker processes."""
        from concurrent.futures.process import BrokenProcessPool

        submitted = ((key, self._submit(texts)) for key, texts in windows)
        for key, future in ahead(submitted, _WINDOWS_AHEAD * self._jobs):
            try:
                yield key, future.result()
            except BrokenProcessPool:
                raise NlpcliError(
                    "a worker process died", "it may have run out of memory: try fewer --jobs"
                ) from None

    def _submit(self, texts: Sequence[Text]) -> Future[list[Answer]]:
        if self._executor is None:
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            # Spawned, not forked: threads and loaded engines do not survive a fork.
            self._executor = ProcessPoolExecutor(
                self._jobs, get_context("spawn"), initializer=_begin, initargs=(self._job,)
            )
        return self._executor.submit(_answer, list(texts))


_worker: Local | None = None


def _begin(job: Job) -> None:
    """Set up a worker. Ctrl-C reaches all processes of a terminal; only the parent acts on it, and
    a worker whose parent is gone, however that came, goes too."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_follow, daemon=True).start()
    _worker = Local(job)


def _follow() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answer(texts: list[Text]) -> list[Answer]:
    assert _worker is not None
    return _worker.answer(texts)
