"""Axes of the learning curve: the range that is drawn and the round numbers on it."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from nlpcli.training.history import History, Scores

# Differences of a diverged loss beyond it overflow.
_LARGEST = 1e100
# Where values differ by less, they are drawn as equal: floats hardly tell such ticks apart.
_LEAST, _LEAST_SHARE = 1e-12, 1e-9


class Axis(NamedTuple):
    """From `low` to `high`, with round numbers `step` apart."""

    low: float
    high: float
    step: float

    def share(self, value: float) -> float:
        """Where `value` is on the way from `low` (0) to `high` (1)."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """The round numbers, from the lowest to the highest."""
        first, last = ceil(self.low / self.step - 1e-6), floor(self.high / self.step + 1e-6)
        return [number * self.step for number in range(first, last + 1)]

    def label(self, value: float) -> str:
        """`value` with as many decimals as the ticks have."""
        if max(abs(self.low), abs(self.high)) >= 1e7 or self.step < 1e-5:
            return f"{value:.3g}"
        return f"{value:,.{max(0, -floor(log10(self.step) + 1e-6))}f}"


class Point(NamedTuple):
    """A value that was reached after `step` steps; `best` marks that of the best scores."""

    step: int
    value: float
    best: bool = False


class Curves(NamedTuple):
    """What is drawn of a run: the losses in training and on the validation data, and the figure
    that tells which scores are best, where there are two or more of it. `steps` are all, and
    `epoch` the steps of a pass, 0 where that is not known."""

    training: list[Point]
    validation: list[Point]
    figure: list[Point]
    steps: int
    epoch: float


def curves_of(history: History) -> Curves:
    """The points of `history` that are finite."""
    training = _finite(Point(loss.step, loss.value) for loss in history.losses)
    best = next((scores for scores in reversed(history.scores) if scores.best), None)
    validation = _finite(Point(each.step, each.loss, each is best) for each in history.scores)
    figure = _finite(
        Point(each.step, each.figures[history.figure], each is best)
        for each in history.scores
        if history.figure in each.figures
    )
    steps = max((point.step for point in [*training, *validation, *figure]), default=0)
    figure = figure if len(figure) > 1 else []
    return Curves(training, validation, figure, steps, _epoch(history.scores))


def around(points: Iterable[Point], count: int) -> Axis:
    """An axis from a round number below all of `points` to one above, with about `count` ticks;
    there is one point at least."""
    values = [point.value for point in points]
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if high - low < max(_LEAST, _LEAST_SHARE * size):
        low, high = low - (0.1 * size or 0.1), high + (0.1 * size or 0.1)
    step = _round_step((high - low) / count)
    return Axis(floor(low / step + 1e-6) * step, ceil(high / step - 1e-6) * step, step)


def counted(last: float, count: int) -> Axis:
    """An axis from 0 to `last` (above 0) whose ticks are whole numbers, `count` of them or
    fewer beside 0."""
    step = max(_round_step(last / max(count, 1)), 1.0)
    return Axis(0.0, last, step)


def _round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** floor(log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least * (1 - 1e-9))


def _finite(points: Iterable[Point]) -> list[Point]:
    return [each for each in points if isfinite(each.value) and abs(each.value) < _LARGEST]


def _epoch(scores: list[Scores]) -> float:
    """The steps of a pass over the training data."""
    last = next((each for each in reversed(scores) if each.epoch > 0), None)
    return last.step / last.epoch if last else 0.0
