"""Several workers that answer texts, wherever they run, and what happens where one dies.

The texts that a worker had are given to another. Texts that take a second worker with them are
halved, until the one that ends every worker is found: its answer is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple, Protocol

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


class NoneBegins(DeviceError):
    """Workers end while they load the model, again and again."""


class Worker(Protocol):
    """Answers texts with a model of its own. Raises WorkerDied where it ends."""

    def begin(self) -> None:
        """Load the model. Raises what loading raises."""

    def answer(self, texts: Sequence[Text]) -> list[Answer]: ...

    def close(self) -> None: ...


class _Task(NamedTuple):
    """Texts to answer; `died` workers have ended over these very texts."""

    texts: list[Text]
    future: Future[list[Answer]]
    died: int = 0


class Workers:
    """`count` workers; `start(slot)` makes the one of that number, which then begins.

    A worker takes work when it has begun: what one that does not begin would do, others do.
    """

    def __init__(self, start: Callable[[int], Worker], count: int) -> None:
        self._start = start
        self._count = count
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._workers: list[Worker | None] = [None] * count
        self._threads: list[Thread] = []
        self._left = 0  # threads that have not withdrawn
        self._changing = Lock()
        self._closed = False

    def close(self) -> None:
        """End all workers, whatever they are at."""
        with self._changing:
            self._closed = True
            for worker in self._workers:
                if worker:
                    worker.close()
        for _ in self._threads:
            self._tasks.put(None)

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
        self._tasks.put(_Task(texts, future))
        if len(self._threads) < self._count:
            thread = Thread(target=self._work, args=(len(self._threads),), daemon=True)
            self._threads.append(thread)
            with self._changing:
                self._left += 1
            thread.start()
        return future

    def _work(self, slot: int) -> None:
        """Answer what is asked, by one worker after another."""
        while True:
            try:
                worker, failure = self._workers[slot] or self._begun(slot), None
            except BaseException as error:
                failure = error
                if isinstance(error, NoneBegins) and not self._closed and self._withdraw():
                    notice(f"{error.message}: going on with fewer")
                    return
            task = self._tasks.get()
            if task is None or self._closed:
                return
            try:
                if failure:
                    raise failure
                task.future.set_result(worker.answer(task.texts))
            except WorkerDied as death:
                self._workers[slot] = None
                self._again(task._replace(died=task.died + 1), death)
            except BaseException as error:
                task.future.set_exception(error)

    def _withdraw(self) -> bool:
        """Go on without this worker, unless it is the last."""
        with self._changing:
            others = self._left > 1
            self._left -= others
        return others

    def _begun(self, slot: int) -> Worker:
        for attempt in range(1, _STARTS + 1):
            try:
                with self._changing:
                    if self._closed:
                        raise WorkerDied("the job is over")
                    worker = self._workers[slot] = self._start(slot)
                worker.begin()
                break
            except WorkerDied as death:
                self._workers[slot] = None
                if attempt == _STARTS or self._closed:
                    raise NoneBegins(
                        f"workers end while they load the model ({death})",
                        "they may need more memory: try fewer --jobs",
                    ) from death
            except BaseException:
                self._workers[slot] = None
                raise
        return worker

    def _again(self, task: _Task, death: WorkerDied) -> None:
        """Have the texts that a worker ended over answered by others."""
        alone = len(task.texts) == 1
        if self._closed:
            task.future.set_exception(death)
        elif alone and task.died >= _TRIES_ALONE:
            error = f"ends every worker that computes it ({death})"
            task.future.set_result([Answer({}, error=error)])
        else:
            if not alone or task.died == 1:
                notice(f"a worker ended ({death}); what it had is computed again")
            if alone or task.died == 1:
                self._tasks.put(task)
            else:
                self._halve(task)

    def _halve(self, task: _Task) -> None:
        half = len(task.texts) // 2
        first, second = (_Task(t, Future(), 1) for t in (task.texts[:half], task.texts[half:]))

        def join(_: object) -> None:
            try:
                task.future.set_result(first.future.result() + second.future.result())
            except BaseException as error:
                task.future.set_exception(error)

        first.future.add_done_callback(lambda _: second.future.add_done_callback(join))
        self._tasks.put(first)
        self._tasks.put(second)
