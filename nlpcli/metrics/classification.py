"""Classification: accuracy, precision, recall, F1, Matthews correlation, calibration, ROC-AUC.

Every figure that scikit-learn has equals scikit-learn's, with zero_division=0: the macro averages
are over the labels that are gold or predicted in what is scored, be it all records or a draw.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from nlpcli import __version__
from nlpcli.errors import DataError
from nlpcli.metrics import Figure
from nlpcli.metrics.draws import Ranking, mean_areas, tally
from nlpcli.metrics.labels import AVERAGES, LabelSample, Occurrences, averages, occurrences, ratio

if TYPE_CHECKING:
    from numpy import ndarray

BINS = 15


class ClassRow(NamedTuple):
    """How well one label was found; `support` is the number of records whose gold label it is."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class ClassSample(LabelSample):
    """One label for each record, gold and predicted.

    `confidence` (records) is that of the predicted labels, `probabilities` (records, labels) those
    of all; None where nothing says them.
    """

    width = LabelSample.width + 3

    def __init__(
        self,
        labels: tuple[str, ...],
        size: int,
        gold: Occurrences,
        predicted: Occurrences,
        bins: int,
        confidence: ndarray | None,
        probabilities: ndarray | None,
    ) -> None:
        super().__init__(labels, size, gold, predicted)
        self.bins = bins
        self.confidence = confidence
        self.probabilities = probabilities

    def beside(self, other: LabelSample) -> ClassSample:
        assert isinstance(other, ClassSample)
        return ClassSample(
            *self._beside(other),
            self.bins,
            _stacked(self.confidence, other.confidence),
            _stacked(self.probabilities, other.probabilities),
        )

    def resampled(self, weights: ndarray) -> ndarray:
        import numpy

        return numpy.column_stack([super().resampled(weights), self._areas(weights)])

    def _figures(self, weights: ndarray) -> ndarray:
        import numpy

        total = weights.sum(axis=1)
        both, gold, predicted = self.counts(weights)
        right = both.sum(axis=1)
        return numpy.column_stack(
            [
                ratio(right, total),
                *averages(both, gold, predicted),
                _matthews(right, total, gold, predicted),
                self._calibration(weights, total),
            ]
        )

    def _calibration(self, weights: ndarray, total: ndarray) -> ndarray:
        import numpy

        if self.confidence is None:
            return numpy.full(len(weights), numpy.nan)
        edges = numpy.arange(1, self.bins) / self.bins
        bin_of = numpy.searchsorted(edges, self.confidence, side="left")
        gaps = tally(weights * (self.correct - self.confidence), bin_of, self.bins)
        return ratio(numpy.abs(gaps).sum(axis=1), total)

    def _areas(self, weights: ndarray) -> ndarray:
        import numpy

        if self.probabilities is None or len(self.labels) < 2:
            return numpy.full(len(weights), numpy.nan)
        return mean_areas(self._rankings, weights)

    @cached_property
    def _rankings(self) -> list[Ranking]:
        """Of each label against the others; of two labels the second says all."""
        assert self.probabilities is not None
        codes = range(len(self.labels)) if len(self.labels) > 2 else (1,)
        return [Ranking(self.probabilities[:, code], self.gold.codes == code) for code in codes]


class Classification:
    """One label for each record. `labels` are those that may occur beyond the ones that a sample
    has: give those of all systems where there are several. They change no average, for a label that
    is neither gold nor predicted counts in none.

    `ece` is the expected calibration error (Guo et al. 2017) over `bins` bins of equal width. Bin m
    of M holds the confidences above (m-1)/M and up to m/M, the first one 0 as well; the gap between
    the accuracy and the mean confidence of each bin counts by its share of the records. nan where
    no confidence is given.

    `roc-auc` is the area under the ROC curve: for two labels that of the second in sorted order,
    for more the mean of each against the others. nan where the probability of some label is not
    given, and, as in scikit-learn, where some label is gold in none of what is scored, or in all.
    """

    figures = (
        Figure("accuracy", "accuracy", 3),
        *AVERAGES,
        Figure("mcc", "MCC", 3),
        Figure("ece", "ECE", 3, higher=False),
        Figure("roc-auc", "ROC-AUC", 3),
    )

    def __init__(self, labels: Sequence[str] = (), bins: int = BINS) -> None:
        self._labels = labels
        self._bins = bins
        self._classes = len(set(labels))

    @property
    def signature(self) -> str:
        return f"classes:{self._classes}|zero:0|bins:{self._bins}|version:nlpcli-{__version__}"

    def sample(
        self,
        predicted: Sequence[str],
        gold: Sequence[str],
        probabilities: Sequence[Mapping[str, float]] | None = None,
        confidence: Sequence[float] | None = None,
    ) -> ClassSample:
        """`probabilities` are by label, `confidence` is that of the predicted label, by default its
        probability. Raises DataError for one that is not a number from 0 to 1."""
        import numpy

        labels = tuple(sorted({*self._labels, *gold, *predicted}))
        self._classes = len(labels)
        _check_lengths(gold, predicted, probabilities, confidence)
        _check_values(probabilities, confidence)
        if confidence is None:
            sure = _of_labels(probabilities, [(label,) for label in predicted])
        else:
            sure = numpy.array(confidence, dtype=float)
        return ClassSample(
            labels,
            len(gold),
            occurrences(labels, [(label,) for label in gold]),
            occurrences(labels, [(label,) for label in predicted]),
            self._bins,
            None if sure is None else sure.ravel(),
            _of_labels(probabilities, [labels] * len(gold)),
        )


class MultiLabel:
    """A set of labels, which may be empty, for each record. `labels` are those that may occur
    beyond the ones that a sample has: give those of all systems where there are several."""

    figures = (Figure("accuracy", "exact match", 3), *AVERAGES)

    def __init__(self, labels: Sequence[str] = ()) -> None:
        self._labels = labels
        self._classes = len(set(labels))

    @property
    def signature(self) -> str:
        return f"classes:{self._classes}|zero:0|version:nlpcli-{__version__}"

    def sample(
        self, predicted: Sequence[Collection[str]], gold: Sequence[Collection[str]]
    ) -> LabelSample:
        """The accuracy counts records whose predicted labels are the gold ones, none missing and
        none too many."""
        _check_lengths(gold, predicted)
        labels = tuple(sorted(set(self._labels).union(*gold, *predicted)))
        self._classes = len(labels)
        return LabelSample(
            labels, len(gold), occurrences(labels, gold), occurrences(labels, predicted)
        )


def per_class(sample: LabelSample) -> list[ClassRow]:
    """A row for each label of the `sample`, in sorted order."""
    import numpy

    both, gold, predicted = (
        each[0] for each in sample.counts(numpy.ones((1, len(sample)), dtype=bool))
    )
    columns = ratio(both, predicted), ratio(both, gold), ratio(2 * both, gold + predicted)
    figures = (column.tolist() for column in (*columns, gold.astype(int)))
    return [ClassRow(*row) for row in zip(sample.labels, *figures, strict=True)]


def confusion(sample: ClassSample) -> list[list[int]]:
    """How many records have each gold label (row) and predicted label (column), both in the order
    of the sample's labels."""
    import numpy

    size = len(sample.labels)
    cells = sample.gold.codes * size + sample.predicted.codes
    matrix: list[list[int]] = numpy.bincount(cells, minlength=size**2).reshape(size, size).tolist()
    return matrix


def _matthews(right: ndarray, total: ndarray, gold: ndarray, predicted: ndarray) -> ndarray:
    """The correlation of gold and predicted labels (Gorodkin 2004), 0 where either is constant."""
    import numpy

    shared = right * total - (gold * predicted).sum(axis=1)
    spread = (total**2 - (gold**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1))
    return ratio(shared, numpy.sqrt(spread))


def _of_labels(
    probabilities: Sequence[Mapping[str, float]] | None, labels: Sequence[Sequence[str]]
) -> ndarray | None:
    """The probabilities (records, labels) of each record's `labels`; None where one is not
    given."""
    import numpy

    if probabilities is None:
        return None
    try:
        rows = [
            [each[one] for one in some] for each, some in zip(probabilities, labels, strict=True)
        ]
    except KeyError:
        return None
    return numpy.array(rows, dtype=float)


def _check_lengths(*columns: Sequence[object] | None) -> None:
    if len({len(column) for column in columns if column is not None}) > 1:
        raise ValueError("columns of different lengths")


def _check_values(
    probabilities: Sequence[Mapping[str, float]] | None, confidence: Sequence[float] | None
) -> None:
    for number, each in enumerate(probabilities or (), start=1):
        for label, value in each.items():
            if not _sound(value):
                raise _unsound(number, f"probability of {label!r}", value)
    for number, value in enumerate(confidence or (), start=1):
        if not _sound(value):
            raise _unsound(number, "confidence", value)


def _sound(value: float) -> bool:
    try:
        return 0 <= value <= 1
    except TypeError:
        return False


def _unsound(number: int, name: str, value: float) -> DataError:
    return DataError(
        f"record {number}: the {name} is {value!r}",
        "probabilities and confidences are numbers from 0 to 1",
    )


def _stacked(one: ndarray | None, other: ndarray | None) -> ndarray | None:
    import numpy

    return None if one is None or other is None else numpy.concatenate([one, other])
