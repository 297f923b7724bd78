"""How well a language model foretells a text: perplexity, bits per byte, log-probabilities."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import nlpcli
from nlpcli.backends import Scored
from nlpcli.metrics import Additive, Figure


class Line(NamedTuple):
    """A line of a text: the sum of its tokens' log-probabilities (natural), the number of tokens
    that have one, and its UTF-8 bytes."""

    logprob: float
    tokens: int
    size: int


class Perplexity:
    """The perplexity of a token, exp of the mean negative log-probability; bits per byte, which
    compares models whatever their tokenizers; and the log-probability of the whole.

    `window` and `stride` (tokens) are those that the text was scored with, `tokenizer` names the
    model whose tokens are counted.
    """

    figures = (
        Figure("perplexity", "Perplexity", digits=2, higher=False),
        Figure("bits-per-byte", "Bits per byte", digits=3, higher=False),
        Figure("logprob", "Log-probability"),
        Figure("tokens", "Tokens", digits=0),
    )

    def __init__(self, window: int, stride: int, tokenizer: str) -> None:
        self._window, self._stride, self._tokenizer = window, stride, tokenizer

    @property
    def signature(self) -> str:
        return (
            f"window:{self._window}|stride:{self._stride}|tok:{self._tokenizer}"
            f"|version:nlpcli-{nlpcli.__version__}"
        )

    def sample(self, rows: Sequence[Line]) -> Additive:
        return Additive(rows, _score)


def lines(text: str, scored: Iterable[Scored]) -> list[Line]:
    """The lines of `text`, each with the newline that ends it. A token counts in the line in which
    its first character stands, so that the sums over the lines are those of the text."""
    found = [line + "\n" for line in text.split("\n")]
    found[-1] = found[-1][:-1]
    if not found[-1]:
        found.pop()
    starts = [0, *accumulate(map(len, found))][: len(found)]
    logprobs: list[list[float]] = [[] for _ in found]
    for token in scored:
        logprobs[bisect_right(starts, token.start) - 1].append(token.logprob)
    return [
        Line(math.fsum(values), len(values), len(line.encode()))
        for line, values in zip(found, logprobs, strict=True)
    ]


def _score(sums: Sequence[float]) -> list[float]:
    """The figures of a line, or of the sums over some; nan where there is no token or no byte."""
    logprob, tokens, size = sums or (0.0, 0, 0)
    try:
        perplexity = math.exp(-logprob / tokens) if tokens else math.nan
    except OverflowError:
        perplexity = math.inf
    bits = -logprob / math.log(2) / size if tokens and size else math.nan
    return [perplexity, bits, logprob, tokens]
