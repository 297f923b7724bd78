"""The records that score least, each output beside its reference, with what differs marked."""

from __future__ import annotations

import math
from difflib import SequenceMatcher

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nlpcli.cli.eval.score import Report
from nlpcli.cli.eval.table import number
from nlpcli.cli.shading import visible


def draw(made: Report, screen: Console, count: int, digits: int | None) -> None:
    """Draw the `count` records of each system that score least by the first figure shown."""
    column = made.shown[0]
    sign = 1 if column.figure.higher else -1
    for system, scores in zip(made.data.systems, column.by_record(), strict=True):
        told = [place for place, value in enumerate(scores) if math.isfinite(value)]
        ranked = sorted(told, key=lambda place: sign * scores[place])[:count]
        table = Table(
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            header_style="bold",
            title=Text(f"{system.name}: worst by {column.figure.title}", "bold"),
            title_justify="left",
            expand=True,
        )
        table.add_column("record", justify="right", no_wrap=True)
        table.add_column(column.figure.title, justify="right", no_wrap=True)
        table.add_column("output", ratio=1, overflow="fold")
        table.add_column("reference", ratio=1, overflow="fold")
        for place in ranked:
            output, reference = _marked(system.outputs[place], made.data.references[place][0])
            table.add_row(str(place + 1), number(scores[place], column, digits), output, reference)
        screen.print()
        screen.print(table)


def _marked(output: str, reference: str) -> tuple[Text, Text]:
    """Both texts, with the words that the other lacks in brackets and in colour."""
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
