"""What is scored: the outputs of one or several systems, and the references in the same order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from nlpcli.cli.eval.options import Scoring
from nlpcli.errors import DataError, UsageError
from nlpcli.records import Reader, Record


class System(NamedTuple):
    """A system's name and its outputs, a record each. `records` are those that they stand in."""

    name: str
    outputs: list[str]
    records: list[dict[str, Any]]


class Data(NamedTuple):
    """`references` holds one or more for each output of every one of `systems`."""

    systems: list[System]
    references: list[list[str]]


def read(given: Scoring, output: str, references: Sequence[str]) -> Data:
    """Read the files that `given` names. `output` and `references` are the names of the fields
    where it names none: the first of `references` that is there is taken.

    Raises UsageError for files that do not go together, DataError for what they hold.
    """
    if not given.hyp:
        raise UsageError("no outputs to score", "name them: --hyp FILE")
    for option, paths in (("--hyp", given.hyp), ("--ref", given.ref or [])):
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            raise UsageError(f"{option} {twice} is given twice", "leave one of them out")
    if "-" in given.hyp and "-" in (given.ref or []):
        raise UsageError("--hyp - and --ref - are one stream", "put one of them into a file")
    fields = [given.ref_field] if given.ref_field else list(references)
    if not given.ref and (own := given.hyp_field or output) in fields:
        if given.ref_field:
            raise UsageError(f"--ref-field {own} is the field of the outputs", "name another")
        fields.remove(own)
    name = given.hyp_field or output
    held = [_read(path, given, [name]) for path in given.hyp]
    systems = [_system(*both, name) for both in zip(given.hyp, held, strict=True)]
    if given.ref:
        columns = [_references(_read(path, given, fields), fields) for path in given.ref]
    elif all(record.raw for record in held[0]):
        columns = [_references(held[0], fields)]
    else:
        raise UsageError(f"no references for {given.hyp[0]}", "name them: --ref FILE")
    first = given.hyp[0]
    size = len(systems[0].outputs)
    counts = [(system.name, len(system.outputs)) for system in systems]
    counts += [(path, len(column)) for path, column in zip(given.ref or (), columns, strict=False)]
    for path, count in counts:
        if count != size:
            raise DataError(
                f"{first} has {_records(size)}, {path} {count:,}",
                "each output needs its reference, in the same order",
            )
    together = [[text for some in row for text in some] for row in zip(*columns, strict=True)]
    for number, some in enumerate(together, 1):
        if not some:
            path = (given.ref or given.hyp)[0]
            raise DataError(f"{path}: record {number} has no reference", "each record needs one")
    return Data(systems, together)


def _system(path: str, records: list[Record], field: str) -> System:
    outputs = [_text(_value(record, [field]), record) for record in records]
    return System(path, outputs, [record.fields(field) for record in records])


def _references(records: list[Record], fields: list[str]) -> list[list[str]]:
    """The references of each record: one, or as many as the list in its field has."""
    return [_listed(_value(record, fields), record) for record in records]


def _read(path: str, given: Scoring, fields: list[str]) -> list[Record]:
    reader = Reader([path], given.input_format, fields[0], also=fields[1:])
    records = [record for chunk in reader for record in chunk]
    if not records:
        raise DataError(f"{path} is empty", "name a file with a record for each output")
    for record in records:
        if record.error and not record.raw:
            raise DataError(f"{record.where}: {record.error}")
    return records


def _value(record: Record, fields: list[str]) -> Any:
    """What stands in the first of `fields` that the record has; a line of text itself."""
    if not record.raw:
        return record.text if record.row is not None else record.text.rstrip()
    values = record.fields("")
    name = next((field for field in fields if field in values), None)
    if name is None:
        raise DataError(f"{record.where}: {record.error}", "name it: --hyp-field, --ref-field")
    return values[name]


def _listed(value: Any, record: Record) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [_text(each, record) for each in values]


def _text(value: Any, record: Record) -> str:
    """A value as text: a number as it is written, and nothing for null."""
    if isinstance(value, (dict, list)):
        raise DataError(f"{record.where}: the field holds no text but {json.dumps(value)[:40]}")
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"
