"""The log-probabilities of a text of any length, through windows that slide over its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nlpcli.backends import Scored
from nlpcli.errors import UsageError

Spans = Sequence[tuple[int, int] | None]
Score = Callable[[list[list[int]], list[int]], list[list[float]]]


class Window(NamedTuple):
    """The tokens [begin, end) that a model reads together; it scores those from `first` on."""

    begin: int
    end: int
    first: int


def cut(count: int, size: int, stride: int) -> list[Window]:
    """Windows of `size` tokens, each `stride` tokens after the one before, over `count` tokens.

    A token is scored in the first window that reaches it, unless it stands first there: nothing
    comes before it. With 1 <= stride < size that is the first token of all alone.
    """
    found = []
    reached = 0
    for begin in range(0, count, stride):
        end = min(begin + size, count)
        window = Window(begin, end, max(reached, begin + 1))
        if window.first < end:
            found.append(window)
        if end == count:
            break
        reached = end
    return found


def logprobs(
    ids: Sequence[int], spans: Spans, longest: int, window: int, stride: int, score: Score
) -> list[Scored]:
    """What LanguageModel.logprobs gives for the tokens `ids`, which stand for the characters
    `spans` of the text (None: for none), with a model of `longest` tokens.

    `score` takes rows of ids, the longest first, and for each the number of tokens at its end
    whose log-probabilities it is to give.
    """
    size = window or longest
    if not 2 <= size <= longest:
        raise UsageError(
            f"a window of {size} tokens: this model reads 2 to {longest} at once",
            "choose another window",
        )
    stride = stride or size // 2
    if not 1 <= stride <= size:
        raise UsageError(
            f"a stride of {stride} tokens over a window of {size}",
            f"choose one of 1 to {size}, so that no token is left out",
        )
    windows = cut(len(ids), size, stride)
    found = score(
        [list(ids[each.begin : each.end]) for each in windows],
        [each.end - each.first for each in windows],
    )
    scored = []
    for each, values in zip(windows, found, strict=True):
        for span, value in zip(spans[each.first : each.end], values, strict=True):
            if span:
                scored.append(Scored(*span, value))
    return scored
