"""Tells an output that has fallen into a loop: the known failure of translation models."""

from __future__ import annotations

_LONGEST_UNIT = 12
_FEWEST_REPEATS = 4
_FEWEST_WORDS = 12


def loops(output: str, source: str) -> bool:
    """Whether `output` repeats a unit of 1 to 12 words, at least 4 times and 12 words in a row,
    and twice as often as `source` repeats anything. Words are characters in unspaced scripts."""
    repeats = _longest_run(_words(output))
    return repeats > 0 and repeats > 2 * max(1, _longest_run(_words(source)))


def _words(text: str) -> list[str]:
    words = text.split()
    return words if len(words) * 12 > len(text) else list("".join(words))


def _longest_run(words: list[str]) -> int:
    """How often a unit comes in a row, for the longest run that counts; 0 where none does."""
    longest = 0
    for size in range(1, min(_LONGEST_UNIT, len(words) // _FEWEST_REPEATS) + 1):
        run = best = 0
        for first, second in zip(words, words[size:], strict=False):
            run = run + 1 if first == second else 0
            best = max(best, run)
        repeats = best // size + 1
        if repeats >= _FEWEST_REPEATS and repeats * size >= _FEWEST_WORDS:
            longest = max(longest, repeats)
    return longest
