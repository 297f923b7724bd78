"""Records with labels, gold and predicted, and how often the labels occur in draws of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nlpcli.metrics import Figure
from nlpcli.metrics.draws import blocks, tally

if TYPE_CHECKING:
    from numpy import ndarray

AVERAGES = (
    Figure("f1", "macro F1", 3),
    Figure("precision", "macro precision", 3),
    Figure("recall", "macro recall", 3),
    Figure("micro-f1", "micro F1", 3),
    Figure("micro-precision", "micro precision", 3),
    Figure("micro-recall", "micro recall", 3),
)


class Occurrences(NamedTuple):
    """Which labels records have: record `records[i]` has the label with the code `codes[i]`."""

    records: ndarray
    codes: ndarray

    def counts(self, weights: ndarray, size: int) -> ndarray:
        """How often each of `size` labels occurs in draws (draws, records): (draws, size)."""
        return tally(weights[:, self.records], self.codes, size)

    def then(self, other: Occurrences, offset: int) -> Occurrences:
        """These, and those of `other` in records that begin at `offset`."""
        import numpy

        return Occurrences(
            numpy.concatenate([self.records, other.records + offset]),
            numpy.concatenate([self.codes, other.codes]),
        )


class LabelSample:
    """The labels of `size` records, gold and predicted, any number of each in a record.

    `labels` are sorted; codes are places in them.
    """

    width = len(AVERAGES) + 1

    def __init__(
        self, labels: tuple[str, ...], size: int, gold: Occurrences, predicted: Occurrences
    ) -> None:
        import numpy

        self.labels = labels
        self.gold = gold
        self.predicted = predicted
        wanted, given = (each.records * len(labels) + each.codes for each in (gold, predicted))
        both = numpy.intersect1d(wanted, given, assume_unique=True)
        self.both = Occurrences(*numpy.divmod(both, max(len(labels), 1)))
        found, *others = (
            numpy.bincount(each.records, minlength=size) for each in (self.both, gold, predicted)
        )
        self.correct = (found == others[0]) & (found == others[1])

    def __len__(self) -> int:
        return len(self.correct)

    def scores(self) -> list[float]:
        import numpy

        scores: list[float] = self.resampled(numpy.ones((1, len(self)), dtype=bool))[0].tolist()
        return scores

    def by_record(self) -> list[list[float]]:
        """1 or 0 for the accuracy; a record by itself has none of the other figures."""
        others = [float("nan")] * (self.width - 1)
        return [[float(correct), *others] for correct in self.correct.tolist()]

    def resampled(self, weights: ndarray) -> ndarray:
        import numpy

        width = max(len(self.labels), len(self.gold.records), len(self.predicted.records))
        return numpy.concatenate([self._figures(block) for block in blocks(weights, width)])

    def beside(self, other: LabelSample) -> LabelSample:
        return LabelSample(*self._beside(other))

    def counts(self, weights: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """How often each label was rightly predicted, gold, and predicted: three arrays (draws,
        labels) for weights (draws, records)."""
        size = len(self.labels)
        both, gold, predicted = (
            each.counts(weights, size) for each in (self.both, self.gold, self.predicted)
        )
        return both, gold, predicted

    def _figures(self, weights: ndarray) -> ndarray:
        import numpy

        accuracy = ratio(weights @ self.correct, weights.sum(axis=1))
        return numpy.column_stack([accuracy, *averages(*self.counts(weights))])

    def _beside(self, other: LabelSample) -> tuple[tuple[str, ...], int, Occurrences, Occurrences]:
        if self.labels != other.labels:
            raise ValueError("samples of different labels: give Classification those of all")
        return (
            self.labels,
            len(self) + len(other),
            self.gold.then(other.gold, len(self)),
            self.predicted.then(other.predicted, len(self)),
        )


def occurrences(labels: Sequence[str], records: Sequence[Collection[str]]) -> Occurrences:
    """The `labels` of each of `records`; one named twice in a record counts once."""
    import numpy

    code_of = {label: code for code, label in enumerate(labels)}
    found = [(record, code_of[label]) for record, some in enumerate(records) for label in set(some)]
    table = numpy.array(found, dtype=numpy.intp).reshape(-1, 2)
    return Occurrences(table[:, 0].copy(), table[:, 1].copy())


def ratio(part: ndarray, whole: ndarray) -> ndarray:
    """Elementwise, 0 where the whole is 0."""
    import numpy

    found = numpy.zeros(whole.shape)
    numpy.divide(part, whole, out=found, where=whole > 0)
    return found


def averages(both: ndarray, gold: ndarray, predicted: ndarray) -> list[ndarray]:
    """F1, precision and recall, macro and then micro, each (draws); counts are (draws, labels)."""
    present = (gold + predicted > 0).sum(axis=1)
    parts = (2 * both, gold + predicted), (both, predicted), (both, gold)
    macro = [ratio(ratio(part, whole).sum(axis=1), present) for part, whole in parts]
    micro = [ratio(part.sum(axis=1), whole.sum(axis=1)) for part, whole in parts]
    return macro + micro
