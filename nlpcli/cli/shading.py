"""What the terminal's and the SVG drawing of an explanation share: colours, numbers, safe text."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

Colour = tuple[int, int, int]

PAPER: Colour = (250, 250, 250)
INK: Colour = (32, 32, 32)
# ColorBrewer's RdBu, which the colour-blind tell apart, and Purples; from nothing to the most.
_FOR = (PAPER, (209, 229, 240), (146, 197, 222), (67, 147, 195), (33, 102, 172))
_AGAINST = (PAPER, (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43))
_ATTENTION = (PAPER, (218, 218, 235), (158, 154, 200), (106, 81, 163), (63, 0, 125))
# Joiners, marks of direction, soft hyphens and the tags of flags are part of what is read.
_INVISIBLE = frozenset("\u200c\u200d\u200e\u200f\xad")


class Piece(NamedTuple):
    """A word with its `share` of the heaviest weight, -1 to 1; what stands between words has
    None."""

    text: str
    share: float | None


class Scale(NamedTuple):
    """The heaviest weight of an explanation, and how its numbers are written."""

    most: float

    def share(self, weight: float) -> float:
        """-1 to 1."""
        return weight / self.most if self.most else 0.0

    def signed(self, weight: float) -> str:
        return f"{weight:+.1e}" if 0 < self.most < 0.001 else f"{weight:+.4f}"


def scale_of(words: Sequence[Mapping[str, Any]]) -> Scale:
    return Scale(max((abs(word["weight"]) for word in words), default=0.0))


def pieces(text: str, words: Sequence[Mapping[str, Any]], scale: Scale) -> Iterator[Piece]:
    """All of `text`, safe to be shown, in pieces; line breaks are `\\n` in pieces of their own."""
    at = 0
    for word in words:
        yield from _gap(text[at : word["start"]])
        at = word["end"]
        yield Piece(visible(text[word["start"] : at]), scale.share(word["weight"]))
    yield from _gap(text[at:])


def _gap(text: str) -> Iterator[Piece]:
    if not text:
        return
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines):
        if number:
            yield Piece("\n", None)
        if line:
            yield Piece(visible(line), None)


def visible(text: str) -> str:
    """`text` with every character escaped that a terminal obeys, XML lacks or nobody sees."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable() or character in _INVISIBLE:
        return character
    if "\U000e0020" <= character <= "\U000e007f" or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def weight_colour(share: float) -> Colour:
    """Blue for the label, red against it; `share` is -1 to 1."""
    return _blend(_FOR if share > 0 else _AGAINST, abs(share))


def attention_colour(share: float) -> Colour:
    """`share` is 0 to 1."""
    return _blend(_ATTENTION, share)


def attention_share(weight: float, most: float) -> float:
    """How dark a weight is drawn, 0 to 1. The square root, since a few tokens draw most of the
    attention and the others' differences would not show."""
    return (max(weight, 0.0) / most) ** 0.5 if most else 0.0


def ink(background: Colour) -> Colour:
    """What is read best on `background`."""
    red, green, blue = background
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def code(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def attended(attention: Mapping[str, Any]) -> str:
    """Which layer and head it is, in words."""
    layer, head = attention["layer"], attention["head"]
    chosen = [
        f"mean of all {kind}s" if number == "mean" else f"{kind} {number}"
        for kind, number in (("layer", layer), ("head", head))
    ]
    return "mean of all layers and heads" if layer == head == "mean" else ", ".join(chosen)


def _blend(stops: Sequence[Colour], share: float) -> Colour:
    """The colour at `share` (0 to 1) of the way along `stops`."""
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    number = min(int(place), len(stops) - 2)
    first, second = list(pairwise(stops))[number]
    part = place - number
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue
