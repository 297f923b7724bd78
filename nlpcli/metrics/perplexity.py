"""How well a language model foretells a text: perplexity, bits per byte, log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import nlpcli
from nlpcli.metrics import Additive, Figure
from nlpcli.tasks.likelihood import Line


class Perplexity:
    """The perplexity of a token, exp of the mean negative log-probability; bits per byte, which
    compares models whatever their tokenizers; and the log-probability of the whole.

    `window` and `stride` (tokens) are those that the text was scored with, `tokenizer` says whose
    tokens are counted.
    """

    figures = (
        Figure("perplexity", "Perplexity", digits=2, higher=False),
        Figure("bits-per-byte", "Bits per byte", digits=3, higher=False),
        Figure("logprob", "Log-probability"),
        Figure("tokens", "Tokens", digits=0),
    )

    def __init__(self, window: str, stride: str, tokenizer: str) -> None:
        self._window, self._stride, self._tokenizer = window, stride, tokenizer

    @property
    def signature(self) -> str:
        return (
            f"window:{self._window}|stride:{self._stride}|tok:{self._tokenizer}"
            f"|version:nlpcli-{nlpcli.__version__}"
        )

    def sample(self, rows: Sequence[Line]) -> Additive:
        return Additive(rows, _score)


def _score(sums: Sequence[float]) -> list[float]:
    """The figures of a line, or of the sums over some; nan where there is no token or no byte."""
    logprob, tokens, size = sums or (0.0, 0, 0)
    try:
        perplexity = math.exp(-logprob / tokens) if tokens else math.nan
    except OverflowError:
        perplexity = math.inf
    bits = -logprob / math.log(2) / size if tokens and size else math.nan
    return [perplexity, bits, logprob, tokens]
