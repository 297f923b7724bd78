"""What a metric is. Each takes a sample: what it found in every record of one system, from which it
figures the score of all of them, of each record, and of records drawn again with replacement.

Imports no library of metrics and no numpy; each family does, when it is asked for figures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from numpy import ndarray


class Figure(NamedTuple):
    """One number that a metric gives. `name` is what it is called on the command line and in JSON,
    `title` in tables; `digits` are the decimals that tables show. `higher` tells whether more is
    better."""

    name: str
    title: str
    digits: int = 1
    higher: bool = True


class Sample(Protocol):
    """What a metric found in the records of one system."""

    def __len__(self) -> int:
        """The number of records."""

    def scores(self) -> list[float]:
        """The score of all records together, for each of the metric's figures."""

    def by_record(self) -> list[list[float]]:
        """The scores of each record by itself, nan where a figure says nothing of one record."""

    def resampled(self, weights: ndarray) -> ndarray:
        """Scores (draws, figures) of draws in which record r counts weights[draw, r] times.

        `weights` is an array (draws, records) of whole numbers or booleans.
        """

    def beside(self, other: Any) -> Sample:
        """One sample of this one's records and then those of `other`, of the same metric."""


class Metric(Protocol):
    """Beside what it declares here, it has a method that takes a sample of a system's records."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """In the order of a sample's scores."""

    @property
    def signature(self) -> str:
        """How the scores came about, as `key:value|key:value`; known once a sample was taken."""


class Additive:
    """A sample whose scores depend on sums over the records alone.

    `rows` holds a row of numbers for each record; `score` gives the figures of a row of sums, and
    `one` those of one record's row, where that is another thing.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[float]],
        score: Callable[[Sequence[float]], list[float]],
        one: Callable[[Sequence[float]], list[float]] | None = None,
    ) -> None:
        self.rows = rows
        self._score = score
        self._one = one or score

    def __len__(self) -> int:
        return len(self.rows)

    def scores(self) -> list[float]:
        return self._score([sum(column) for column in zip(*self.rows, strict=True)])

    def by_record(self) -> list[list[float]]:
        return [self._one(row) for row in self.rows]

    def resampled(self, weights: ndarray) -> ndarray:
        import numpy

        sums = weights.astype(float) @ numpy.asarray(self.rows, dtype=float)
        return numpy.array([self._score(row) for row in sums.tolist()])

    def beside(self, other: Additive) -> Additive:
        return Additive([*self.rows, *other.rows], self._score, self._one)


def of_parts(sample: Sample, parts: Collection[Collection[int]]) -> list[list[float]]:
    """The scores of each of `parts`, which hold the places of their records."""
    import numpy

    weights = numpy.zeros((len(parts), len(sample)), dtype=bool)
    for row, places in enumerate(parts):
        weights[row, list(places)] = True
    scores: list[list[float]] = sample.resampled(weights).tolist()
    return scores
