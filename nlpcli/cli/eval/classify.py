"""`nlpcli eval classify`: accuracy, precision, recall, F1, MCC, calibration and ROC-AUC."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from nlpcli.cli.eval.options import REPORT, Scoring, scoring
from nlpcli.cli.options import option
from nlpcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from nlpcli.cli.eval.confusion import Classes
    from nlpcli.cli.eval.data import Data
    from nlpcli.metrics import Metric

LABELS = "Labels"
METRICS = (
    "accuracy", "f1", "precision", "recall", "micro-f1", "micro-precision", "micro-recall",
    "mcc", "ece", "roc-auc",
)  # fmt: skip
DEFAULT = ("accuracy", "f1", "mcc")
GOLD = ("gold", "reference", "label", "labels", "target")


@scoring
def classify(
    given: Scoring,
    bins: Annotated[
        int,
        option("--bins", metavar="N", help="Bins of the calibration error.", panel=LABELS, min=1),
    ] = 15,
    multi_label: Annotated[
        bool,
        option("--multi-label", help="A record has any number of labels, or none.", panel=LABELS),
    ] = False,
    per_class: Annotated[
        bool,
        option("--per-class", help="Show precision, recall and F1 of each label.", panel=REPORT),
    ] = False,
    confusion: Annotated[
        str | None,
        option(
            "--confusion",
            metavar="FILE",
            help="Draw the confusion matrix as SVG; to the screen where FILE is -.",
            panel=REPORT,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Score labels: accuracy, precision, recall, F1, MCC, calibration error and ROC-AUC.

    A line of text is a label, and may go on with a tab and its score, as nlpcli classify writes
    it. The macro figures are means over the labels; ROC-AUC needs the probabilities of all labels.
    """
    from nlpcli.cli.eval.run import run
    from nlpcli.cli.eval.score import check

    asked, least = check(given, METRICS)
    for name, chosen in (("--per-class", per_class), ("--confusion -", confusion == "-")):
        if chosen and given.output_format != "table":
            raise UsageError(f"{name} is for tables", "-f json tells it of itself")
    if multi_label and confusion:
        raise UsageError("--confusion: a record has one label there", "leave out --multi-label")
    areas = "roc-auc" in (*asked, *least)
    found = _sets(given) if multi_label else _single(given, bins, areas)
    if confusion not in (None, "-"):
        from nlpcli.cli.eval.confusion import page
        from nlpcli.output import Output

        with Output(confusion) as output:
            output.write(page(list(found.classes.items())).encode())

    def draw(screen: Any) -> None:
        from nlpcli.cli.eval.confusion import draw_counts, draw_rows

        for name, classes in found.classes.items():
            if per_class:
                draw_rows(name, classes, screen, given.digits)
            if confusion == "-":
                draw_counts(name, classes, screen)

    run(
        "classify",
        given,
        found.data,
        [found.metric],
        lambda metric, system: found.samples[system.name],
        asked or [name for name in DEFAULT if not multi_label or name != "mcc"],
        least,
        classes=found.classes,
        draw=draw,
    )


class _Found(NamedTuple):
    """The data, the metric, and by system what the metric found and what became of each label."""

    data: "Data"
    metric: "Metric"
    samples: dict[str, Any]
    classes: "dict[str, Classes]"


def _single(given: Scoring, bins: int, areas: bool) -> _Found:
    """One label for each record. The `areas` under curves are costly to draw again and again."""
    from nlpcli.cli.eval import data, predictions
    from nlpcli.cli.eval.confusion import Classes
    from nlpcli.metrics.classification import Classification, confusion, per_class

    found = data.read("classify", given, "label", GOLD)
    gold = predictions.gold(found, (given.ref or given.hyp or [given.data or ""])[0])
    said = {system.name: predictions.single(system) for system in found.systems}
    metric = Classification(
        sorted({*gold, *(x for each in said.values() for x in each.labels)}), bins
    )
    samples = {}
    for name, each in said.items():
        try:
            probabilities = each.probabilities if areas else None
            samples[name] = metric.sample(each.labels, gold, probabilities, each.confidence)
        except DataError as error:
            raise DataError(f"{name}: {error.message}", error.hint) from None
    classes = {name: Classes(per_class(each), confusion(each)) for name, each in samples.items()}
    systems = [system._replace(outputs=said[system.name].labels) for system in found.systems]
    return _Found(found._replace(systems=systems), metric, samples, classes)


def _sets(given: Scoring) -> _Found:
    """Any number of labels for each record."""
    from nlpcli.cli.eval import data, predictions
    from nlpcli.cli.eval.confusion import Classes
    from nlpcli.metrics.classification import MultiLabel, per_class

    found = data.read("classify", given, "label", GOLD, "--multi-label")
    gold = predictions.gold_sets(found)
    said = {system.name: predictions.sets(system) for system in found.systems}
    metric = MultiLabel(sorted(set().union(*gold, *(x for each in said.values() for x in each))))
    samples = {name: metric.sample(each, gold) for name, each in said.items()}
    classes = {name: Classes(per_class(each), None) for name, each in samples.items()}
    systems = [
        system._replace(outputs=[", ".join(sorted(each)) for each in said[system.name]])
        for system in found.systems
    ]
    references = [[", ".join(sorted(each))] for each in gold]
    return _Found(found._replace(systems=systems, references=references), metric, samples, classes)
