"""Ctrl-C and SIGTERM while a model trains: the first saves and leaves, the second just leaves."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from nlpcli.errors import Terminated


class Leaving(AbstractContextManager["Leaving"]):
    """`asked` is set by the first signal, to what is to be raised once all is saved."""

    def __init__(self) -> None:
        self.asked: type[BaseException] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Leaving:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        kind = KeyboardInterrupt if number == signal.SIGINT else Terminated
        if self.asked is not None:
            raise kind
        self.asked = kind
