"""How far a run is, on standard error: only on a terminal, and only once it takes a while."""

import sys
import time
from typing import TYPE_CHECKING, Any

from nlpcli.cli import tell

if TYPE_CHECKING:
    from nlpcli.cli.options import Shared

_AFTER_SECONDS = 1.0


class Progress:
    """Records done, records per second and time taken. Silent unless asked for, or standard error
    is a terminal that the output does not go to as well."""

    def __init__(self, given: "Shared") -> None:
        to_screen = given.output is None and sys.stdout.isatty()
        automatic = sys.stderr.isatty() and not to_screen and not given.quiet
        self._wanted = automatic if given.progress is None else given.progress
        self._bar: Any = None
        self._done = 0
        self._begun = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """Count `count` more records as done."""
        self._done += count
        if not self._wanted or time.monotonic() - self._begun < _AFTER_SECONDS:
            return
        if self._bar is None:
            self._bar = self._make()
            self._task = self._bar.add_task("", total=None, told="")
        seconds = time.monotonic() - self._begun
        taken = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
        told = f"{self._done:,} records  {self._done / seconds:,.0f}/s  {taken}"
        self._bar.update(self._task, told=told)

    def tell(self, message: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            tell(message)
        else:
            self._bar.console.print(f"nlpcli: {message}", markup=False, highlight=False)

    def _make(self) -> Any:
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn

        bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.fields[told]}"),
            console=Console(stderr=True),
            transient=True,
        )
        bar.start()
        return bar
