"""What a summary is to be like: its length, its points marked or not, what it is about."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from nlpcli.errors import UsageError

NAMES = ("short", "medium", "long")
_FACTORS = {"short": 0.5, "medium": 1.0, "long": 2.0}
_PAGE = 20


class Length(NamedTuple):
    """One of NAMES, or `share`: a part of the sentences (0 to 1)."""

    name: str = "medium"
    share: float = 0.0

    def of(self, sentences: int) -> int:
        """How many sentences the summary of a text of `sentences` has; at least one.

        `medium` is every fifth sentence up to three, which an article has, and then grows with
        the square root of the text's length up to a page: twenty. `short` is half, `long` twice
        that.
        """
        if self.share:
            return max(1, math.ceil(self.share * sentences - 1e-9))
        medium = max(1, min(3, sentences // 5), min(_PAGE, round(math.sqrt(sentences) / 2)))
        return max(1, round(medium * _FACTORS[self.name]))


def parse(text: str) -> Length:
    """The length that `--length TEXT` asks for. Raises UsageError."""
    if text in NAMES:
        return Length(text)
    number = re.fullmatch(r"(\d+(?:\.\d+)?)%", text)
    if number and 0 < float(number[1]) <= 100:
        return Length("share", float(number[1]) / 100)
    raise UsageError(f"--length {text}: no such length", "give short, medium, long, or 10%")


class Style(NamedTuple):
    """The options of a summary. `focus` are words that it should be about, `max_tokens` counts the
    model's tokens, `bullets` marks each sentence with a dash. `field` names the field added."""

    length: Length = Length()
    max_tokens: int | None = None
    bullets: bool = False
    focus: str = ""
    batch_size: int = 0
    field: str = "summary"
