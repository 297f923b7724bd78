"""Several workers that answer texts, wherever they run, and what happens where one dies.

The texts that a worker had are given to another. Texts that take a second worker with them are
halved, until the one that ends every worker is found: its answer is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from nlpcli.batching import ahead
from nlpcli.errors import DeviceError
from nlpcli.notice import notice
from nlpcli.runners import Key
from nlpcli.tasks import Answer, Text

_WINDOWS_AHEAD = 4  # for each worker
_STARTS = 3  # in a row that may fail
_TRIES_ALONE = 3  # of one text


class WorkerDied(Exception):
    """A worker ended in the midst of its work; the text says how, such as `killed by SIGKILL`."""


class Worker(Protocol):
    """Answers texts with a model of its own. Raises WorkerDied where it ends."""

    def answer(self, texts: Sequence[Text]) -> list[Answer]: ...

    def close(self) -> None: ...


class Workers:
    """`count` workers; `start(slot)` makes the one of that number, with its model loaded."""

    def __init__(self, start: Callable[[int], Worker], count: int) -> None:
        self._start = start
        self._count = count
        self._asked: SimpleQueue[tuple[list[Text], Future[list[Answer]]] | None] = SimpleQueue()
        self._workers: list[Worker | None] = [None] * count
        self._threads: list[Thread] = []
        self._closed = False

    def close(self) -> None:
        """End all workers, whatever they are at."""
        self._closed = True
        for worker in self._workers:
            if worker:
                worker.close()
        for _ in self._threads:
            self._asked.put(None)

    def map(
        self, windows: Iterable[tuple[Key, Sequence[Text]]]
    ) -> Iterator[tuple[Key, list[Answer]]]:
        """The answers to the windows, in order; a few windows for each worker are read ahead."""
        submitted = ((key, self._submit(list(texts))) for key, texts in windows)
        for key, future in ahead(submitted, _WINDOWS_AHEAD * self._count):
            yield key, future.result()

    def _submit(self, texts: list[Text]) -> Future[list[Answer]]:
        future: Future[list[Answer]] = Future()
        if not texts:
            future.set_result([])
            return future
        self._asked.put((texts, future))
        if len(self._threads) < self._count:
            thread = Thread(target=self._work, args=(len(self._threads),), daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def _work(self, slot: int) -> None:
        while (item := self._asked.get()) is not None:
            texts, future = item
            try:
                future.set_result(self._answer(slot, texts))
            except BaseException as error:
                future.set_exception(error)

    def _answer(self, slot: int, texts: list[Text], died: int = 0) -> list[Answer]:
        """The answers; `died` workers have ended over these very texts."""
        try:
            return self._worker(slot).answer(texts)
        except WorkerDied as death:
            self._workers[slot] = None
            if self._closed:
                raise
            how = str(death)
        died += 1
        if len(texts) == 1 and died >= _TRIES_ALONE:
            return [Answer({}, error=f"ends every worker that computes it ({how})")]
        if not (len(texts) == 1 and died > 1):
            notice(f"a worker ended ({how}); what it had is computed again")
        if len(texts) == 1 or died == 1:
            return self._answer(slot, texts, died)
        half = len(texts) // 2
        return self._answer(slot, texts[:half], 1) + self._answer(slot, texts[half:], 1)

    def _worker(self, slot: int) -> Worker:
        worker = self._workers[slot]
        for attempt in range(1, _STARTS + 1):
            if worker:
                break
            try:
                worker = self._workers[slot] = self._start(slot)
            except WorkerDied as death:
                if attempt == _STARTS or self._closed:
                    raise DeviceError(
                        f"workers end while they load the model ({death})",
                        "they may need more memory: try fewer --jobs",
                    ) from death
        assert worker is not None
        return worker
