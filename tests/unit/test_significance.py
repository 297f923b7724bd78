"""Confidence intervals of the figures that sacreBLEU does not have, beside scipy's bootstrap."""

from __future__ import annotations

import random
from typing import Any

import numpy
import pytest
from scipy.stats import bootstrap as resample
from sklearn.metrics import f1_score

from nlpcli.metrics.classification import Classification
from nlpcli.metrics.rouge import Rouge
from nlpcli.metrics.significance import bootstrap, interval

DRAWS = 2000
RECORDS = 150


def agree(ours: Any, theirs: Any) -> None:
    """The ends lie within a fifth of half the interval: several times what 2,000 draws vary by."""
    low, high = theirs.confidence_interval
    room = (high - low) / 2 / 5
    assert ours.low == pytest.approx(low, abs=room)
    assert ours.high == pytest.approx(high, abs=room)
    assert ours.high - ours.low > 0


@pytest.mark.parametrize("kind", ["rouge1", "rougeLsum"])
def test_rouge(kind: str) -> None:
    draw = random.Random(7)
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(2 * RECORDS)]
    sample = Rouge([kind]).sample(texts[:RECORDS], [[text] for text in texts[RECORDS:]])
    single = numpy.array([scores[0] for scores in sample.by_record()])
    theirs = resample((single,), numpy.mean, n_resamples=DRAWS, method="percentile", rng=1)
    agree(interval(bootstrap(sample, DRAWS)[:, 0]), theirs)


def test_f1() -> None:
    draw = random.Random(8)
    gold = draw.choices("abc", [5, 3, 1], k=RECORDS)
    said = [label if draw.random() < 0.7 else draw.choice("abc") for label in gold]
    metric = Classification()
    sample = metric.sample(said, gold)
    place = [figure.name for figure in metric.figures].index("f1")

    def macro(*columns: Any) -> float:
        return float(f1_score(*columns, average="macro", zero_division=0))

    theirs = resample(
        (numpy.array(gold), numpy.array(said)),
        macro,
        n_resamples=DRAWS,
        method="percentile",
        paired=True,
        vectorized=False,
        rng=1,
    )
    agree(interval(bootstrap(sample, DRAWS)[:, place]), theirs)
