"""How likely a language model finds a text: the log-probability of each of its lines."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from nlpcli.backends import Scored
from nlpcli.tasks import Answer


class Line(NamedTuple):
    """A line of a text: the sum of its tokens' log-probabilities (natural), the number of tokens
    that have one, and its UTF-8 bytes."""

    logprob: float
    tokens: int
    size: int


class Likelihood(NamedTuple):
    """Adds `field`: an object with `window` and `stride` (tokens; as LanguageModel.logprobs), and
    `lines`, a Line for each."""

    window: int
    stride: int
    field: str

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def run(self, texts: Sequence[str], *backends: Any) -> list[Answer]:
        (backend,) = backends
        window = self.window or backend.window
        stride = self.stride or window // 2
        told = {"window": window, "stride": stride}
        return [
            Answer({self.field: {**told, "lines": lines(text, _scored(text, backend, told))}})
            for text in texts
        ]


def _scored(text: str, backend: Any, told: dict[str, int]) -> list[Scored]:
    return backend.logprobs(text, **told) if text else []


def split(text: str) -> list[str]:
    """The lines of `text`, each with the newline that ends it."""
    found = [line + "\n" for line in text.split("\n")]
    found[-1] = found[-1][:-1]
    return found if found[-1] else found[:-1]


def lines(text: str, scored: Iterable[Scored]) -> list[Line]:
    """What became of each line of `text`. A token counts in the line in which its first character
    stands, so that the sums over the lines are those of the text."""
    found = split(text)
    starts = [0, *accumulate(map(len, found))][: len(found)]
    logprobs: list[list[float]] = [[] for _ in found]
    for token in scored:
        logprobs[bisect_right(starts, token.start) - 1].append(token.logprob)
    return [
        Line(math.fsum(values), len(values), len(line.encode()))
        for line, values in zip(found, logprobs, strict=True)
    ]
