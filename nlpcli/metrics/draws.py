"""Weighted counts of many draws of records at once, and the area under the ROC curve from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray

_HELD = 1 << 22  # numbers that one array of counts may hold


def blocks(weights: ndarray, width: int) -> Iterator[ndarray]:
    """The `weights` (draws, records) as floats, so many draws at a time that counts of them, each
    `width` long, stay small."""
    step = max(_HELD // max(width, weights.shape[1], 1), 1)
    for start in range(0, len(weights), step):
        yield weights[start : start + step].astype(float)


def tally(weights: ndarray, codes: ndarray, size: int) -> ndarray:
    """Sums (draws, size) of the `weights` (draws, items) over the items of each code below
    `size`."""
    import numpy

    return numpy.stack([numpy.bincount(codes, row, size) for row in weights])


class Ranking:
    """Records in the order of their `scores`, `positive` (records, booleans) or not: sorted once,
    it gives the area under the ROC curve of any draw of them."""

    def __init__(self, scores: ndarray, positive: ndarray) -> None:
        import numpy

        _, tie, size = numpy.unique(scores, return_inverse=True, return_counts=True)
        held = numpy.bincount(tie, positive)
        kind = (held > 0) + (held == size)
        # Neighbours that are all positive, or all negative, count as one stretch; a tie of both
        # stays by itself, for there each pair counts half.
        starts = numpy.append(True, (kind[1:] != kind[:-1]) | (kind[1:] == 1))
        stretch = numpy.cumsum(starts) - 1
        self.cells = 2 * stretch[tie] + positive
        self.width = 2 * int(stretch[-1]) + 2

    def areas(self, weights: ndarray) -> ndarray:
        """The area for each of the `weights` (draws, records): the share of the pairs of a
        positive and a negative record in which the positive one scores higher, ties counted half.
        nan where a draw has records of one kind only."""
        import numpy

        cells = tally(weights, self.cells, self.width)
        negative, positive = cells[:, ::2], cells[:, 1::2]
        below = numpy.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        area = numpy.full(len(weights), numpy.nan)
        numpy.divide((positive * below).sum(axis=1), pairs, out=area, where=pairs > 0)
        return area


def mean_areas(rankings: Sequence[Ranking], weights: ndarray) -> ndarray:
    """The mean of the areas of all `rankings`, for each of the `weights` (draws, records)."""
    import numpy

    width = max(ranking.width for ranking in rankings)
    return numpy.concatenate(
        [
            numpy.mean([ranking.areas(block) for ranking in rankings], axis=0)
            for block in blocks(weights, width)
        ]
    )
