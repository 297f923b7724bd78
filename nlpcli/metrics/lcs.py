"""Longest common subsequences on the bits of whole numbers (Crochemore et al. 2001, Hyyrö 2004)."""

from __future__ import annotations

from collections.abc import Sequence


def positions(tokens: Sequence[int]) -> dict[int, int]:
    """Where each of `tokens` stands: bit i is set for position i."""
    found: dict[int, int] = {}
    bit = 1
    for token in tokens:
        found[token] = found.get(token, 0) | bit
        bit <<= 1
    return found


def aligned(length: int, columns: Sequence[int]) -> int:
    """The positions, as bits, of the alignment that rouge_score's backtracking finds.

    `length` is that of the reference; `columns` are the `positions` in it of the candidate's
    tokens, in their order, 0 for a token that stands nowhere in it.
    """
    if columns.count(0) == len(columns) - 1:
        [column] = filter(None, columns)
        # A token without match after it leads backtracking on to where the length grows.
        return 1 << column.bit_length() - 1 if columns[-1] else column & -column
    # A zero at bit i of a row: the longest common subsequence of the candidate's tokens up to there
    # grows with the reference's token i. Of tokens in a row without a match the first does for all.
    row = (1 << length) - 1
    rows = []
    before = 0
    for column in columns:
        if column:
            common = row & column
            row = (row + common) | (row - common)
            rows.append((row, column))
        elif before:
            rows.append((row, 0))
        before = column
    taken = 0
    below = (1 << length) - 1
    for row, column in reversed(rows):
        # Backtracking goes up the reference to the next match, else to where the length grows.
        stop = (~row | column) & below
        if not stop:
            break
        bit = 1 << stop.bit_length() - 1
        if column & bit:
            taken |= bit
            below = bit - 1
        else:
            below = (bit << 1) - 1
    return taken
