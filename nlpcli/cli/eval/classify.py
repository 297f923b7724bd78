"""`nlpcli eval classify`: accuracy, precision, recall, F1, MCC, calibration and ROC-AUC."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from nlpcli.cli.eval.options import Scoring, scoring
from nlpcli.cli.options import option
from nlpcli.errors import DataError

if TYPE_CHECKING:
    from nlpcli.cli.eval.data import Data, System

LABELS = "Labels"
METRICS = (
    "accuracy", "f1", "precision", "recall", "micro-f1", "micro-precision", "micro-recall",
    "mcc", "ece", "roc-auc",
)  # fmt: skip
DEFAULT = ("accuracy", "f1", "mcc")


class Predictions(NamedTuple):
    """What a system says of each record: a label, how sure it is of it, and the probabilities of
    all labels where it tells them."""

    labels: list[str]
    confidence: list[float] | None
    probabilities: list[dict[str, float]] | None


@scoring
def classify(
    given: Scoring,
    bins: Annotated[
        int,
        option("--bins", metavar="N", help="Bins of the calibration error.", panel=LABELS, min=1),
    ] = 15,
) -> None:
    """Score labels: accuracy, precision, recall, F1, MCC, calibration error and ROC-AUC.

    A line of text is a label, and may go on with a tab and its score, as nlpcli classify writes
    it. The macro figures are means over the labels; ROC-AUC needs the probabilities of all labels.
    """
    from nlpcli.cli.eval import data
    from nlpcli.cli.eval.run import run
    from nlpcli.cli.eval.score import check
    from nlpcli.metrics.classification import Classification

    asked, least = check(given, METRICS)
    found = data.read("classify", given, "label", ("gold", "reference", "label", "target"))
    predictions = {system.name: _predictions(system) for system in found.systems}
    gold = _gold(found, given)
    labels = sorted({*gold, *(label for each in predictions.values() for label in each.labels)})

    def take(metric: Any, system: "System") -> Any:
        said = predictions[system.name]
        try:
            # The area under the curve is costly to draw again and again.
            every = said.probabilities if "roc-auc" in (*asked, *least) else None
            return metric.sample(said.labels, gold, every, said.confidence)
        except DataError as error:
            raise DataError(f"{system.name}: {error.message}", error.hint) from None

    outputs = [system._replace(outputs=predictions[system.name].labels) for system in found.systems]
    run(
        "classify",
        given,
        found._replace(systems=outputs),
        [Classification(labels, bins)],
        take,
        asked or list(DEFAULT),
        least,
    )


def _gold(found: "Data", given: Scoring) -> list[str]:
    """The label of each record, which must have one."""
    path = (given.ref or given.hyp or [""])[0]
    labels = []
    for number, some in enumerate(found.references, 1):
        if len(some) != 1:
            hint = "each record has one label here"
            raise DataError(f"{path}: record {number} has {len(some)} labels", hint)
        if not some[0].strip():
            raise DataError(f"{path}: record {number} has no label", "each record needs one")
        labels.append(some[0].strip())
    return labels


def _predictions(system: "System") -> Predictions:
    labels: list[str] = []
    confidence: list[float | None] = []
    probabilities: list[dict[str, float] | None] = []
    for number, (output, record) in enumerate(zip(system.outputs, system.records, strict=True), 1):
        where = f"{system.name}: record {number}"
        label, *rest = output.split("\t")
        score = record.get("score", rest[0] if rest else None)
        labels.append(label.strip())
        confidence.append(None if score in (None, "") else _number(score, where))
        several = record.get("labels")
        probabilities.append(_by_label(several, where) if isinstance(several, list) else None)
    return Predictions(
        labels,
        None if None in confidence else [each for each in confidence if each is not None],
        None if None in probabilities else [each for each in probabilities if each is not None],
    )


def _by_label(several: list[Any], where: str) -> dict[str, float]:
    """The probabilities in a list of objects as nlpcli classify --top-k writes it."""
    found = {}
    for each in several:
        if not (isinstance(each, dict) and isinstance(each.get("label"), str) and "score" in each):
            raise DataError(
                f'{where}: "labels" is not a list of objects with "label" and "score"',
                "nlpcli classify --top-k K -f jsonl writes such a list",
            )
        found[each["label"]] = _number(each["score"], where)
    return found


def _number(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(
            f"{where}: the score {value!r} is not a number", "scores are from 0 to 1"
        ) from None
