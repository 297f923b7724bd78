"""Draws the learning curve in characters: the losses by step, and below them the figure that tells
which scores are best."""

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from nlpcli.training.axis import Axis, Curves, Point, around, counted, curves_of
from nlpcli.training.history import History

_LOSS_ROWS, _FIGURE_ROWS = 9, 4  # about as many, beside that of the lowest tick
_LEAST_COLUMNS = 10
_DIM, _BOLD = "2", "1"
_TRAINING, _VALIDATION, _FIGURE = "36", "35", "32"
# The bits of the dots of a braille character, row by row.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))

_Cell = tuple[str, str]


def draw(history: History, width: int, *, colour: bool, unicode: bool) -> list[str]:
    """The lines of the drawing, none wider than `width`; none at all where there is nothing to
    draw or no room. With `colour` they hold SGR sequences."""
    curves = curves_of(history)
    losses = [*curves.training, *curves.validation]
    if not losses or not curves.steps:
        return []
    upper = around(losses, 4)
    lower = around(curves.figure, 2) if curves.figure else None
    labels = [axis.label(tick) for axis in (upper, lower) if axis for tick in axis.ticks()]
    margin = max(len("epoch"), *map(len, labels)) + 2
    columns = width - margin
    if columns < _LEAST_COLUMNS:
        return []
    panel = _Panel(upper, curves.steps, _LOSS_ROWS, columns, unicode)
    panel.line(curves.training, _TRAINING)
    panel.marks(curves.validation, _VALIDATION)
    lines = [_legend(curves, margin, width, unicode), *panel.lines(margin)]
    if lower:
        panel = _Panel(lower, curves.steps, _FIGURE_ROWS, columns, unicode)
        panel.line(curves.figure, _FIGURE)
        panel.marks(curves.figure, _FIGURE)
        lines += [[(each, _BOLD) for each in history.figure], *panel.lines(margin)]
    lines += _foot(curves, margin, columns, unicode)
    return [_styled(line[:width], colour) for line in lines]


class _Panel:
    """A field of `columns` and about `rows` of characters, four dots high and two wide each, on
    which the steps run from 0 to `steps`. Each tick of `axis` has the middle of a row."""

    def __init__(self, axis: Axis, steps: int, rows: int, columns: int, unicode: bool) -> None:
        self._axis = axis
        self._steps = steps
        intervals = len(axis.ticks()) - 1
        self._last = intervals * max(round(rows / intervals), 1)
        self._columns = columns
        self._unicode = unicode
        self._dots: dict[tuple[int, int], int] = {}
        self._marks: dict[tuple[int, int], _Cell] = {}
        self._style = ""

    def line(self, points: Sequence[Point], style: str) -> None:
        """Join `points` by straight lines of dots; one by itself is a block, to be seen."""
        self._style = style
        places = [self._place(point) for point in points]
        if len(places) == 1:
            x, y = places[0]
            self._marks[y // 4, x // 2] = (_line(1, self._unicode), style)
        for (x, y), (to_x, to_y) in pairwise(places):
            count = max(abs(to_x - x), abs(to_y - y), 1)
            for part in range(1, count + 1):
                share = part / count
                self._dot(round(x + (to_x - x) * share), round(y + (to_y - y) * share))

    def marks(self, points: Sequence[Point], style: str) -> None:
        """Put a mark on each of `points`; the best comes last and covers its neighbours'."""
        for point in sorted(points, key=lambda point: point.best):
            x, y = self._place(point)
            self._marks[y // 4, x // 2] = (
                _mark(point.best, self._unicode),
                f"{_BOLD};{style}" if point.best else style,
            )

    def lines(self, margin: int) -> list[list[_Cell]]:
        """The rows, each behind its part of the axis, which takes `margin` columns."""
        labels = {self._row(tick) // 4: self._axis.label(tick) for tick in self._axis.ticks()}
        wall, tick = ("│", "┤") if self._unicode else ("|", "+")
        lines = []
        for row in range(self._last + 1):
            label = labels.get(row, "")
            edge = f"{label.rjust(margin - 2)} {tick if label else wall}"
            cells: list[_Cell] = [(each, _DIM) for each in edge]
            cells += [self._cell(row, column) for column in range(self._columns)]
            lines.append(cells)
        return lines

    def _cell(self, row: int, column: int) -> _Cell:
        dots = self._dots.get((row, column), 0)
        blank = (" ", "")
        return self._marks.get((row, column)) or (
            (_character(dots, self._unicode), self._style) if dots else blank
        )

    def _place(self, point: Point) -> tuple[int, int]:
        """The column and the row of a point's dot, from the upper left."""
        return round(point.step / self._steps * (2 * self._columns - 1)), self._row(point.value)

    def _row(self, value: float) -> int:
        return int((1 - self._axis.share(value)) * 4 * self._last + 1.5)

    def _dot(self, x: int, y: int) -> None:
        place = (y // 4, x // 2)
        self._dots[place] = self._dots.get(place, 0) | _DOTS[y % 4][x % 2]


def _character(dots: int, unicode: bool) -> str:
    """The braille character of `dots`, or what in ASCII is as high."""
    if unicode:
        return chr(0x2800 + dots)
    upper, lower = dots & 0x1B, dots & 0xE4
    return ":" if upper and lower else "'" if upper else "."


def _mark(best: bool, unicode: bool) -> str:
    if unicode:
        return "★" if best else "●"
    return "*" if best else "o"


def _line(points: int, unicode: bool) -> str:
    """What stands for a line through so many points."""
    if points > 1:
        return "⠒⠒" if unicode else ".."
    return "■" if unicode else "#"


def _legend(curves: Curves, margin: int, width: int, unicode: bool) -> list[_Cell]:
    """The head of the drawing: what stands for what, as far as there is room."""
    signs = []
    if curves.training:
        signs.append((_line(len(curves.training), unicode), "training", _TRAINING))
    if curves.validation:
        signs.append((_mark(False, unicode), "validation", _VALIDATION))
    if any(point.best for point in curves.validation):
        signs.append((_mark(True, unicode), "best", _VALIDATION))
    cells: list[_Cell] = [(each, _BOLD) for each in "loss".ljust(margin)]
    for sign, told, style in signs:
        if len(cells) + len(f"{sign} {told}") > width:
            break
        cells += [(each, style) for each in sign]
        cells += [(each, "") for each in f" {told}   "]
    return cells


def _foot(curves: Curves, margin: int, columns: int, unicode: bool) -> list[list[_Cell]]:
    """The axis of the steps, their numbers and, where they are known, those of the epochs."""
    steps = counted(curves.steps, max(columns // 12, 2))
    corner, floor, tick = ("└", "─", "┬") if unicode else ("+", "-", "+")
    rule = [floor] * columns
    for value in steps.ticks():
        rule[_column(steps.share(value), columns)] = tick
    edge = " " * (margin - 1) + corner + "".join(rule)
    rows = [edge, _numbers("step", steps, margin, columns)]
    if curves.epoch and curves.steps >= curves.epoch:
        epochs = counted(curves.steps / curves.epoch, max(columns // 8, 2))
        rows.append(_numbers("epoch", epochs, margin, columns))
    return [[(each, _DIM) for each in row] for row in rows]


def _numbers(name: str, axis: Axis, margin: int, columns: int) -> str:
    """The ticks of `axis`, each below its place, as far as there is room."""
    row = name.rjust(margin - 2).ljust(margin)
    for value in axis.ticks():
        label = axis.label(value)
        at = margin + _column(axis.share(value), columns) - (len(label) - 1) // 2
        at = min(at, margin + columns - len(label))
        if at > len(row) or (value == 0 and at >= len(row)):
            row = row.ljust(at) + label
    return row


def _column(share: float, columns: int) -> int:
    """The character that holds the dot at `share` of the way."""
    return round(share * (2 * columns - 1)) // 2


def _styled(cells: Iterable[_Cell], colour: bool) -> str:
    """The characters of `cells`, runs of a style within its SGR sequence."""
    drawn = ""
    for style, run in groupby(cells, key=lambda cell: cell[1]):
        text = "".join(character for character, _ in run)
        drawn += f"\x1b[{style}m{text}\x1b[0m" if colour and style else text
    return drawn if colour else drawn.rstrip()
