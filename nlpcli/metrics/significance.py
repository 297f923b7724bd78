"""How sure a score is: bootstrap confidence intervals, and paired tests against a baseline.

The draws, the intervals and the p-values are sacreBLEU's for the same seed and number of draws,
for every metric.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from nlpcli.metrics import Sample

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

SEED = 12345
BOOTSTRAP_DRAWS = 1000
RANDOMIZATION_DRAWS = 10_000

# Weights held at once, in numbers. A block has a multiple of 32 draws: the generator gives booleans
# 32 at a time, and starts anew with each call.
_HELD = 1 << 24


class Interval(NamedTuple):
    """A 95 % confidence interval: the mean of the draws, the least and the greatest of the middle
    95 %, and half of what lies between these two."""

    mean: float
    half: float
    low: float
    high: float


def bootstrap(sample: Sample, draws: int = BOOTSTRAP_DRAWS, seed: int = SEED) -> ndarray:
    """Scores (draws, figures) of as many records drawn with replacement; the same records for
    every sample of the same length."""
    import numpy

    generator = numpy.random.default_rng(seed)
    return numpy.concatenate(
        [sample.resampled(weights) for weights in _with_replacement(generator, draws, len(sample))]
    )


def interval(scores: ndarray) -> Interval:
    """The interval of a figure's `scores` (draws) over the bootstrap draws, those left out that
    the figure says nothing of (nan)."""
    import numpy

    ranked = numpy.sort(scores[~numpy.isnan(scores)])
    if not len(ranked):
        return Interval(*[float("nan")] * 4)
    cut = len(ranked) // 40
    low, high = ranked[cut], ranked[len(ranked) - cut - 1]
    return Interval(float(ranked.mean()), float(high - low) / 2, float(low), float(high))


def paired_bootstrap(baseline: ndarray, system: ndarray, difference: float) -> float:
    """The p-value of a `difference` between two scores, from the bootstrap scores (draws) of the
    figure for both systems over the same draws (Koehn 2004)."""
    import numpy

    found = numpy.abs(system - baseline)
    return _p_value(found - numpy.nanmean(found), abs(difference))


def randomization(
    baseline: Sample, system: Sample, draws: int = RANDOMIZATION_DRAWS, seed: int = SEED
) -> list[float]:
    """The p-value of each figure's difference between two systems, from draws in which each
    record's outputs change places or do not (approximate randomization, Riezler and Maxwell
    2005)."""
    import numpy

    generator = numpy.random.default_rng(seed)
    both = baseline.beside(system)
    shuffled = []
    for chosen in _swaps(generator, draws, len(baseline)):
        one = both.resampled(numpy.concatenate([chosen, ~chosen], axis=1))
        other = both.resampled(numpy.concatenate([~chosen, chosen], axis=1))
        shuffled.append(numpy.abs(one - other))
    found = numpy.concatenate(shuffled)
    real = [abs(one - other) for one, other in zip(baseline.scores(), system.scores(), strict=True)]
    return [_p_value(found[:, index], value) for index, value in enumerate(real)]


def _p_value(found: ndarray, real: float) -> float:
    """The share of draws beyond the `real` difference, the real one counted among them; draws that
    the figure says nothing of are left out."""
    import numpy

    known = found[~numpy.isnan(found)]
    return float(((known > real).sum() + 1) / (len(known) + 1))


def _with_replacement(generator: Generator, draws: int, size: int) -> Iterator[ndarray]:
    """How often each record was drawn: arrays (some draws, size) of whole numbers."""
    import numpy

    block = _block(size)
    for start in range(0, draws, block):
        count = min(block, draws - start)
        drawn = generator.choice(size, size=(count, size), replace=True)
        drawn += numpy.arange(count)[:, None] * size
        yield numpy.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)


def _swaps(generator: Generator, draws: int, size: int) -> Iterator[ndarray]:
    """Arrays (some draws, size) of booleans."""
    block = _block(size)
    for start in range(0, draws, block):
        yield generator.integers(2, size=(min(block, draws - start), size), dtype=bool)


def _block(size: int) -> int:
    return max(_HELD // max(size, 1) // 32, 1) * 32
