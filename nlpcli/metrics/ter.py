"""The edits of the translation edit rate (TER): words inserted, deleted, replaced, and blocks of
words shifted at one edit each (Snover et al., 2006).

The count is sacreBLEU's, and so are the bounds of its greedy search. Words become characters of a
string, so that rapidfuzz finds the distances; Python is left with one alignment for each shift
that is made, from the bit vectors of Hyyrö (2003).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from rapidfuzz.distance import LCSseq, Levenshtein
from rapidfuzz.process import extractOne

_LONGEST = 10  # words in a shifted block
_FARTHEST = 50  # words between a block and its match in the reference
_TRIES = 1000  # shifts looked at for one hypothesis
_BEAM = 25  # words of the reference on either side of the diagonal
_FOREIGN = "\0"  # every word that the reference lacks
_NEVER = 1 << 60

# Shifts (start of the block, where to) under the number of words that they move.
_Moves = dict[int, set[tuple[int, int]]]


def edits(hypothesis: list[str], reference: list[str]) -> int:
    """The edits that make the reference of the hypothesis, as TER counts them."""
    if hypothesis == reference:
        return 0
    if not hypothesis or not reference:
        return max(len(hypothesis), len(reference))
    letters = dict(zip(reference, map(chr, range(1, len(reference) + 1)), strict=True))
    target = "".join([letters[word] for word in reference])
    words = "".join([letters.get(word, _FOREIGN) for word in hypothesis])
    return _search(words, _Beam(target, len(words)))


def _search(words: str, beam: _Beam) -> int:
    """Make the best shift for as long as one lessens the distance; edits of all."""
    target = beam.target
    cost = beam.distance(words)
    if cost < 2:
        return cost
    # No shift changes which words there are, so none gets below the words without a partner.
    common = LCSseq.similarity(sorted(words), sorted(target))
    least = max(len(words), len(target)) - common
    shifts = tries = 0
    while cost > least:
        moves, tries = _moves(words, beam, cost, tries)
        if tries >= _TRIES:
            break
        found = _best(words, moves, beam, cost, least)
        if found is None:
            break
        words, cost = found
        shifts += 1
    return shifts + cost


class _Path(NamedTuple):
    """An alignment of hypothesis and reference. `arrived[j]` words of the hypothesis are used when
    j words of the reference are, just then. `wrong[i]` and `missed[j]` are the nearest positions
    from i and j on of a hypothesis word and a reference word that are no match."""

    arrived: list[int]
    wrong: list[int]
    missed: list[int]


class _Beam:
    """Levenshtein distances to a reference of hypotheses of one length, over those cells of the
    matrix (words of the hypothesis, words of the reference) that lie near its diagonal."""

    def __init__(self, target: str, length: int) -> None:
        self.target = target
        self.length = length
        # All of a short reference is within the beam. Else, a path of d edits leaves the diagonal
        # by (d + skew) / 2 words at most, and the middle of the beam leaves it by skew words; so
        # all shortest paths are within the beam up to this distance (2 words spared for rounding).
        skew = abs(len(target) - length)
        self.exact = _NEVER if len(target) < _BEAM else 2 * (_BEAM - 2) - 3 * skew

    @cached_property
    def where(self) -> dict[str, list[int]]:
        """Positions of each word of the reference, ascending."""
        found: dict[str, list[int]] = {}
        for position, word in enumerate(self.target):
            found.setdefault(word, []).append(position)
        return found

    @cached_property
    def bands(self) -> list[range]:
        """The columns (words of the reference) within the beam, for each row from the first
        word of the hypothesis on."""
        columns = len(self.target) + 1
        ratio = len(self.target) / self.length
        width = _BEAM if ratio / 2 <= _BEAM else math.ceil(ratio / 2 + _BEAM)
        middles = [math.floor(row * ratio) for row in range(1, self.length + 1)]
        bands = [range(max(0, m - width), min(columns, m + width)) for m in middles]
        bands[-1] = range(bands[-1].start, columns)
        return bands

    def distance(self, words: str, most: int = _NEVER) -> int:
        """The distance of the hypothesis, or some number above `most` if it is above."""
        found = Levenshtein.distance(words, self.target, score_cutoff=most)
        if found <= self.exact or found > most or self._holds(words):
            return found
        return list(self._rows(words))[-1][-1]

    def nearest(self, choices: list[str], most: int) -> tuple[str, int] | None:
        """The first of the nearest hypotheses with its distance, None if all are above `most`."""
        if most <= self.exact:
            found = extractOne(self.target, choices, scorer=Levenshtein.distance, score_cutoff=most)
            return None if found is None else (found[0], int(found[1]))
        best = None
        for words in choices:
            cost = self.distance(words, most)
            if cost <= most:
                best, most = (words, cost), cost - 1
        return best

    def path(self, words: str, cost: int) -> _Path:
        """The alignment by the fewest edits; of equally good ones that which, from the end, first
        pairs words, then passes over the hypothesis, then over the reference."""
        if cost > self.exact:
            return _walk(words, self.target, 0, list(self._choices(words)))
        start, stop = _differing(words, self.target)
        middle = self.target[start : len(self.target) - len(words) + stop]
        return _walk(words, self.target, start, list(_choices(words[start:stop], middle)))

    def _holds(self, words: str) -> bool:
        """Whether some shortest path lies within the beam."""
        row = column = 0
        steps = [(0, 0)]
        for edit in Levenshtein.editops(words, self.target):
            steps += [(row + k + 1, column + k + 1) for k in range(edit.src_pos - row)]
            row = edit.src_pos + (edit.tag != "insert")
            column = edit.dest_pos + (edit.tag != "delete")
            steps.append((row, column))
        steps += [(row + k + 1, column + k + 1) for k in range(self.length - row)]
        return all(column in self.bands[row - 1] for row, column in steps if row)

    def _rows(self, words: str) -> Iterator[list[int]]:
        """Distances of the first word, two, … of the hypothesis to every beginning of the
        reference."""
        above = list(range(len(self.target) + 1))
        for word, band in zip(words, self.bands, strict=True):
            row = [_NEVER] * len(above)
            left = _NEVER
            for column in band:
                best = left if left < above[column] else above[column]
                best += 1
                if column:
                    paired = above[column - 1] + (word != self.target[column - 1])
                    best = paired if paired < best else best
                row[column] = left = best
            yield row
            above = row

    def _choices(self, words: str) -> Iterator[tuple[int, int]]:
        """As the function of this name, within the beam."""
        above = list(range(len(self.target) + 1))
        for word, row in zip(words, self._rows(words), strict=True):
            pairs = passes = 0
            for column, cost in enumerate(row[1:]):
                if cost == above[column] + (word != self.target[column]):
                    pairs |= 1 << column
                elif cost == above[column + 1] + 1:
                    passes |= 1 << column
            yield pairs, passes
            above = row


def _differing(words: str, target: str) -> tuple[int, int]:
    """Where the two begin to differ, and where in `words` they end to, past the beginning."""
    shorter = min(len(words), len(target))
    start = 0
    while start < shorter and words[start] == target[start]:
        start += 1
    end = 0
    while end < shorter - start and words[-1 - end] == target[-1 - end]:
        end += 1
    return start, len(words) - end


def _choices(words: str, target: str) -> Iterator[tuple[int, int]]:
    """The last step of the alignment in the whole matrix, a row for each word: bits (one for each
    word of the reference, the first lowest) of the cells where the two words are paired, and where,
    if they are not, the word of the hypothesis is passed over."""
    matches: dict[str, int] = {}
    for position, word in enumerate(target):
        matches[word] = matches.get(word, 0) | 1 << position
    every = (1 << len(target)) - 1
    # Where the distance grows and shrinks from one column to the next.
    grows, shrinks = every, 0
    for word in words:
        match = matches.get(word, 0)
        same = ((((match & grows) + grows) ^ grows) | match | shrinks) & every
        down = shrinks | (every ^ (same | grows))
        yield match | (every ^ same), down
        left = (down << 1 | 1) & every
        grows, shrinks = (same & grows) << 1 & every | (every ^ (same | left)), left & same


def _walk(words: str, target: str, start: int, choices: list[tuple[int, int]]) -> _Path:
    """The path that `choices` tell, which are for the rows after the first `start`. Before and
    after these both sides are the same, but for what one has more, which is passed over."""
    row, column = len(words), len(target)
    arrived = [0] * (column + 1)
    wrong, missed = [row] * (row + 1), [column] * (column + 1)
    last = start + len(choices)
    while row or column:
        if start < row <= last and column > start:
            pairs, passes = choices[row - start - 1]
            bit = 1 << (column - start - 1)
            paired, passed = pairs & bit > 0, passes & bit > 0
        else:
            paired = row > 0 and column > 0 and words[row - 1] == target[column - 1]
            passed = row > column
        matched = paired and words[row - 1] == target[column - 1]
        if paired or not passed:
            arrived[column] = row
            column -= 1
            missed[column] = missed[column + 1] if matched else column
        if paired or passed:
            row -= 1
            wrong[row] = wrong[row + 1] if matched else row
    return _Path(arrived, wrong, missed)


def _moves(words: str, beam: _Beam, cost: int, tries: int) -> tuple[_Moves, int]:
    """The shifts of blocks that are in the reference too, out of a wrong place to one where the
    reference is missed; and `tries` more by as many, which end the list when they are too many."""
    target, where = beam.target, beam.where
    arrived, wrong, missed = beam.path(words, cost)
    moves: _Moves = {}
    for start, word in enumerate(words):
        if wrong[start] - start >= _LONGEST:
            continue
        for goal in where.get(word, ()):
            if abs(goal - start) > _FARTHEST:
                continue
            # Blocks shorter than this have no error on one of the sides; longer than the other
            # limit, they would be shifted within themselves.
            shortest = max(wrong[start] - start, missed[goal] - goal) + 1
            aligned = arrived[goal + 1] - 1
            longest = min(_LONGEST, aligned - start) if aligned >= start else _LONGEST
            if shortest > longest:
                continue
            longest = _shared(words[start : start + longest], target[goal : goal + longest])
            for length in range(shortest, longest + 1):
                goals = set(arrived[goal : goal + length + 1])
                tries += len(goals)
                if tries >= _TRIES:
                    return moves, tries
                moves.setdefault(length, set()).update([(start, to) for to in goals])
    return moves, tries


def _shared(one: str, other: str) -> int:
    """Characters that both begin with."""
    if one == other:
        return len(one)
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def _best(words: str, moves: _Moves, beam: _Beam, cost: int, least: int) -> tuple[str, int] | None:
    """The hypothesis after the best shift, with its distance: the nearest, then that of the longest
    block, then the first block, then the first place. None if no shift lessens the distance."""
    now = Levenshtein.distance(words, beam.target)
    best = None
    for length in sorted(moves, reverse=True):
        # A shift is at worst a block deleted and inserted, so it changes no more than that.
        if cost <= max(least, now - 2 * length):
            break
        choices = [_shifted(words, start, length, to) for start, to in sorted(moves[length])]
        found = beam.nearest(choices, cost - 1)
        if found is not None:
            best, cost = found, found[1]
    return best


def _shifted(words: str, start: int, length: int, to: int) -> str:
    """`words` with a block shifted to before the word `to`. A place within the block tells how far
    the block moves on."""
    end = start + length
    if to < start:
        return words[:to] + words[start:end] + words[to:start] + words[end:]
    after = to if to > end else to + length
    return words[:start] + words[end:after] + words[start:end] + words[after:]
