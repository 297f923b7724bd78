"""Single records in tables: all of them, or those that score least, with what differs marked."""

from __future__ import annotations

import math
from difflib import SequenceMatcher

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nlpcli.cli.eval.export import has_records
from nlpcli.cli.eval.score import Report
from nlpcli.cli.eval.table import number
from nlpcli.cli.shading import visible


def draw(made: Report, screen: Console, digits: int | None) -> None:
    """Draw the scores of every record of each system."""
    columns = [column for column in made.shown if has_records(column)]
    scores = [column.by_record() for column in columns]
    for row, system in enumerate(made.data.systems):
        table = _table()
        for title in ("record", *(column.figure.title for column in columns)):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("output", ratio=1, overflow="fold")
        for place, output in enumerate(system.outputs):
            values = zip(columns, scores, strict=True)
            told = [number(each[row][place], column, digits) for column, each in values]
            table.add_row(str(place + 1), *told, Text(visible(output)))
        _print(screen, f"{system.name}: by record", table)


def draw_documents(made: Report, screen: Console, name: str, digits: int | None) -> None:
    """Draw the scores of every document, of each system; `name` is what tells documents apart."""
    columns = [column for column in made.shown if column.by_document]
    for row, system in enumerate(made.data.systems):
        table = _table()
        table.add_column(name, overflow="fold")
        for title in ("records", *(column.figure.title for column in columns)):
            table.add_column(title, justify="right", no_wrap=True)
        for place, (document, records) in enumerate(made.documents.items()):
            told = [number((c.by_document or [])[row][place], c, digits) for c in columns]
            table.add_row(Text(visible(document)), f"{len(records):,}", *told)
        _print(screen, f"{system.name}: by {name}", table)


def draw_worst(made: Report, screen: Console, count: int, digits: int | None) -> None:
    """Draw the `count` records of each system that score least by the first figure shown."""
    column = made.shown[0]
    sign = 1 if column.figure.higher else -1
    for system, scores in zip(made.data.systems, column.by_record(), strict=True):
        known = [place for place, value in enumerate(scores) if math.isfinite(value)]
        ranked = sorted(known, key=lambda place: sign * scores[place])[:count]
        table = _table()
        table.add_column("record", justify="right", no_wrap=True)
        table.add_column(column.figure.title, justify="right", no_wrap=True)
        table.add_column("output", ratio=1, overflow="fold")
        if any(made.data.references):
            table.add_column("reference", ratio=1, overflow="fold")
        for place in ranked:
            told = number(scores[place], column, digits)
            references = made.data.references[place]
            texts = _marked(system.outputs[place], *references[:1])
            table.add_row(str(place + 1), told, *texts)
        _print(screen, f"{system.name}: worst by {column.figure.title}", table)


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", expand=True)


def _print(screen: Console, title: str, table: Table) -> None:
    screen.print()
    screen.print(Text(title, "bold"))
    screen.print(table)


def _marked(output: str, reference: str | None = None) -> tuple[Text, ...]:
    """Both texts, with the words that the other lacks in brackets and in colour."""
    if reference is None:
        return (Text(visible(output)),)
    one, other = visible(output).split(), visible(reference).split()
    texts = Text(), Text()
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        for text, words, style in ((texts[0], one[a:b], "red"), (texts[1], other[c:d], "green")):
            if not words:
                continue
            said = " ".join(words)
            if text:
                text.append(" ")
            text.append(said if kind == "equal" else f"[{said}]", "" if kind == "equal" else style)
    return texts
