"""The report as a table for a person: systems and figures, and the signatures below."""

from __future__ import annotations

import os
import sys
from io import StringIO
from math import isnan

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nlpcli.cli.eval.score import Column, Report, Score

_PLAIN_WIDTH = 80
_SIGNIFICANT = 0.05


def console(path: str | None) -> tuple[Console, StringIO]:
    """A console that draws into memory, with the width and colours of where it is shown."""
    drawn = StringIO()
    shown = path is None and sys.stdout.isatty()
    plain = not shown or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) else _PLAIN_WIDTH
    if shown:
        width = os.get_terminal_size(sys.stdout.fileno()).columns or width
    made = Console(
        file=drawn,
        width=max(width, 30),
        force_terminal=not plain,
        no_color=plain,
        color_system=None if plain else "standard",
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    return made, drawn


def draw(made: Report, screen: Console, digits: int | None) -> None:
    """Draw the scores and what they rest on."""
    if len(made.data.systems) == 1:
        screen.print(_single(made, digits))
    else:
        for some in _fitting(made, screen.width, digits):
            screen.print(_several(made, some, digits))
        if made.test != "none":
            first = made.data.systems[0].name
            told = "bootstrap" if made.test == "bootstrap" else "approximate randomization"
            screen.print(Text(f"p: paired {told} against {first}; * below {_SIGNIFICANT:g}", "dim"))
    _signatures(made, screen)


def number(value: float, column: Column, digits: int | None) -> str:
    """A score as tables show it; a dash for what is not known."""
    if isnan(value):
        return "–"
    return f"{value:.{column.figure.digits if digits is None else digits}f}"


def _single(made: Report, digits: int | None) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column(Text(made.data.systems[0].name), overflow="fold")
    table.add_column("score", justify="right")
    if any(column.scores[0].interval for column in made.shown):
        table.add_column("95 % interval", justify="right")
    for column in made.shown:
        score = column.scores[0]
        cells = [column.figure.title, number(score.value, column, digits)]
        if score.interval:
            half = number(score.interval.half, column, digits)
            cells.append(f"{number(score.interval.mean, column, digits)} ± {half}")
        table.add_row(*cells)
    return table


def _several(made: Report, columns: list[Column], digits: int | None) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("system", overflow="fold")
    for column in columns:
        table.add_column(_title(column), justify="right", no_wrap=True)
    for row, system in enumerate(made.data.systems):
        table.add_row(
            Text(system.name), *(_cell(column.scores[row], column, digits) for column in columns)
        )
    return table


def _title(column: Column) -> str:
    return f"{column.figure.title} {'↑' if column.figure.higher else '↓'}"


def _cell(score: Score, column: Column, digits: int | None) -> Text:
    text = number(score.value, column, digits)
    if score.interval:
        text += f" ± {number(score.interval.half, column, digits)}"
    if score.p_value is not None:
        star = "*" if score.p_value < _SIGNIFICANT else " "
        text += f"\np {score.p_value:.3f}{star}"
    return Text(text, justify="right")


def _fitting(made: Report, width: int, digits: int | None) -> list[list[Column]]:
    """The columns in as few tables as fit the width, each with half of it for the names."""
    names = min(max(cell_len(system.name) for system in made.data.systems), width // 2)
    tables: list[list[Column]] = [[]]
    room = width - names
    for column in made.shown:
        widths = [len(_title(column))]
        widths += [
            len(line) for s in column.scores for line in _cell(s, column, digits).plain.split("\n")
        ]
        need = max(widths) + 2
        if tables[-1] and need > room:
            tables.append([])
            room = width - names
        tables[-1].append(column)
        room -= need
    return tables


def _signatures(made: Report, screen: Console) -> None:
    """Each signature once, behind the figures that it is of."""
    owners: dict[str, list[str]] = {}
    for column in made.shown:
        owners.setdefault(column.signature, []).append(column.figure.title)
    names = {
        signature: titles[0] if len(titles) == 1 else f"{titles[0]} …"
        for signature, titles in owners.items()
    }
    indent = max(map(cell_len, names.values())) + 2
    for signature, name in names.items():
        first, *rest = _breakable(signature, screen.width - indent)
        screen.print(Text(f"{set_cell_size(name, indent)}{first}", "dim"))
        for line in rest:
            screen.print(Text(f"{' ' * indent}{line}", "dim"))


def _breakable(signature: str, width: int) -> list[str]:
    """The signature in lines that end with a bar."""
    lines = [""]
    for part in signature.split("|"):
        joined = f"{lines[-1]}|{part}" if lines[-1] else part
        if len(joined) + 1 > width and lines[-1]:
            lines[-1] += "|"
            lines.append(part)
        else:
            lines[-1] = joined
    return lines
