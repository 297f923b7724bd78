"""How well each label was found and which are taken for one another: tables, and an SVG page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nlpcli.cli.shading import attention_colour, attention_share, code, ink, visible
from nlpcli.metrics.classification import ClassRow

_PAIRS = 20
_LEAST_NAME = 12
_CELL, _FONT, _MARGIN = 34, 13, 24
_LETTER = _FONT * 0.62
_SANS = "system-ui, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"


class Classes(NamedTuple):
    """What a system made of each label. `counts` has a row for each gold label and a column for
    each predicted one, in the order of `rows`; None where a record has any number of labels."""

    rows: list[ClassRow]
    counts: list[list[int]] | None

    @property
    def labels(self) -> list[str]:
        """The labels, safe to be shown."""
        return [visible(row.label) for row in self.rows]


def draw_rows(name: str, found: Classes, screen: Console, digits: int | None) -> None:
    """Draw precision, recall and F1 of every label."""
    table = _table()
    table.add_column("label", overflow="fold")
    for title in ("precision", "recall", "F1", "records"):
        table.add_column(title, justify="right", no_wrap=True)
    for label, row in zip(found.labels, found.rows, strict=True):
        figures = (row.precision, row.recall, row.f1)
        told = [f"{value:.{3 if digits is None else digits}f}" for value in figures]
        table.add_row(Text(label), *told, f"{row.support:,}")
    _print(screen, f"{name}: by label", table)


def draw_counts(name: str, found: Classes, screen: Console) -> None:
    """Draw the matrix where it fits the screen, and else the labels most often confused."""
    counts = found.counts or []
    cell = max(len(str(each)) for each in [len(counts), *(n for row in counts for n in row)])
    fits = _LEAST_NAME + (cell + 2) * len(counts) <= screen.width
    if fits:
        _print(screen, f"{name}: gold by row, said by column", _matrix(found.labels, counts))
    else:
        _print(screen, f"{name}: gold labels and what was said", _pairs(found.labels, counts))


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")


def _print(screen: Console, title: str, table: Table) -> None:
    screen.print()
    screen.print(Text(title, "bold"))
    screen.print(table)


def _matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Table:
    table = _table()
    table.add_column("label", overflow="fold")
    for number in range(1, len(labels) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    for number, (label, row) in enumerate(zip(labels, counts, strict=True), 1):
        cells = [
            Text(str(count) if count else "·", _style(count, number == place))
            for place, count in enumerate(row, 1)
        ]
        table.add_row(Text(f"{number} {label}"), *cells)
    return table


def _style(count: int, right: bool) -> str:
    return "dim" if not count else "bold green" if right else "red"


def _pairs(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Table:
    """The labels most often confused."""
    wrong = [
        (count, labels[y], labels[x])
        for y, row in enumerate(counts)
        for x, count in enumerate(row)
        if count and x != y
    ]
    wrong.sort(key=lambda pair: -pair[0])
    table = _table()
    table.add_column("records", justify="right", no_wrap=True)
    table.add_column("gold", overflow="fold")
    table.add_column("said", overflow="fold")
    for count, gold, said in wrong[:_PAIRS]:
        table.add_row(f"{count:,}", Text(gold), Text(said))
    if more := wrong[_PAIRS:]:
        table.add_row(f"{sum(count for count, _, _ in more):,}", "", f"{len(more):,} other pairs")
    return table


def page(systems: Sequence[tuple[str, Classes]]) -> str:
    """An SVG page with the confusion matrix of each system, shaded by the share of its row."""
    parts: list[str] = []
    top, width = float(_MARGIN), 0.0
    for name, found in systems:
        label = max(map(cell_len, found.labels)) * _LETTER
        side = _CELL * len(found.rows)
        head = 3 * _FONT + label * 0.75
        title = f"{visible(name)}: gold by row, said by column"
        body = "\n".join(_drawn(title, found, label, head))
        parts.append(f'<g transform="translate({_MARGIN} {top:g})">\n{body}\n</g>')
        top += head + side + 2 * _MARGIN
        width = max(width, cell_len(title) * _LETTER, label + side + label * 0.75 + 8)
    width += 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{top:.0f}"'
        f' viewBox="0 0 {width:.0f} {top:.0f}" font-family="{_SANS}" font-size="{_FONT}">\n'
        '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _drawn(title: str, found: Classes, left: float, top: float) -> Iterator[str]:
    """The matrix with its cells from `left` and `top` on, labels in the room before them."""
    yield f'<text y="{_FONT}" font-weight="600">{escape(title)}</text>'
    for place, label in enumerate(found.labels):
        middle = (place + 0.5) * _CELL
        y, x = top + middle + _FONT / 3, left + 8 + middle
        yield f'<text x="{left:.1f}" y="{y:.1f}" text-anchor="end">{escape(label)}</text>'
        turned = f'transform="translate({x:.1f} {top - 6:.1f}) rotate(-45)"'
        yield f"<text {turned}>{escape(label)}</text>"
    for row, counts in enumerate(found.counts or ()):
        for column, count in enumerate(counts):
            colour = attention_colour(attention_share(count, sum(counts)))
            x, y = left + 8 + column * _CELL, top + row * _CELL
            yield (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{_CELL}" height="{_CELL}"'
                f' fill="{code(colour)}" stroke="white"/>'
            )
            if count:
                where = f'x="{x + _CELL / 2:.1f}" y="{y + _CELL / 2 + _FONT / 3:.1f}"'
                size = min(_FONT, 1.5 * _CELL / len(str(count)))
                yield (
                    f'<text {where} font-size="{size:.1f}" text-anchor="middle"'
                    f' fill="{code(ink(colour))}">{count}</text>'
                )
