"""Labels from outputs and references: as nlpcli classify writes them, and as people do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nlpcli.cli.eval.data import Data, System
from nlpcli.errors import DataError


class Predictions(NamedTuple):
    """What a system says of each record: a label, how sure it is of it, and the probabilities of
    all labels where it tells them."""

    labels: list[str]
    confidence: list[float] | None
    probabilities: list[dict[str, float]] | None


def gold(found: Data, path: str) -> list[str]:
    """The label of each record, which must have one."""
    labels = []
    for number, some in enumerate(found.references, 1):
        if len(some) != 1:
            hint = "each record has one label here; any number of them: --multi-label"
            raise DataError(f"{path}: record {number} has {len(some)} labels", hint)
        if not some[0].strip():
            raise DataError(f"{path}: record {number} has no label", "each record needs one")
        labels.append(some[0].strip())
    return labels


def gold_sets(found: Data) -> list[set[str]]:
    """The labels of each record: those of a list, or of a line with tabs between."""
    return [{label for text in some for label in _listed(text)} for some in found.references]


def single(system: System) -> Predictions:
    """What `system` says where each record has one label."""
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


def sets(system: System) -> list[set[str]]:
    """What `system` says where each record has any number of labels: the list in the field labels,
    or labels with tabs between, a score behind each or none."""
    found = []
    for number, (output, record) in enumerate(zip(system.outputs, system.records, strict=True), 1):
        several = record.get("labels")
        if not isinstance(several, list):
            found.append(set(_listed(output)))
        elif all(isinstance(each, str) for each in several):
            found.append(set(several))
        else:
            found.append(set(_by_label(several, f"{system.name}: record {number}")))
    return found


def _listed(text: str) -> list[str]:
    """The labels of a line, without the scores that stand behind them."""
    words = [word.strip() for word in text.split("\t")]
    if len(words) % 2 == 0 and all(map(_is_number, words[1::2])):
        words = words[::2]
    return [word for word in words if word]


def _by_label(several: Sequence[Any], where: str) -> dict[str, float]:
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(
            f"{where}: the score {value!r} is not a number", "scores are from 0 to 1"
        ) from None
