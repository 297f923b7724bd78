"""Where the words of a text are, in any script: spans that hold every character but white space."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

_JOINERS = frozenset("'’.,:·-‑")
_ZERO_WIDTH_JOINER = "\u200d"
# Scripts written without spaces whose single characters mean something: Han and Hiragana.
_ALONE = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA LETTER")


class Span(NamedTuple):
    """The characters from `start` to before `end`."""

    start: int
    end: int


def words(text: str) -> list[Span]:
    """The words of `text`, in order.

    Letters, digits and marks in a row are a word, with an apostrophe, hyphen, point or the like
    between them; a Han or Hiragana character is a word by itself. Any other character is one
    too, together with its repetitions: `!!!`, an emoji with what modifies it.
    """
    found, at = [], 0
    while at < len(text):
        start, at = at, at + 1
        kind = _kind(text[start])
        if kind == "space":
            continue
        while at < len(text) and _goes_on(text, at, kind):
            at += 1
        found.append(Span(start, at))
    return found


def without(text: str, span: Span) -> str:
    """`text` less one word, and less one of the two white spaces that stood around it."""
    before, after = text[: span.start], text[span.end :]
    if after[:1].isspace() and (not before or before[-1:].isspace()):
        after = after[1:]
    elif not after and before[-1:].isspace():
        before = before[:-1]
    return before + after


def _goes_on(text: str, at: int, kind: str) -> bool:
    """Whether the character at `at` belongs to the word of `kind` that stands before it."""
    character, before = text[at], text[at - 1]
    following = _kind(character)
    if following == "mark" or (before == _ZERO_WIDTH_JOINER and following != "space"):
        return True
    if kind in ("letter", "mark"):
        joins = character in _JOINERS and at + 1 < len(text) and _kind(text[at + 1]) == "letter"
        return following == "letter" or (joins and before not in _JOINERS)
    return following == kind == "flag" or (kind == "other" and character == before)


@lru_cache(4096)
def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Cf" or "\U0001f3fb" <= character <= "\U0001f3ff":
        return "mark"
    if "\U0001f1e6" <= character <= "\U0001f1ff":  # two of them are a flag
        return "flag"
    if category[0] in "LN" or character == "_":
        return "alone" if unicodedata.name(character, "").startswith(_ALONE) else "letter"
    return "other"
