"""The first SIGINT or SIGTERM lets a job finish what is in flight; the second leaves at once.

A thread of its own hears them, so that a long computation in the main thread does not keep them
waiting.
"""

import os
import signal
from threading import Event, Thread
from types import TracebackType

from nlpcli.cli import tell
from nlpcli.errors import ExitCode

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupt:
    """Used as a context. `stop` is set with the first signal, `code` is then what to leave with."""

    def __init__(self) -> None:
        self.stop = Event()
        self.code = ExitCode.DONE
        self._kept = {number: signal.getsignal(number) for number in _SIGNALS}

    def __enter__(self) -> "Interrupt":
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number, handler in self._kept.items():
            if handler is not signal.SIG_IGN:  # nohup has it ignored
                signal.signal(number, _heard)
        Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._kept.items():
            signal.signal(number, handler)
        os.close(self._writing)

    def _listen(self) -> None:
        """Act on the signals as they come, each a byte of the pipe."""
        while number := os.read(self._reading, 1):
            if number[0] not in _SIGNALS:
                continue
            if self.stop.is_set():
                tell("interrupted" if self.code == ExitCode.INTERRUPTED else "terminated")
                os._exit(self.code)
            interrupted = number[0] == signal.SIGINT
            self.code = ExitCode.INTERRUPTED if interrupted else ExitCode.TERMINATED
            self.stop.set()
            tell("finishing what is in flight; once more leaves at once")
        os.close(self._reading)


def _heard(number: int, frame: object) -> None:
    """The listening thread acts on it."""
