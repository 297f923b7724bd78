"""Text into sentences and back, losing nothing: pieces and the gaps between them are the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Patterns are compiled at first use: most texts need none of them.
_CLAUSE_END = r"(?<=[;:,.!?)\]—、，；：])\s+|(?<=[、，；])"
_SPACE = r"\s+"

# Written without spaces between sentences, so that a plain space between them is not kept.
_UNSPACED = frozenset({"zh", "ja", "yue"})


class Piece(NamedTuple):
    """A sentence, or a part of one, and the white space that follows it. `text` may be empty."""

    text: str
    gap: str


def split(text: str, language: str, measure: Callable[[str], int], window: int) -> list[Piece]:
    """`text` as pieces none of which measures more than `window`.

    Breaks at line ends and sentence ends; a sentence beyond the window breaks at a clause's end,
    else at a space, else anywhere. Joining text and gap of all pieces gives `text` again.
    """
    pieces = []
    for sentence in _sentences(text, language):
        core = sentence.strip()
        if not core:
            pieces.append(Piece("", sentence))
            continue
        start = sentence.index(core[0])
        if start:
            pieces.append(Piece("", sentence[:start]))
        for part in _fit(core, measure, window):
            body = part.rstrip()
            pieces.append(Piece(body, part[len(body) :]))
        last = pieces.pop()
        pieces.append(Piece(last.text, last.gap + sentence[start + len(core) :]))
    return pieces


def join(pieces: list[Piece], outputs: list[str], language: str) -> str:
    """`outputs` in the places of the pieces' texts, the gaps between them kept.

    Where a sentence follows without a gap, as in Chinese, and the target writes spaces, one is
    put in; where the target writes none, a single space between sentences is left out.
    """
    unspaced = language.partition("-")[0] in _UNSPACED
    parts: list[str] = []
    for index, (piece, output) in enumerate(zip(pieces, outputs, strict=True)):
        gap = piece.gap
        more = index + 1 < len(pieces) and pieces[index + 1].text
        if piece.text and more and unspaced:
            gap = "" if gap == " " else gap
        elif piece.text and more and not piece.text[-1].isalnum():  # not cut within a word
            gap = gap or " "
        parts += (output, gap)
    return "".join(parts)


def halves(text: str) -> tuple[str, str] | None:
    """`text` in two at the clause end, else the space, nearest its middle; None for one word."""
    quarter = max(1, len(text) // 4)
    for pattern, first, last in (
        (_CLAUSE_END, quarter, len(text) - quarter),
        (_SPACE, 1, len(text) - 1),
    ):
        ends = (match.end() for match in re.finditer(pattern, text))
        cuts = [end for end in ends if first <= end <= last]
        if cuts:
            cut = min(cuts, key=lambda end: abs(2 * end - len(text)))
            return text[:cut], text[cut:]
    return None


def _sentences(text: str, language: str) -> Iterator[str]:
    from sentencex import segment

    for line in text.splitlines(keepends=True):
        sentences = segment(language.partition("-")[0], line)
        yield from sentences if "".join(sentences) == line else [line]


def _fit(text: str, measure: Callable[[str], int], window: int) -> Iterator[str]:
    """`text` in parts that fit the window."""
    if len(text) <= 1 or measure(text) <= window:
        yield text
        return
    middle = len(text) // 2
    for part in halves(text) or (text[:middle], text[middle:]):
        yield from _fit(part, measure, window)
