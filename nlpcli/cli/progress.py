"""How far a run is, on standard error: only on a terminal, and only once it takes a while."""

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nlpcli.cli import tell

if TYPE_CHECKING:
    from nlpcli.cli.options import Shared

_AFTER_SECONDS = 1.0
_GONE = suppress(OSError)  # a terminal that was closed: nobody is there to be told


class Progress:
    """Records or bytes done, how many per second and the time taken. Silent unless asked for, or
    standard error is a terminal that the output does not go to as well. `total` bytes, where they
    are known (not 0), make it a bar."""

    def __init__(self, given: "Shared", *, in_bytes: bool = False, total: int = 0) -> None:
        to_screen = given.output is None and sys.stdout.isatty()
        automatic = sys.stderr.isatty() and not to_screen and not given.quiet
        self._wanted = automatic if given.progress is None else given.progress
        self._bar: Any = None
        self._in_bytes = in_bytes
        self._total = total
        self._done = 0
        self._begun = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            with _GONE:
                self._bar.stop()

    def advance(self, count: int) -> None:
        """Count `count` more records or bytes as done."""
        self._done += count
        if not self._wanted or time.monotonic() - self._begun < _AFTER_SECONDS:
            return
        seconds = time.monotonic() - self._begun
        taken = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
        told = f"{self._done:,} records  {self._done / seconds:,.0f}/s  {taken}"
        if self._in_bytes:
            of = f" of {self._total / 1e6:,.1f}" if self._total else ""
            rate = f"{self._done / 1e3 / seconds:,.0f} kB/s"
            told = f"{self._done / 1e6:,.1f}{of} MB  {rate}  {taken}"
        with _GONE:
            if self._bar is None:
                self._bar = self._make()
                self._task = self._bar.add_task("", total=self._total or None, told="")
            self._bar.update(self._task, told=told, completed=self._done)

    def tell(self, message: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            tell(message)
        else:
            with _GONE:
                self._bar.console.print(f"nlpcli: {message}", markup=False, highlight=False)

    def _make(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bar

        bar = Bar(
            SpinnerColumn(),
            *((BarColumn(),) if self._total else ()),
            TextColumn("{task.fields[told]}"),
            console=Console(stderr=True),
            transient=True,
        )
        bar.start()
        return bar
