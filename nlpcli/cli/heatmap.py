"""Draws an explanation in the terminal: the text shaded word by word, the strongest words with
their weights, and the attention matrix. Without colours, bars and shades are characters."""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.console import Console
from rich.padding import Padding
from rich.style import Style
from rich.text import Text

from nlpcli.cli.shading import (
    Colour,
    Scale,
    attended,
    attention_colour,
    attention_share,
    ink,
    pieces,
    scale_of,
    visible,
    weight_colour,
)
from nlpcli.output import Sink
from nlpcli.records import Record
from nlpcli.writing import one_line

_WIDTHS = (40, 100)
_PLAIN_WIDTH = 80
_WORDS = 12
_BAR = 24
_LABEL = 14
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHADES = " ░▒▓█"
# The same ramps of colours in the palette of 256, where the nearest ones would be off in hue.
_WHITE, _BLACK = 231, 234
_FOR_256 = (231, 153, 117, 74, 25)
_AGAINST_256 = (231, 224, 217, 167, 124)
_ATTENTION_256 = (231, 189, 141, 98, 54)


# Joiner, emoji variation selector and skin tones; terminals differ in what they make of them.
_UNSURE = frozenset("\u200d\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")


class HeatMaps:
    """Writes each record as a drawing, a rule between two. In the place of a writing.Writer."""

    def __init__(self, output: Sink, colours: str | None, width: int = _PLAIN_WIDTH) -> None:
        self._output = output
        self._colours = colours
        self._width = width
        self._drawn: list[str] = []
        self._any = False

    def add(self, record: Record, values: Mapping[str, Any], line: str) -> None:
        """Draw one record; one without an explanation is a blank line, or `line`."""
        explanation = values.get("explanation")
        if self._any:
            self._drawn.append("─" * self._width + "\n")
        self._any = True
        if explanation is None:
            self._drawn.append(f"{visible(one_line(line))}\n")
        else:
            self._drawn.append(draw(record.text, explanation, self._colours, self._width))

    def flush(self) -> None:
        """Hand on all that was added."""
        if self._drawn:
            self._output.write("".join(self._drawn).encode())
            self._drawn.clear()

    def finish(self, columns: Sequence[str]) -> None:
        self.flush()


def terminal(path: str | None) -> tuple[str | None, int]:
    """The colours (truecolor, 256 or None) and the columns of the output to `path`."""
    width = min(max(shutil.get_terminal_size().columns, _WIDTHS[0]), _WIDTHS[1])
    kind = os.environ.get("TERM", "dumb")
    if path not in (None, "-") or not sys.stdout.isatty():
        return None, _PLAIN_WIDTH
    if os.environ.get("NO_COLOR") or kind == "dumb":
        return None, width
    if os.environ.get("COLORTERM") in ("truecolor", "24bit") or kind.endswith("-direct"):
        return "truecolor", width
    return "256" if "256" in kind else None, width


class Brush(NamedTuple):
    """Styles for weights, in truecolor, 256 colours or (None) without any."""

    colours: str | None

    @property
    def dim(self) -> str:
        return "dim" if self.colours else ""

    @property
    def bold(self) -> str:
        return "bold" if self.colours else ""

    def word(self, share: float) -> Style:
        """The background for a word; `share` is -1 to 1."""
        return self._style(
            weight_colour(share), _FOR_256 if share > 0 else _AGAINST_256, abs(share)
        )

    def cell(self, share: float) -> Text:
        """A cell of the matrix; `share` is 0 to 1."""
        if self.colours is None:
            return Text(_SHADES[round(share * (len(_SHADES) - 1))] * 2)
        return Text("  ", self._style(attention_colour(share), _ATTENTION_256, share))

    def bar(self, share: float) -> Text:
        """A bar as long as `share` (-1 to 1) says."""
        full, part = divmod(round(abs(share) * _BAR * 8), 8)
        drawn = ("█" * full + (_EIGHTHS[part] if part else "")).ljust(_BAR)
        front = self.word(0.75 if share > 0 else -0.75).bgcolor
        return Text(drawn, Style(color=front))

    def _style(self, colour: Colour, ramp: Sequence[int], share: float) -> Style:
        if self.colours is None:
            return Style()
        front = Color.from_rgb(*ink(colour))
        if self.colours == "truecolor":
            return Style(color=front, bgcolor=Color.from_rgb(*colour))
        level = round(min(share, 1.0) * (len(ramp) - 1))
        dark = level > (len(ramp) - 1) / 2
        return Style(
            color=Color.from_ansi(_WHITE if dark else _BLACK), bgcolor=Color.from_ansi(ramp[level])
        )


def draw(
    text: str, explanation: Mapping[str, Any], colours: str | None, width: int = _PLAIN_WIDTH
) -> str:
    """The explanation of `text` as lines of at most `width` columns."""
    brush = Brush(colours)
    page = Console(
        file=StringIO(),
        width=width,
        force_terminal=colours is not None,
        color_system=colours,  # type: ignore[arg-type]
        no_color=False,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
    scale = scale_of(explanation["words"])
    label = Text(visible(explanation["label"]), brush.bold, overflow="fold")
    page.print(label.append(f"  {explanation['score']:.4f}", "not bold"))
    page.print()
    shaded = _shaded(text, explanation["words"], scale, brush)
    page.print(_sheet(shaded, brush) if colours else shaded)
    page.print()
    for line in _weights(explanation["words"], scale, brush, width):
        page.print(line)
    if explanation["attention"] is not None:
        page.print()
        for line in _attention(explanation["attention"], brush, width):
            page.print(line)
    drawn: str = page.file.getvalue()  # type: ignore[attr-defined]
    return drawn if colours else "".join(f"{line.rstrip()}\n" for line in drawn.split("\n")[:-1])


def _shaded(text: str, words: Sequence[Mapping[str, Any]], scale: Scale, brush: Brush) -> Text:
    """The whole text, each word on its colour."""
    shaded = Text(overflow="fold")
    for piece in pieces(text, words, scale):
        shaded.append(piece.text, brush.word(piece.share) if piece.share else None)
    return shaded


def _sheet(shaded: Text, brush: Brush) -> Padding:
    """The text on a sheet of its own, so that shades read alike on any background. Where the
    terminal may take another width for an emoji than we, the lines are not filled up."""
    paper = brush.word(0)
    if _UNSURE.isdisjoint(shaded.plain):
        return Padding(shaded, (1, 2), style=paper)
    shaded.style = paper
    return Padding(shaded, (1, 2))


def _weights(
    words: Sequence[Mapping[str, Any]], scale: Scale, brush: Brush, width: int
) -> Iterable[Text]:
    """A line for each of the heaviest words, in the order of their weight, and what they mean."""
    ranked = sorted(words, key=lambda word: -abs(word["weight"]))
    rest = ranked[_WORDS:] if len(ranked) > _WORDS + 1 else []
    for word in ranked[: len(ranked) - len(rest)]:
        line = Text(f"{scale.signed(word['weight'])} ", no_wrap=True)
        line.append_text(brush.bar(scale.share(word["weight"])))
        line.append(f" {visible(word['word'])}")
        line.truncate(width, overflow="ellipsis")
        yield line
    if rest:
        most = scale.signed(abs(rest[0]["weight"])).lstrip("+")
        yield Text(f"{len(rest):,} more words, each within ±{most}", brush.dim)
    yield Text(
        "weight: what the label's probability loses without the word; + for, - against", brush.dim
    )


def _attention(attention: Mapping[str, Any], brush: Brush, width: int) -> Iterable[Text]:
    """The matrix, a row for each token that looks and a column for each that is looked at; where
    they are too many, those that are looked at most."""
    tokens, weights = attention["tokens"], attention["weights"]
    digits = len(str(len(tokens)))
    shown = _most_attended(weights, (width - digits - _LABEL - 2) // 2)
    most = max(weights[row][column] for row in shown for column in shown)
    yield Text(f"attention, {attended(attention)}", brush.bold)
    for digit in range(digits):
        heads = "".join(f" {str(number + 1).rjust(digits)[digit]}" for number in shown)
        yield Text(" " * (digits + 1) + heads, brush.dim)
    for row in shown:
        line = Text(f"{row + 1:>{digits}} ", no_wrap=True)
        for column in shown:
            line.append_text(brush.cell(attention_share(weights[row][column], most)))
        label = visible(tokens[row])
        fitted = label if cell_len(label) <= _LABEL else set_cell_size(label, _LABEL - 1) + "…"
        yield line.append(f" {fitted}")
    yield _legend(most, len(shown) < len(tokens), brush)
    if len(shown) < len(tokens):
        told = f"the {len(shown)} of {len(tokens)} tokens that draw most attention"
        yield Text(f"{told}; all: -o FILE.svg, -f jsonl", brush.dim)


def _legend(most: float, part: bool, brush: Brush) -> Text:
    line = Text(f"each {'whole ' * part}row sums to 1: ", brush.dim)
    for level in range(len(_SHADES)):
        share = level / (len(_SHADES) - 1)
        line.append_text(brush.cell(share))
        line.append(f" {share * share * most:.2g}  ")
    return line


def _most_attended(weights: Sequence[Sequence[float]], count: int) -> list[int]:
    """The `count` columns with the largest sums, in their order."""
    sums = [sum(column) for column in zip(*weights, strict=True)]
    return sorted(sorted(range(len(sums)), key=lambda index: -sums[index])[:count])
