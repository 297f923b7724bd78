"""Figures of classification against scikit-learn's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.preprocessing import MultiLabelBinarizer

from nlpcli import __version__
from nlpcli.errors import DataError
from nlpcli.metrics.classification import (
    Classification,
    MultiLabel,
    confusion,
    per_class,
)
from nlpcli.metrics.significance import bootstrap, interval

Pairs = list[tuple[str, str]]

LABELS = ["b", "a", "é", "label with spaces", "B"]
AVERAGES = ["f1", "precision", "recall", "micro-f1", "micro-precision", "micro-recall"]


@st.composite
def labelings(draw: st.DrawFn, least: int = 1) -> Pairs:
    """Pairs (gold, predicted); either has labels that the other lacks, or both one only."""
    gold = draw(st.lists(st.sampled_from(LABELS), min_size=1, unique=True))
    predicted = draw(st.lists(st.sampled_from(LABELS), min_size=1, unique=True))
    pair = st.tuples(st.sampled_from(gold), st.sampled_from(predicted))
    return draw(st.lists(pair, min_size=least, max_size=40))


# Few values, so that scores tie and lie on the bins' edges.
steps = st.sampled_from([0.0, 1 / 15, 0.2, 1 / 3, 0.4, 0.5, 0.6, 2 / 3, 0.8, 14 / 15, 1.0])
weighings = st.integers(0, 2**32 - 1).map(numpy.random.default_rng)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """scikit-learn warns of each figure that is not defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def columns(pairs: Pairs) -> tuple[list[str], list[str]]:
    return [gold for gold, _ in pairs], [predicted for _, predicted in pairs]


def averages(gold: object, predicted: object, labels: object = None) -> dict[str, float]:
    found = {}
    for average, prefix in (("macro", ""), ("micro", "micro-")):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            gold, predicted, labels=labels, average=average, zero_division=0
        )
        found |= {f"{prefix}f1": f1, f"{prefix}precision": precision, f"{prefix}recall": recall}
    return found


def reference(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    return {
        "accuracy": sk.accuracy_score(gold, predicted),
        **averages(gold, predicted),
        "mcc": sk.matthews_corrcoef(gold, predicted),
    }


def named(metric: Classification | MultiLabel, scores: Sequence[float]) -> dict[str, float]:
    return {figure.name: score for figure, score in zip(metric.figures, scores, strict=True)}


def same(found: Mapping[str, float], wanted: Mapping[str, float]) -> None:
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-12, rel=1e-12, nan_ok=True), name


@settings(max_examples=300)
@given(labelings(), st.sets(st.sampled_from(LABELS)))
def test_figures_equal_scikit_learn(pairs: Pairs, others: set[str]) -> None:
    gold, predicted = columns(pairs)
    metric = Classification(sorted(others))
    found = named(metric, metric.sample(predicted, gold).scores())
    same(found, reference(gold, predicted))
    assert math.isnan(found["ece"])
    assert math.isnan(found["roc-auc"])


@given(labelings(), weighings)
def test_draws_equal_the_records_repeated(pairs: Pairs, random: numpy.random.Generator) -> None:
    gold, predicted = columns(pairs)
    metric = Classification()
    picks = random.integers(len(pairs), size=(4, len(pairs)))
    weights = numpy.array([numpy.bincount(row, minlength=len(pairs)) for row in picks])
    drawn = metric.sample(predicted, gold).resampled(weights)
    for scores, row in zip(drawn, picks, strict=True):
        same(
            named(metric, scores),
            reference([gold[i] for i in row], [predicted[i] for i in row]),
        )


@given(labelings())
def test_each_class_and_the_confusion_equal_scikit_learn(pairs: Pairs) -> None:
    gold, predicted = columns(pairs)
    sample = Classification().sample(predicted, gold)
    rows = per_class(sample)
    labels = sorted({*gold, *predicted})
    assert [row.label for row in rows] == labels
    wanted = sk.precision_recall_fscore_support(gold, predicted, labels=labels, zero_division=0)
    assert numpy.array([row[1:] for row in rows]) == pytest.approx(
        numpy.column_stack(wanted), abs=1e-12
    )
    assert all(isinstance(row.support, int) for row in rows)
    assert confusion(sample) == sk.confusion_matrix(gold, predicted, labels=labels).tolist()


def test_a_label_of_another_system_is_in_the_tables_only() -> None:
    sample = Classification(["c"]).sample(["a", "b"], ["a", "a"])
    assert sample.labels == ("a", "b", "c")
    assert per_class(sample)[2] == ("c", 0, 0, 0, 0)
    assert confusion(sample) == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert sample.scores()[1] == pytest.approx(1 / 3)


def plain_ece(confidence: list[float], correct: list[bool], bins: int) -> float:
    total = 0.0
    for low in range(bins):
        inside = [
            index
            for index, value in enumerate(confidence)
            if low / bins < value <= (low + 1) / bins or (low == 0 and value == 0)
        ]
        if inside:
            accuracy = numpy.mean([correct[index] for index in inside])
            mean = numpy.mean([confidence[index] for index in inside])
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


@given(
    st.lists(st.tuples(steps | st.floats(0, 1), st.booleans()), min_size=1),
    st.sampled_from([1, 5, 10, 15]),
)
def test_calibration_equals_a_plain_loop(records: list[tuple[float, bool]], bins: int) -> None:
    confidence = [value for value, _ in records]
    correct = [right for _, right in records]
    metric = Classification(bins=bins)
    predicted = ["yes" if right else "no" for right in correct]
    sample = metric.sample(predicted, ["yes"] * len(records), confidence=confidence)
    wanted = plain_ece(confidence, correct, bins)
    assert named(metric, sample.scores())["ece"] == pytest.approx(wanted, abs=1e-12)


def test_the_confidence_is_the_probability_of_the_predicted_label() -> None:
    metric = Classification()
    sample = metric.sample(["a", "b"], ["a", "a"], [{"a": 0.9, "b": 0.1}, {"a": 0.3, "b": 0.7}])
    assert named(metric, sample.scores())["ece"] == pytest.approx(0.1 / 2 + 0.7 / 2)


@st.composite
def probabilities(draw: st.DrawFn) -> tuple[list[str], list[dict[str, float]]]:
    """Gold labels, and probabilities that sum to 1, as scikit-learn wants them."""
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=2, unique=True))
    gold = draw(st.lists(st.sampled_from(labels), min_size=1, max_size=25))
    found = []
    for _ in gold:
        parts = draw(
            st.lists(st.integers(0, 4), min_size=len(labels), max_size=len(labels)).filter(any)
        )
        found.append({label: n / sum(parts) for label, n in zip(labels, parts, strict=True)})
    return gold, found


def area(gold: list[str], found: list[dict[str, float]]) -> float:
    labels = sorted(found[0])
    table = numpy.array([[each[label] for label in labels] for each in found])
    if len(labels) > 2:
        return float(sk.roc_auc_score(gold, table, multi_class="ovr", labels=labels))
    return float(sk.roc_auc_score([each == labels[1] for each in gold], table[:, 1]))


@settings(max_examples=200)
@given(probabilities(), weighings)
def test_areas_equal_scikit_learn(
    records: tuple[list[str], list[dict[str, float]]], random: numpy.random.Generator
) -> None:
    gold, found = records
    predicted = [max(each, key=each.__getitem__) for each in found]
    metric = Classification(list(found[0]))
    sample = metric.sample(predicted, gold, found)
    same(named(metric, sample.scores()), {"roc-auc": area(gold, found)})
    picks = random.integers(len(gold), size=(4, len(gold)))
    weights = numpy.array([numpy.bincount(row, minlength=len(gold)) for row in picks])
    for scores, row in zip(sample.resampled(weights), picks, strict=True):
        wanted = area([gold[i] for i in row], [found[i] for i in row])
        same(named(metric, scores), {"roc-auc": wanted})


def test_no_area_without_the_probability_of_each_label() -> None:
    sample = Classification().sample(["a", "b"], ["a", "b"], [{"a": 0.9}, {"b": 0.7}])
    *_, ece, auc = sample.scores()
    assert ece == pytest.approx(0.2)
    assert math.isnan(auc)


def test_intervals_agree_with_scipy() -> None:
    """Each end of an interval over 1,000 draws strays by about 0.02 of the interval's width."""
    random = numpy.random.default_rng(3)
    gold = random.choice(["a", "b", "c"], 300, p=[0.6, 0.3, 0.1])
    predicted = numpy.where(random.random(300) < 0.7, gold, random.choice(["a", "b", "c"], 300))
    metric = Classification()
    scores = bootstrap(metric.sample(predicted.tolist(), gold.tolist()))
    found = interval(scores[:, [figure.name for figure in metric.figures].index("f1")])
    wanted = scipy.stats.bootstrap(
        (gold, predicted),
        lambda gold, predicted: sk.f1_score(gold, predicted, average="macro"),
        n_resamples=1000,
        paired=True,
        vectorized=False,
        method="percentile",
        rng=random,
    ).confidence_interval
    within = 0.1 * (wanted.high - wanted.low)
    assert found.low == pytest.approx(wanted.low, abs=within)
    assert found.high == pytest.approx(wanted.high, abs=within)


def test_many_draws_in_blocks_equal_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from nlpcli.metrics import draws

    random = numpy.random.default_rng(5)
    labels = ["a", "b", "c"]
    gold = random.choice(labels, 50).tolist()
    table = random.dirichlet([1, 1, 1], 50)
    found = [dict(zip(labels, row, strict=True)) for row in table.tolist()]
    predicted = [max(each, key=each.__getitem__) for each in found]
    sample = Classification().sample(predicted, gold, found)
    weights = random.integers(0, 3, (40, 50))
    at_once = sample.resampled(weights)
    monkeypatch.setattr(draws, "_HELD", 1)
    assert (sample.resampled(weights) == at_once).all()


@given(labelings(), labelings(), st.data())
def test_two_samples_side_by_side(one: Pairs, other: Pairs, data: st.DataObject) -> None:
    metric = Classification(LABELS)
    confidence = data.draw(st.lists(steps, min_size=len(one + other), max_size=len(one + other)))
    samples = [
        metric.sample(*reversed(columns(pairs)), confidence=some)
        for pairs, some in ((one, confidence[: len(one)]), (other, confidence[len(one) :]))
    ]
    both = metric.sample(*reversed(columns(one + other)), confidence=confidence)
    beside = samples[0].beside(samples[1])
    assert len(beside) == len(both)
    assert beside.scores() == pytest.approx(both.scores(), abs=1e-12, nan_ok=True)
    assert [row[0] for row in beside.by_record()] == [row[0] for row in both.by_record()]


def test_samples_of_other_labels_do_not_go_together() -> None:
    metric = Classification()
    with pytest.raises(ValueError, match="labels"):
        metric.sample(["a"], ["a"]).beside(metric.sample(["b"], ["b"]))


def test_a_record_by_itself_has_an_accuracy_only() -> None:
    records = Classification().sample(["a", "b"], ["a", "a"]).by_record()
    assert [row[0] for row in records] == [1, 0]
    assert all(len(row) == 10 and all(map(math.isnan, row[1:])) for row in records)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-9, 1.0000001, None, "0.5"])
def test_values_that_are_no_probability_are_named(value: float) -> None:
    metric = Classification()
    with pytest.raises(DataError, match=r"record 2: the probability of 'b' is") as caught:
        metric.sample(["a", "a"], ["a", "b"], [{"a": 1.0, "b": 0}, {"a": 0.5, "b": value}])
    assert "from 0 to 1" in caught.value.hint
    with pytest.raises(DataError, match="record 1: the confidence is"):
        metric.sample(["a"], ["a"], confidence=[value])


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="lengths"):
        Classification().sample(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="lengths"):
        Classification().sample(["a"], ["a"], confidence=[])


def test_the_signature_tells_the_classes() -> None:
    metric = Classification(["x"], bins=10)
    metric.sample(["a", "b"], ["a", "c"])
    assert metric.signature == f"classes:4|zero:0|bins:10|version:nlpcli-{__version__}"


sets = st.sets(st.sampled_from(LABELS), max_size=4)


@settings(max_examples=200)
@given(st.lists(st.tuples(sets, sets), min_size=1, max_size=20), weighings)
def test_sets_of_labels_equal_scikit_learn(
    pairs: list[tuple[set[str], set[str]]], random: numpy.random.Generator
) -> None:
    metric = MultiLabel()
    gold, predicted = [one for one, _ in pairs], [other for _, other in pairs]
    sample = metric.sample(predicted, gold)
    same(named(metric, sample.scores()), multi_reference(gold, predicted))
    right = [float(one == other) for one, other in pairs]
    assert [row[0] for row in sample.by_record()] == right
    picks = random.integers(len(pairs), size=(3, len(pairs)))
    weights = numpy.array([numpy.bincount(row, minlength=len(pairs)) for row in picks])
    for scores, row in zip(sample.resampled(weights), picks, strict=True):
        wanted = multi_reference([gold[i] for i in row], [predicted[i] for i in row])
        same(named(metric, scores), wanted)


def multi_reference(gold: list[set[str]], predicted: list[set[str]]) -> dict[str, float]:
    binarizer = MultiLabelBinarizer().fit(gold + predicted)
    if not len(binarizer.classes_):
        return {"accuracy": 1.0, **dict.fromkeys(AVERAGES, 0.0)}
    # A table of one column would be binary labels to scikit-learn, so it gets an empty one more.
    tables = [numpy.pad(binarizer.transform(some), [(0, 0), (0, 1)]) for some in (gold, predicted)]
    labels = range(len(binarizer.classes_))
    return {"accuracy": sk.accuracy_score(*tables), **averages(*tables, labels=labels)}


def test_sets_of_labels_class_by_class() -> None:
    sample = MultiLabel().sample([{"a"}, {"a", "b"}], [{"a", "b"}, {"b"}])
    assert [tuple(row) for row in per_class(sample)] == [
        ("a", 0.5, 1, pytest.approx(2 / 3), 1),
        ("b", 1, 0.5, pytest.approx(2 / 3), 2),
    ]
