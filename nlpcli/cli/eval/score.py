"""From outputs to a report: the scores of every system, how sure they are, and their signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from math import isnan, nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nlpcli import __version__
from nlpcli.cli.eval import data
from nlpcli.cli.eval.data import Data, System
from nlpcli.cli.eval.options import PAIRED, REPORTS, Scoring
from nlpcli.errors import DataError, UsageError, did_you_mean
from nlpcli.metrics import Figure, Metric, Sample, of_parts, significance
from nlpcli.metrics.significance import Interval

if TYPE_CHECKING:
    from nlpcli.cli.eval.confusion import Classes

Samples = Callable[[Any, System], Sample]
_COSTS = (
    Figure("speed", "rec/s"),
    Figure("seconds", "sec", higher=False),
    Figure("memory", "MiB", digits=0, higher=False),
)


class Score(NamedTuple):
    """One figure of one system; `p_value` is that of its difference from the first system."""

    value: float
    interval: Interval | None = None
    p_value: float | None = None


class Column(NamedTuple):
    """One figure of all systems. `by_record` gives each system's records their scores, and
    `by_document` its documents, in the order of `documents`."""

    figure: Figure
    signature: str
    scores: list[Score]
    by_record: Callable[[], list[list[float]]]
    by_document: list[list[float]] | None = None


class Report(NamedTuple):
    """Everything that a report shows. `shown` are the columns asked for, of all `columns`;
    `classes` says of each system what became of every label."""

    task: str
    data: Data
    columns: list[Column]
    shown: list[Column]
    test: str
    draws: int
    seed: int
    classes: Mapping[str, Classes] = MappingProxyType({})

    @property
    def documents(self) -> dict[str, list[int]]:
        """The places of each document's records."""
        places: dict[str, list[int]] = {}
        for place, name in enumerate(self.data.documents or ()):
            places.setdefault(name, []).append(place)
        return places


def check(given: Scoring, names: Sequence[str]) -> tuple[list[str], dict[str, float]]:
    """The metrics asked for, and the least scores; `names` are the figures that there are.

    Raises UsageError for a value that no option takes.
    """
    data.check(given)
    for option, value, known in (
        ("--output-format", given.output_format, REPORTS),
        ("--paired", given.paired, PAIRED),
    ):
        if value not in known:
            raise UsageError(f"{option} {value}: no such value", f"name one of {', '.join(known)}")
    if given.per_record and given.output_format in ("markdown", "latex"):
        raise UsageError(
            f"--per-record: not in {given.output_format}", "take table, tsv or jsonl for it"
        )
    asked = [name.strip() for value in given.metric or () for name in value.split(",")]
    least = {}
    for value in given.fail_under or ():
        name, _, number = value.partition("=")
        try:
            least[name.strip()] = float(number)
        except ValueError:
            raise UsageError(f"--fail-under {value}: no METRIC=VALUE", "such as bleu=30") from None
    for name in [*asked, *least]:
        if name not in names:
            hint = did_you_mean(name, names) or f"name some of {', '.join(names)}"
            raise UsageError(f"no such metric here: {name or 'an empty name'}", hint)
    return asked, least


def report(
    task: str,
    found: Data,
    metrics: Sequence[Metric],
    take: Samples,
    given: Scoring,
    asked: Sequence[str],
) -> Report:
    """The scores of all systems by all `metrics`. `take` gives a metric's sample of a system."""
    several = len(found.systems) > 1
    ci = several if given.ci is None else given.ci
    test = given.paired if several else "none"
    made = Report(task, found, [], [], test, given.draws or 0, given.seed)
    for metric in metrics:
        samples = [take(metric, system) for system in found.systems]
        made.columns.extend(_columns(metric, samples, given, ci, test, made.documents))
    there = [column.figure.name for column in made.columns]
    if lacking := [name for name in asked if name not in there]:
        raise DataError(
            f"{lacking[0]}: the outputs do not tell what it takes", "see the manual: nlpcli-eval"
        )
    wanted = [column for column in made.columns if column.figure.name in asked]
    costs = list(_costs(found))
    made.columns.extend(costs)
    made.shown.extend([*wanted, *costs] if several and wanted else made.columns)
    return made


def _costs(found: Data) -> Iterator[Column]:
    """What the runs of models took; nothing where none was run."""
    costs = [system.cost for system in found.systems]
    if not any(costs):
        return
    records = len(found.references)
    of_each = [
        (records / cost.seconds, cost.seconds, cost.memory / (1 << 20)) if cost else (nan,) * 3
        for cost in costs
    ]
    for figure, values in zip(_COSTS, zip(*of_each, strict=True), strict=True):
        scores = [Score(value) for value in values]
        unknown = [[nan] * records for _ in costs]
        yield Column(figure, f"start:included|version:nlpcli-{__version__}", scores, unknown.copy)


def _columns(
    metric: Metric,
    samples: list[Sample],
    given: Scoring,
    ci: bool,
    test: str,
    documents: Mapping[str, list[int]],
) -> list[Column]:
    """A column for each of the metric's figures that says something of some system."""
    boots = given.draws or significance.BOOTSTRAP_DRAWS
    swaps = given.draws or significance.RANDOMIZATION_DRAWS
    drawn = ci or test == "bootstrap"
    values = [sample.scores() for sample in samples]
    scores = [significance.bootstrap(each, boots, given.seed) for each in samples if drawn]
    shuffled = [
        significance.randomization(samples[0], each, swaps, given.seed)
        for each in samples[1:]
        if test == "randomization"
    ]
    drew = {"bs": boots if drawn else 0, "ar": swaps if shuffled else 0}
    signature = _signed(metric.signature, {**drew, "seed": given.seed if any(drew.values()) else 0})
    by_record = _ByRecord(samples)
    parts = [of_parts(sample, documents.values()) for sample in samples if documents]

    def score(n: int, k: int) -> Score:
        interval = significance.interval(scores[n][:, k]) if ci else None
        difference = values[n][k] - values[0][k]
        if not n or test == "none" or isnan(difference):
            return Score(values[n][k], interval)
        if test == "randomization":
            return Score(values[n][k], interval, shuffled[n - 1][k])
        p_value = significance.paired_bootstrap(scores[0][:, k], scores[n][:, k], difference)
        return Score(values[n][k], interval, p_value)

    return [
        Column(
            figure,
            signature,
            [score(n, k) for n in range(len(samples))],
            by_record.column(k),
            [[scores[k] for scores in part] for part in parts] if parts else None,
        )
        for k, figure in enumerate(metric.figures)
        if not all(isnan(row[k]) for row in values)
    ]


class _ByRecord:
    """The scores of single records, computed when they are asked for."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    @cached_property
    def _scores(self) -> list[list[list[float]]]:
        return [sample.by_record() for sample in self._samples]

    def column(self, index: int) -> Callable[[], list[list[float]]]:
        return lambda: [[row[index] for row in rows] for rows in self._scores]


def _signed(signature: str, drawn: dict[str, int]) -> str:
    """The signature with what was drawn, in sacreBLEU's order and words."""
    first, _, rest = signature.partition("|")
    return "|".join([first, *(f"{name}:{n}" for name, n in drawn.items() if n), rest])


def missed(made: Report, least: dict[str, float]) -> list[str]:
    """What to say of each score that is worse than asked for."""
    return [
        f"{column.figure.name} of {system.name} is {score.value:.{column.figure.digits + 2}f}, "
        f"{'under' if column.figure.higher else 'over'} {limit:g}"
        for name, limit in least.items()
        for column in made.columns
        if column.figure.name == name
        for system, score in zip(made.data.systems, column.scores, strict=True)
        if not (score.value >= limit if column.figure.higher else score.value <= limit)
    ]
