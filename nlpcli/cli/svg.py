"""Draws explanations as one SVG page: a section for each record, with the shaded text and the
attention matrix. Nothing is left out: the matrix of a long text has small cells, to zoom into."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from nlpcli.cli.shading import (
    INK,
    Colour,
    Piece,
    Scale,
    attended,
    attention_colour,
    attention_share,
    code,
    ink,
    pieces,
    scale_of,
    visible,
    weight_colour,
)
from nlpcli.output import Sink
from nlpcli.records import Record
from nlpcli.writing import one_line

_WIDTH, _MARGIN = 840, 32
_INNER = _WIDTH - 2 * _MARGIN
_LINE, _FONT = 30, 16
_CELL = _FONT * 0.6  # as wide as a character is in the usual monospaced fonts
_PAD = 2
_COLUMNS = int(_INNER / _CELL) - 1
_LARGEST_CELL = 26.0
_LEVELS = 32
_LABEL = 20
_GREY: Colour = (110, 110, 110)
_MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
_SANS = "system-ui, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"


class Page:
    """Gathers the sections of a page. In the place of a writing.Writer; the page is written by
    `finish`, since its height stands at its beginning."""

    def __init__(self, output: Sink) -> None:
        self._output = output
        self._parts: list[str] = []
        self._height = float(_MARGIN)

    def add(self, record: Record, values: Mapping[str, Any], line: str) -> None:
        """Draw one record; one without an explanation is an empty section, or `line`."""
        if self._parts:
            self._parts.append(
                f'<path d="M{_MARGIN} {self._height:g}h{_INNER}" stroke="#dddddd"/>\n'
            )
            self._height += _MARGIN
        explanation = values.get("explanation")
        if explanation is None:
            section = _Section([_text(0, _FONT, visible(one_line(line)))], _LINE if line else 4)
        else:
            section = _section(record.text, explanation)
        body = "\n".join(section.parts)
        self._parts.append(f'<g transform="translate({_MARGIN} {self._height:g})">\n{body}\n</g>\n')
        self._height += section.height + _MARGIN

    def flush(self) -> None:
        """Nothing is written before the end."""

    def finish(self, columns: Sequence[str]) -> None:
        size = f'width="{_WIDTH}" height="{self._height:g}"'
        self._output.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}'
            f' viewBox="0 0 {_WIDTH} {self._height:g}" font-family="{_SANS}" font-size="{_FONT}"'
            f' fill="{code(INK)}">\n<rect width="100%" height="100%" fill="white"/>\n'
            f"{''.join(self._parts)}</svg>\n".encode()
        )


class _Section(NamedTuple):
    """Elements that take up `height` from 0 downwards."""

    parts: list[str]
    height: float


def _section(text: str, explanation: Mapping[str, Any]) -> _Section:
    label, score = visible(explanation["label"]), explanation["score"]
    parts = [
        f'<text y="{_FONT + 4}" font-size="20"><tspan font-weight="600">{escape(label)}</tspan>'
        f'<tspan dx="12" fill="{code(_GREY)}">{score:.4f}</tspan></text>'
    ]
    height = 40.0
    scale = scale_of(explanation["words"])
    drawn = [_shaded(text, explanation["words"], scale), _weight_legend(scale)]
    if explanation["attention"] is not None:
        drawn.append(_attention(explanation["attention"]))
    for section in drawn:
        body = "\n".join(section.parts)
        parts.append(f'<g transform="translate(0 {height:g})">\n{body}\n</g>')
        height += section.height
    return _Section(parts, height)


def _shaded(text: str, words: Sequence[Mapping[str, Any]], scale: Scale) -> _Section:
    """The text in lines, each word on its colour, from right to left where the text begins so."""
    leftwards = _leftwards(text)
    sheets: list[str] = []  # all below the letters, which may reach into the next word's
    letters: list[str] = []
    height = 0.0
    for line in _lines(pieces(text, words, scale)):
        column = 0
        for piece in _in_sight(line, leftwards):
            cells = cell_len(piece.text)
            x = column * _CELL
            if leftwards:
                x += _INNER - sum(cell_len(each.text) for each in line) * _CELL
            column += cells
            if piece.text.strip():
                sheets += _sheet(piece, x, height, cells * _CELL)
                letters.append(_letters(piece, x, height, cells * _CELL))
        height += _LINE
    return _Section([*sheets, f'<g font-family="{_MONO}">', *letters, "</g>"], height + 12)


def _sheet(piece: Piece, x: float, y: float, width: float) -> Iterator[str]:
    if piece.share:
        colour = code(weight_colour(piece.share))
        yield (
            f'<rect x="{x - _PAD:.1f}" y="{y:g}" width="{width + 2 * _PAD:.1f}"'
            f' height="{_LINE - 5}" rx="4" fill="{colour}"/>'
        )


def _letters(piece: Piece, x: float, y: float, width: float) -> str:
    front = _GREY if piece.share is None else ink(weight_colour(piece.share))
    return _text(x + width / 2, y + 18, piece.text, f'text-anchor="middle" fill="{code(front)}"')


def _lines(found: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Lines of at most _COLUMNS cells; a longer word goes on in the next line."""
    line: list[Piece] = []
    room = _COLUMNS
    for piece in found:
        cells = cell_len(piece.text)
        if piece.text == "\n" or (cells > room and line and piece.share is not None):
            yield line
            line, room = [], _COLUMNS
        if piece.text == "\n" or (not line and not piece.text.strip()):
            continue
        for part in chop_cells(piece.text, _COLUMNS) if cells > room else [piece.text]:
            cells = cell_len(part)
            if cells > room:
                yield line
                line, room = [], _COLUMNS
            if line or part.strip():
                line.append(Piece(part, piece.share))
                room -= cells
    yield line


def _leftwards(text: str) -> bool:
    """Whether the first character of a direction is one of a script from right to left."""
    found = (unicodedata.bidirectional(character) for character in text)
    return next((each in ("R", "AL") for each in found if each in ("L", "R", "AL")), False)


def _in_sight(line: list[Piece], leftwards: bool) -> list[Piece]:
    """The pieces of a line from left to right: runs of the other direction are turned round.

    What has no direction goes with a run that stands on both of its sides."""
    directions: list[bool | None] = []
    for piece in line:
        strong = any(unicodedata.bidirectional(each) in ("L", "R", "AL") for each in piece.text)
        directions.append(_leftwards(piece.text) if strong else None)
    runs: list[list[Piece]] = []
    turned = False
    for index, piece in enumerate(line):
        own = directions[index]
        if own is None:
            before = next((d for d in directions[index::-1] if d is not None), leftwards)
            after = next((d for d in directions[index:] if d is not None), leftwards)
            own = before if before == after else leftwards
        if not runs or own != turned:
            runs.append([])
            turned = own
        runs[-1] = [piece, *runs[-1]] if own else [*runs[-1], piece]
    return [piece for run in (reversed(runs) if leftwards else runs) for piece in run]


def _weight_legend(scale: Scale) -> _Section:
    """A bar from against to for, with the heaviest weight at its ends."""
    steps, size = 21, 10
    middle = steps // 2
    parts = [_small(0, 11, f"against {scale.signed(-scale.most)}")]
    start = 110
    for step in range(steps):
        colour = code(weight_colour((step - middle) / middle))
        parts.append(
            f'<rect x="{start + step * size}" width="{size + 0.3}" height="14" fill="{colour}"/>'
        )
    end = start + steps * size + 8
    parts.append(_small(end, 11, f"{scale.signed(scale.most)} for"))
    told = "what the label's probability loses without the word"
    parts.append(_small(_INNER, 11, told, 'text-anchor="end"'))
    return _Section(parts, 42)


def _attention(attention: Mapping[str, Any]) -> _Section:
    """The whole matrix: a row for each token that looks, a column for each that is looked at."""
    tokens = [_label(visible(token)) for token in attention["tokens"]]
    weights = attention["weights"]
    most = max(map(max, weights))
    longest = max(map(cell_len, tokens))
    # Labels are as high as cells; those of columns stand at 45 degrees and go beyond the last.
    size = min(_LARGEST_CELL, _INNER / (len(tokens) + 0.45 * longest * 1.6 + 2))
    font = min(13.0, 0.7 * size)
    label = longest * font * 0.62
    left, top = label + 8, 28 + label * 0.72 + font
    parts = [f'<text y="14" font-weight="600">Attention, {escape(attended(attention))}</text>']
    parts.append(f'<g font-family="{_MONO}" font-size="{font:g}">')
    for index, token in enumerate(tokens):
        y, x = top + (index + 0.5) * size + font * 0.35, left + (index + 0.6) * size
        parts.append(_text(left - 6, y, token, 'text-anchor="end"'))
        turned = f'transform="translate({x:.2f} {top - 5:.2f}) rotate(-45)"'
        parts.append(f"<text {turned}>{escape(token)}</text>")
    parts.append("</g>")
    side = size * len(tokens)
    parts.append(
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{side:.2f}" height="{side:.2f}"'
        f' fill="{code(attention_colour(0))}" stroke="#dddddd" stroke-width="1"/>'
    )
    place = f"translate({left:.2f} {top:.2f}) scale({size:.4f})"
    parts.append(f'<g transform="{place}" shape-rendering="crispEdges">')
    parts += _cells(weights, most)
    parts.append("</g>")
    height = top + side + 18
    return _Section([*parts, *_attention_legend(height, most)], height + 20)


def _label(token: str) -> str:
    return token if cell_len(token) <= _LABEL else set_cell_size(token, _LABEL - 1) + "…"


def _cells(weights: Sequence[Sequence[float]], most: float) -> Iterator[str]:
    """The cells as one path for each shade, in units of cells; neighbours of a shade are joined."""
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(weights):
        shades = [round(attention_share(weight, most) * (_LEVELS - 1)) for weight in row]
        x = 0
        while x < len(shades):
            end = x + 1
            while end < len(shades) and shades[end] == shades[x]:
                end += 1
            paths.setdefault(shades[x], []).append(f"M{x} {y}h{end - x}v1h{x - end}z")
            x = end
    for shade, path in sorted(paths.items()):
        if shade:
            colour = code(attention_colour(shade / (_LEVELS - 1)))
            yield f'<path fill="{colour}" d="{"".join(path)}"/>'


def _attention_legend(y: float, most: float) -> Iterator[str]:
    for step in range(5):
        share = step / 4
        colour = code(attention_colour(share))
        x = step * 90
        yield (f'<rect x="{x}" y="{y:g}" width="22" height="14" fill="{colour}" stroke="#dddddd"/>')
        yield _small(x + 28, y + 11, f"{share * share * most:.2g}")
    yield _small(
        _INNER, y + 11, "each row looks at the columns, and sums to 1", 'text-anchor="end"'
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" {more}>{escape(text)}</text>'


def _small(x: float, y: float, text: str, more: str = "") -> str:
    return _text(x, y, text, f'font-size="13" fill="{code(_GREY)}" {more}')
