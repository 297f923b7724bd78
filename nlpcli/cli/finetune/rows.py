"""The lines that show a run, as text: what was read, the table of epochs, and how far it is."""

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite, nan
from typing import NamedTuple

from nlpcli.cli.shading import visible
from nlpcli.metrics import Figure
from nlpcli.training.history import Progress, Scores

_GAP = "  "
_MARK = 2  # columns for the mark of the best, before those of the table
_BAR = (10, 40)
_LARGEST_FIXED = 1e5


class Column(NamedTuple):
    """A column of the table of epochs, `width` wide, and its text for an epoch's scores."""

    title: str
    width: int
    cell: Callable[[Scores], str]


def columns(figures: Sequence[Figure]) -> list[Column]:
    """The table's columns: where the run is, the losses, the task's figures, and the time."""
    return [
        Column("epoch", 5, lambda scores: _epoch(scores.epoch)),
        Column("step", 7, lambda scores: f"{scores.step:,}"),
        Column("train loss", 10, lambda scores: loss(scores.training)),
        Column("valid loss", 10, lambda scores: loss(scores.loss)),
        *(
            Column(each.title, max(len(each.title), each.digits + 4), partial(_figure, each))
            for each in figures
        ),
        Column("time", 7, lambda scores: clock(scores.seconds)),
    ]


def fitting(chosen: Sequence[Column], width: int) -> list[Column]:
    """As many of the columns as `width` has room for: the step and the time go first, then the
    training loss, then the last of the figures."""
    left = list(chosen)
    for title in ("step", "time", "train loss"):
        if _width(left) > width:
            left = [column for column in left if column.title != title]
    while _width(left) > width and len(left) > 1:
        left.pop()
    return left


def head(chosen: Sequence[Column]) -> str:
    """The titles of the table's columns."""
    return " " * _MARK + _GAP.join(column.title.rjust(column.width) for column in chosen)


def row(chosen: Sequence[Column], scores: Scores, mark: str = "") -> str:
    """A row of the table, `mark` before it."""
    cells = (column.cell(scores).rjust(column.width) for column in chosen)
    return mark.ljust(_MARK) + _GAP.join(cells)


def told(progress: Progress, width: int | None = None) -> str:
    """How far the run is, in words; in as many as leave room for a bar where there is a width."""
    of = f"/{progress.epochs:g}" if progress.epochs else ""
    steps = f"{progress.step:,}/{progress.steps:,}"
    epoch = f"epoch {progress.epoch:.1f}{of}"
    now = f"loss {loss(progress.loss)}" if isfinite(progress.loss) else ""
    rate = f"{progress.rate:,.0f}" if progress.rate >= 10 else f"{progress.rate:.1f}"
    taken = clock(progress.seconds)
    left = f"{clock(progress.left)} left" if isfinite(progress.left) else ""
    fullest = [steps, epoch, now, f"{rate} records/s", taken, left]
    if width is None:
        return _GAP.join(filter(None, [f"step {steps}", *fullest[1:]]))
    shorter = [[steps, epoch, now, taken, left], [steps, now, left], [steps]]
    for parts in (fullest, [*fullest[:3], f"{rate}/s", *fullest[4:]], *shorter):
        line = _GAP.join(filter(None, parts))
        if len(line) + len(_GAP) + _BAR[0] <= width:
            return line
    return steps[:width]


def bar(progress: Progress, width: int) -> tuple[int, int]:
    """How many characters of a bar are done and how many are left, beside what is told in
    `width`."""
    room = width - len(told(progress, width)) - len(_GAP)
    length = min(room, _BAR[1]) if room >= _BAR[0] else 0
    share = progress.step / progress.steps if progress.steps else 0.0
    done = int(min(share, 1.0) * length)
    return done, length - done


def read(rows: Sequence[tuple[str, ...]], width: int | None = None) -> list[str]:
    """The table of what was read. In a `width`, values that are too long keep their end."""
    from rich.cells import cell_len, set_cell_size

    cells = [[visible(cell) for cell in each] for each in rows]
    first, *rest = (max(map(cell_len, column)) for column in zip(*cells, strict=True))
    if width is not None:
        first = min(first, width // 2)
        room = max(width - first - 2 * len(_GAP), 2)
        rest = [min(own, max(room - sum(rest) + own, room // 2)) for own in rest]
    lines = []
    for name, *values in cells:
        line = set_cell_size(name, first)
        for value, most in zip(values, rest, strict=True):
            shown = _end(value, most)
            line += _GAP + " " * (most - cell_len(shown)) + shown
        lines.append(line.rstrip())
    return lines


def loss(value: float) -> str:
    """A loss with four decimals, or in powers of ten where it is very large."""
    return f"{value:.4f}" if abs(value) < _LARGEST_FIXED else f"{value:.3e}"


def clock(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    whole = int(max(seconds, 0.0))
    minutes, rest = divmod(whole, 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if whole >= 3600 else f"{minutes}:{rest:02}"
    )


def _epoch(value: float) -> str:
    """A whole number of passes as such, else with two decimals."""
    return f"{value:.2f}".removesuffix(".00")


def _figure(figure: Figure, scores: Scores) -> str:
    return f"{scores.figures.get(figure.name, nan):.{figure.digits}f}"


def _width(chosen: Sequence[Column]) -> int:
    return _MARK + sum(column.width for column in chosen) + len(_GAP) * (len(chosen) - 1)


def _end(text: str, room: int) -> str:
    """`text`, or as much of its end as `room` columns hold."""
    from rich.cells import cell_len

    if cell_len(text) <= room:
        return text
    while cell_len(text) > room - 1:
        text = text[1:]
    return f"…{text}"
