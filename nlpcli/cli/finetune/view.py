"""Shows a training run on standard error: live on a terminal, as plain lines elsewhere."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nlpcli.cli.finetune import curve, rows
from nlpcli.metrics import Figure
from nlpcli.training.history import History, Progress, Scores

if TYPE_CHECKING:
    from rich.text import Text

_DRAWN_SECONDS = 0.1
_LINE_SECONDS = 60.0
_PLAIN_WIDTH = 80
_WIDEST_CURVE = 100
# The head, the rule, an empty line, the progress, and a line of the terminal that stays free.
_LINES_BESIDE = 5


class View:
    """A context manager around the run, which may end anywhere in it.

    It is live where standard error is a terminal that obeys, or with `progress`; else it writes
    lines without control characters. Under `quiet` nothing is shown, unless with `progress`.
    """

    def __init__(self, quiet: bool, progress: bool | None) -> None:
        self._error = _Error()
        self._silent = quiet and not progress
        self._step_lines = progress is not False
        obeys = os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
        wanted = bool(self._error.width) if progress is None else progress
        self._screen = _Screen(self._error) if wanted and obeys and not self._silent else None
        self._columns = rows.columns(())
        self._head_told = False
        self._next = 0.0

    def __enter__(self) -> "View":
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def table(self, read: Sequence[tuple[str, ...]]) -> None:
        """Show what was read; the first row is the head."""
        if self._silent or not read:
            return
        head, *rest = rows.read(read, self._width)
        gap = [] if self._width is None else [""]
        self._error.lines([self._screen.bold(head) if self._screen else head, *rest, *gap])

    def told(self, message: str) -> None:
        """Show a notice, above the live part."""
        if self._silent:
            return
        line = f"nlpcli: {' '.join(message.splitlines())}"
        if self._screen:
            self._screen.above(line)
        else:
            self._error.lines([line])

    def begin(self, figures: Sequence[Figure]) -> None:
        """The run begins, whose scores hold `figures`."""
        self._columns = rows.columns(figures)

    def step(self, progress: Progress) -> None:
        """Show how far the run is, unless that was done a moment ago."""
        if progress.seconds < self._next or self._silent:
            return
        if self._screen:
            self._next = progress.seconds + _DRAWN_SECONDS
            self._screen.step(progress)
        elif self._step_lines:
            # Nothing at the first step: most epochs take less, and have a line of their own.
            if self._next:
                self._error.lines([f"  {rows.told(progress)}"])
            self._next = progress.seconds + _LINE_SECONDS

    def epoch(self, scores: Scores) -> None:
        """Add a row to the table of epochs."""
        if self._silent:
            return
        if self._screen:
            self._screen.epoch(scores, self._columns)
            return
        width = self._width
        chosen = self._columns if width is None else rows.fitting(self._columns, width)
        head = [] if self._head_told else [rows.head(chosen)]
        row = rows.row(chosen, scores, "*" if scores.best else "")
        self._error.lines([line[:width] for line in (*head, row)])
        self._head_told = True
        self._next = scores.seconds + _LINE_SECONDS

    def end(self, history: History) -> None:
        """Leave the table, and on a terminal draw the learning curve below it."""
        self._stop()
        width = self._width
        if self._silent or width is None:
            return
        colour = self._screen is not None and self._screen.styles
        unicode = self._error.shows("⠿●★■└")
        width = min(width, _WIDEST_CURVE)
        if lines := curve.draw(history, width, colour=colour, unicode=unicode):
            self._error.lines(["", *lines, ""])

    @property
    def _width(self) -> int | None:
        """How wide a line may be; None where that does not matter."""
        return self._screen.width if self._screen else self._error.width

    def _stop(self) -> None:
        if self._screen:
            self._screen.stop()


class _Error:
    """Standard error, where nobody may be left to be told. In the place of a text file."""

    def __init__(self) -> None:
        self._file = sys.stderr
        self.encoding = getattr(self._file, "encoding", None) or "utf-8"
        try:
            size = os.get_terminal_size(self._file.fileno()) if self._file.isatty() else None
        except (AttributeError, OSError, ValueError):
            size = None
        self.width = (size.columns or _PLAIN_WIDTH) if size else None
        """The columns of the terminal; None where it is none."""

    def lines(self, lines: Sequence[str]) -> None:
        """Write whole lines, at once."""
        self.write("".join(f"{line}\n" for line in lines))
        self.flush()

    def write(self, text: str) -> None:
        with suppress(AttributeError, OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(AttributeError, OSError, ValueError):
            self._file.flush()

    def shows(self, characters: str) -> bool:
        """Whether `characters` are in its encoding."""
        try:
            characters.encode(self.encoding)
        except (LookupError, UnicodeEncodeError):
            return False
        return True


class _Screen:
    """The live part of a terminal: the table of epochs and the progress."""

    def __init__(self, error: _Error) -> None:
        from rich.console import Console

        self.styles = "NO_COLOR" not in os.environ
        self._console = Console(
            file=error,  # type: ignore[arg-type]
            force_terminal=True,
            force_interactive=True,
            color_system="standard" if self.styles else None,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        self._unicode = error.shows("━─★╸")
        self._live: Any = None
        self._columns: Sequence[rows.Column] = ()
        self._scores: list[Scores] = []
        self._progress: Progress | None = None

    @property
    def width(self) -> int:
        return self._console.width

    def bold(self, line: str) -> str:
        return f"\x1b[1m{line}\x1b[0m" if self.styles else line

    def above(self, line: str) -> None:
        """Show a line above the live part; the terminal wraps it, so that it is copied whole."""
        self._console.print(line, soft_wrap=True)

    def step(self, progress: Progress) -> None:
        self._progress = progress
        self._draw()

    def epoch(self, scores: Scores, columns: Sequence[rows.Column]) -> None:
        self._columns = columns
        self._scores.append(scores)
        self._draw()

    def stop(self) -> None:
        """End the live part; all of its table stays."""
        live, self._live = self._live, None
        if live is None:
            return
        self._progress = None
        live.transient = not self._scores
        live.update(self._content(len(self._scores)))
        live.stop()

    def _draw(self) -> None:
        if self._live is None:
            from rich.live import Live

            # No thread refreshes it: processes may be forked to load data.
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False)
            self._live.start()
        self._live.update(self._content(self._console.height - _LINES_BESIDE), refresh=True)

    def _content(self, most: int) -> Any:
        """The table, of `most` epochs at most, and the progress below it."""
        from rich.console import Group

        lines = self._table(max(most, 1)) if self._scores else []
        if self._progress:
            lines += [*([self._text("")] if lines else []), self._bar(self._progress)]
        return Group(*lines)

    def _table(self, most: int) -> "list[Text]":
        """The newest epochs, and the best one so far."""
        chosen = rows.fitting(self._columns, self.width)
        head = rows.head(chosen)
        rule = "  " + ("─" if self._unicode else "-") * (len(head) - 2)
        lines = [self._text(head, "bold"), self._text(rule, "dim")]
        best = max((n for n, each in enumerate(self._scores) if each.best), default=-1)
        shown = list(range(len(self._scores)))[-most:]
        if 0 <= best < shown[0]:
            shown[0] = best
        star = "★" if self._unicode else "*"
        for number in shown:
            row = rows.row(chosen, self._scores[number], star if number == best else "")
            lines.append(self._text(row, "bold" if number == best else ""))
        return lines

    def _bar(self, progress: Progress) -> "Text":
        done, left = rows.bar(progress, self.width)
        thick, thin = "━─" if self._unicode else "=-"
        line = self._text(thick * done, "cyan")
        line.append(thin * left, "dim")
        return line.append(f"{'  ' if done + left else ''}{rows.told(progress, self.width)}")

    def _text(self, line: str, style: str = "") -> "Text":
        from rich.text import Text

        text = Text(no_wrap=True, overflow="crop")
        return text.append(line[: self.width], style)
