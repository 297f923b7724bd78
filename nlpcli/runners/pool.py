"""The job in several processes of this machine, each with the model; answers keep their order.

Where nobody asked for processes, the first windows are answered in this one, so that a few lines
never wait for processes to start; those start when more comes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any, NoReturn

from nlpcli import notice
from nlpcli.runners import Job, Key
from nlpcli.runners.local import Local
from nlpcli.runners.workers import WorkerDied, Workers
from nlpcli.tasks import Answer, Text

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_AT_HOME = 24
_HELD_BACK = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Pool:
    """`jobs` processes, `at_home` where the first texts are answered in this one."""

    def __init__(self, job: Job, jobs: int, at_home: bool) -> None:
        self.window = job.window
        self._at_home = _AT_HOME if at_home else 0
        self._local = Local(job)
        threads = max(1, job.device.threads // jobs)
        shared = job._replace(device=job.device._replace(threads=threads))
        self._workers = Workers(lambda slot: Process(shared.on(slot)), jobs)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self._local.close()
        self._workers.close()

    def map(
        self, windows: Iterable[tuple[Key, Sequence[Text]]]
    ) -> Iterator[tuple[Key, list[Answer]]]:
        rest = iter(windows)
        answered = 0
        while answered < self._at_home and (window := next(rest, None)):
            yield window[0], self._local.answer(window[1])
            answered += len(window[1])
        self._local.close()  # the device is the workers' now
        yield from self._workers.map(rest)


class Process:
    """A process with the model."""

    def __init__(self, job: Job) -> None:
        from multiprocessing import get_context, resource_tracker

        # Spawned, not forked: threads and loaded engines do not survive a fork.
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, job, notice.quiet), daemon=True
        )
        # What ends a job, such as Ctrl-C, reaches all processes of a terminal: this one decides.
        resource_tracker.ensure_running()  # starting it would unblock the signals
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        theirs.close()

    def begin(self) -> None:
        """Wait for the model. Raises what loading raises."""
        self._receive()

    def answer(self, texts: Sequence[Text]) -> list[Answer]:
        """One answer for each text. Raises what computing raises, WorkerDied where it ends."""
        try:
            self._connection.send(list(texts))
        except OSError:
            self._ended()
        answers: list[Answer] = self._receive()
        return answers

    def close(self) -> None:
        self._process.kill()

    def _receive(self) -> Any:
        try:
            value, error = self._connection.recv()
        except (EOFError, OSError):
            self._ended()
        if error is not None:
            raise error
        return value

    def _ended(self) -> NoReturn:
        self._process.kill()
        self._process.join()
        self._connection.close()
        code = self._process.exitcode or 0
        raise WorkerDied(f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}")


def _serve(connection: Connection, job: Job, quiet: bool) -> None:
    """What a process does: load the models, then answer until its parent is gone."""
    notice.quiet = quiet
    for number in _HELD_BACK:
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_follow, daemon=True).start()
    local = Local(job)
    try:
        local.open()
        connection.send((None, None))
        while True:
            texts = connection.recv()
            try:
                result: tuple[Any, Exception | None] = local.answer(texts), None
            except Exception as error:
                result = None, error
            connection.send(result)
    except EOFError:
        pass
    except Exception as error:
        connection.send((None, error))


def _follow() -> None:
    """Leave when the parent does, however that came."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
