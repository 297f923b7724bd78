"""What the data must hold, a record by itself and all of them together, and how it is split."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from math import isfinite
from random import Random
from typing import TYPE_CHECKING, Any

from nlpcli import records
from nlpcli.errors import DataError, UsageError, did_you_mean
from nlpcli.records import Record
from nlpcli.streams import STDIN

if TYPE_CHECKING:
    from nlpcli.training.data import Example, Fields

_SURROGATE = "[\ud800-\udfff]"
_NAMES_SHOWN = 20
_VALUE_SHOWN = 40
_LEAVE = "--on-error skip leaves such records out"


def given(paths: Sequence[str], fields: Fields) -> None:
    """Raise UsageError for what is no file that can be read twice, and for fields at odds."""
    for path in paths:
        if path != STDIN and not os.path.exists(path):
            raise UsageError(f"no such file: {path}", "training and validation data are files")
        if path == STDIN or not (os.path.isfile(path) or os.path.isdir(path)):
            raise UsageError(f"{path} is a stream, which is read once", "put it into a file")
    records.check(paths)
    named = [name for name in fields if name is not None]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f'the field "{twice}" is given twice', "each has a meaning of its own")
    if fields.text and (fields.prompt or fields.completion):
        hint = (
            "--text-field: to be continued; --prompt-field and --completion-field: to be answered"
        )
        raise UsageError("a text is given beside a prompt or a completion", hint)


class Fault(DataError):
    """A record that cannot be learnt from; `reason` is what it counts as where it is left out."""

    def __init__(self, record: Record, reason: str, why: str, hint: str = "") -> None:
        between = "" if not hint else " " if hint.endswith("?") else "; or "
        super().__init__(f"{record.where}: {why}", f"{hint}{between}{_LEAVE}")
        self.reason = reason


def sound(record: Record) -> Record:
    """`record`, where it could be read. Raises Fault."""
    # A record that has its raw text was read; its error is that of a field which may not be ours.
    if record.error and not record.raw:
        invalid = record.error.startswith("not valid UTF-8")
        hint = "convert the file: iconv -f ENCODING -t UTF-8" if invalid else ""
        raise Fault(record, "unreadable", record.error, hint)
    return record


def missing(record: Record, role: str, name: str, there: Sequence[str]) -> DataError:
    """The error that `record` has no field `name`; a Fault where others may yet have it."""
    more = ["…"] if len(there) > _NAMES_SHOWN else []
    listed = ", ".join([*there[:_NAMES_SHOWN], *more]) or "none"
    hint = did_you_mean(name, there) or f"name it: --{role}-field NAME"
    what = f'no field "{name}"; there are: {listed}'
    if record.row is not None:
        return DataError(f"{record.file}: {what}", hint)
    return Fault(record, "unreadable", what, hint)


def text(record: Record, role: str) -> str:
    """The line of text itself. Raises Fault where it is bad or empty."""
    return _filled(record, role, sound(record).text)


def value(record: Record, role: str, name: str, found: Any, *, joined: bool = False) -> str:
    """`found` in the field `name`, which must be text; where `joined`, also a list of sentences.

    Raises Fault.
    """
    if joined and isinstance(found, list) and all(isinstance(each, str) for each in found):
        found = " ".join(found)
    if not isinstance(found, str):
        what = json.dumps(found)
        what = what if len(what) <= _VALUE_SHOWN else f"{what[:_VALUE_SHOWN]}…"
        raise Fault(record, "unreadable", f'field "{name}" is not text but {what}')
    if not found.isascii() and re.search(_SURROGATE, found):
        raise Fault(record, "unreadable", f'field "{name}" holds half a surrogate pair')
    return _filled(record, role, found)


def targets(record: Record, name: str, found: Any) -> tuple[str, ...]:
    """The target and further references: a text, or a list of them. Raises Fault."""
    several = found if isinstance(found, list) else [found]
    return tuple(value(record, "target", name, each) for each in several or [""])


def labels(record: Record, name: str, found: Any, *, multi_label: bool) -> tuple[str, ...]:
    """The labels of a record: one, or with `multi_label` any number, each once.

    Those are a list or, in CSV and TSV, between bars where there is one, else between commas.
    Raises Fault for what is no label, DataError for a list that should be one label.
    """
    if not multi_label:
        if isinstance(found, list):
            hint = "--multi-label: a record has any number of labels, or none"
            raise DataError(f'{record.where}: field "{name}" is a list, not a label', hint)
        return (_label(record, name, found),)
    if isinstance(found, str) and not found.strip():
        found = []
    elif isinstance(found, str) and record.row is not None:
        found = found.split("|" if "|" in found else ",")
    several = found if isinstance(found, list) else [found]
    return tuple(dict.fromkeys(_label(record, name, each) for each in several))


def dialogue(record: Record) -> tuple[tuple[str, str], ...]:
    """The messages of `record`, the last of them the assistant's. Raises Fault."""
    if record.error:
        raise Fault(record, "unreadable", record.error)
    if any(role != "system" and not content.strip() for role, content in record.messages):
        raise Fault(record, "empty", "a message is empty")
    if all(role != "assistant" for role, _ in record.messages):
        raise Fault(record, "empty", "no message of the assistant to learn from")
    if record.messages[-1][0] != "assistant":
        raise Fault(record, "unanswered", "the dialogue does not end with the assistant's answer")
    return record.messages


def _filled(record: Record, role: str, found: str) -> str:
    if not found.strip():
        raise Fault(record, "empty", f"the {role} is empty")
    return found


def _label(record: Record, name: str, found: Any) -> str:
    if isinstance(found, int) or (isinstance(found, float) and isfinite(found)):
        return json.dumps(found)
    return value(record, "label", name, found).strip()


def no_records(paths: Sequence[str], option: str, dropped: int) -> DataError:
    """The error that the files of an option hold nothing, `dropped` records being left out."""
    left = f"; left out: {dropped:,}" if dropped else ""
    return DataError(f"no records in {', '.join(paths)}{left}", f"--{option} needs some")


def identity(example: Example) -> tuple[str, ...]:
    """What makes two records the same, but for white space: the source, all that is said in a
    dialogue, or where there is neither the text to continue."""
    said = tuple(content for _, content in example.messages) or (example.source,)
    return tuple(" ".join(each.split()) for each in (said if any(said) else example.targets))


def without_duplicates(
    train: Sequence[Example], valid: Sequence[Example], *, drop: bool
) -> list[Example]:
    """`train` without what is also in `valid`. Raises DataError for that unless `drop`, and where
    nothing is left."""
    first = {identity(example): example.where for example in reversed(train)}
    both = [example for example in valid if identity(example) in first]
    if both and not drop:
        are = (
            "1 validation record is" if len(both) == 1 else f"{len(both):,} validation records are"
        )
        pair = f"{both[0].where} and {first[identity(both[0])]}"
        hint = "--duplicates drop leaves them out of the training data, keep keeps them"
        raise DataError(f"{are} in the training data too, first {pair}", hint)
    known = {identity(example) for example in both}
    kept = [example for example in train if identity(example) not in known]
    if not kept:
        raise DataError(
            "no training records are left: all are in the validation data too", "name other data"
        )
    return kept


def all_labels(
    train: Sequence[Example], valid: Sequence[Example], *, multi_label: bool
) -> tuple[str, ...]:
    """The labels of `train`, sorted, numbers first and by value.

    Raises DataError where there are too few to learn from, or one that `valid` alone has.
    """
    found = {label for example in train for label in example.targets}
    if not found:
        raise DataError("no training record has a label", "some must have one")
    if len(found) == 1 and not multi_label:
        what = f"every training record has the label {min(found)}"
        raise DataError(what, "training needs two labels or more")
    for example in valid:
        for label in example.targets:
            if label not in found:
                what = f"the label {label} is in the validation data only"
                raise DataError(f"{example.where}: {what}", "training data needs every label")
    return tuple(sorted(found, key=_in_order))


def _in_order(label: str) -> tuple[bool, float, str]:
    number = re.fullmatch("-?[0-9]+([.][0-9]+)?", label)
    return not number, float(label) if number else 0.0, label


def split(
    examples: Sequence[Example], share: float, seed: int, *, by_label: bool
) -> tuple[list[Example], list[Example]]:
    """Training and validation data: `share` of the different sources goes to the latter.

    Records with the same source stay together. With `by_label` each label gives its share, and
    keeps a training record. The order is that of `examples`. Raises DataError where there are too
    few to split.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, example in enumerate(examples):
        groups.setdefault(identity(example), []).append(place)

    def counts(places: Sequence[int]) -> Counter[str]:
        return Counter(each for p in places for each in (examples[p].targets if by_label else ()))

    order = list(groups.values())
    Random(seed).shuffle(order)
    if by_label:
        order.sort(key=lambda places: sorted(examples[places[0]].targets))
    left = counts(range(len(examples)))
    free = [places for places in order if _spares(left, counts(places))]
    wanted = min(max(1, round(share * len(free))), len(free), len(order) - 1)
    if wanted < 1:
        alone = "no label has two different records" if len(order) > 1 else ""
        raise _too_few(alone or counted(len(order), "different record"))
    moved: set[int] = set()
    count = 0
    for at, places in enumerate(free, 1):
        # Taken at even distances, each label, whose records stand together, gives its share.
        if count < at * wanted // len(free) and _spares(left, counts(places)):
            left -= counts(places)
            moved.update(places)
            count += 1
    train = [example for place, example in enumerate(examples) if place not in moved]
    return train, [examples[place] for place in sorted(moved)]


def _spares(left: Counter[str], taken: Counter[str]) -> bool:
    """Whether some of each label is left when `taken` are gone."""
    return all(left[label] > count for label, count in taken.items())


def split_ends(
    files: Sequence[Sequence[Example]], share: float
) -> tuple[list[Example], list[Example]]:
    """Training and validation data: the last `share` of the lines of each file, counted without
    blank ones, goes to the latter. Raises DataError where there are too few to split."""
    train: list[Example] = []
    valid: list[Example] = []
    for examples in files:
        filled = [place for place, example in enumerate(examples) if example.source.strip()]
        count = min(max(1, round(share * len(filled))), len(filled) - 1)
        cut = filled[-count] if count > 0 else len(examples)
        train += examples[:cut]
        valid += examples[cut:]
    if not valid:
        raise _too_few(counted(len(train), "line"))
    return train, valid


def _too_few(what: str) -> DataError:
    hint = "name validation data: --valid FILE; or do without: --valid-share 0"
    return DataError(f"{what}: too few to split validation data off", hint)


def counted(count: int, what: str) -> str:
    """`count` of `what`, as 1 line or 2 lines."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
