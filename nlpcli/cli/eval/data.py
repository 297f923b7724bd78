"""What is scored: the outputs of one or several systems, and the references in the same order."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from nlpcli.cli.eval.options import Scoring
from nlpcli.cli.shading import visible
from nlpcli.errors import DataError, UsageError
from nlpcli.records import Reader, Record

OUTPUT_FIELD = "hypothesis"
"""The field that a model which is run over data puts its output in."""

_TEXT_FIELDS = ("text", "source", "article", "document", "prompt", "question", "sentence")


class Cost(NamedTuple):
    """What a run of a model took, from the start of its process to its end: `seconds` on the
    clock, and `memory`, the most bytes that one process held."""

    seconds: float
    memory: int


class System(NamedTuple):
    """A system's name, safe to be shown, and its outputs, a record each. `records` are those that
    they stand in; `cost` is known of a model that was run."""

    name: str
    outputs: list[str]
    records: list[dict[str, Any]]
    cost: Cost | None = None


class Data(NamedTuple):
    """`references` holds one or more for each output of every one of `systems`, `documents` the
    name of the document that it is from, where one was asked for."""

    systems: list[System]
    references: list[list[str]]
    documents: list[str] | None = None


def read(task: str, given: Scoring, output: str, references: Sequence[str], *options: str) -> Data:
    """Read the files that `given` names, and what its models put out when `task` runs them with
    `options`. `output` and `references` are the names of the fields where it names none: the first
    of `references` that is there is taken.

    Raises UsageError for files that do not go together, DataError for what they hold.
    """
    name = given.hyp_field or output
    files = given.hyp or []
    held = [records(path, given.input_format, [name]) for path in files]
    systems = [_system(path, some, name) for path, some in zip(files, held, strict=True)]
    fields = [given.ref_field] if given.ref_field else list(references)
    gold = [records(path, given.input_format, fields) for path in given.ref or ()]
    columns = [_references(some, fields) for some in gold]
    if not gold:
        columns = [_own(given, held[0] if held else [], fields, name)]
    data = [given.data] if given.data else []
    texts = [records(path, given.input_format, text_fields(given)) for path in data]
    everything = [*texts, *held, *gold]
    paths = [*data, *files, *(given.ref or ())]
    _same([(path, len(some)) for path, some in zip(paths, everything, strict=True)])
    if given.model:
        from nlpcli.cli.eval import models

        for model, path, cost in models.run([task], given, *options):
            ran = records(path, "jsonl", [OUTPUT_FIELD])
            systems.append(_system(model, ran, OUTPUT_FIELD)._replace(cost=cost))
    _same(
        [
            (paths[0], len(everything[0])),
            *((system.name, len(system.outputs)) for system in systems),
        ]
    )
    together = [[text for some in row for text in some] for row in zip(*columns, strict=True)]
    for number, some in enumerate(together, 1):
        if not some and task != "classify":
            path = (given.ref or [given.data or files[0]])[0]
            raise DataError(f"{path}: record {number} has no reference", "each record needs one")
    return Data(systems, together, _documents(given.by, everything) if given.by else None)


def check(given: Scoring) -> None:
    """Raise UsageError for options that do not go together."""
    if given.options and not (given.model and given.options[0].startswith("-")):
        hint = "outputs to score: --hyp FILE; options of a command that runs models: -- OPTION..."
        raise UsageError(f"{given.options[0]}: what is it?", hint)
    if given.data and not given.model:
        raise UsageError(f"--data {given.data}: no model to run over it", "name one: --model MODEL")
    if given.model and not given.data:
        raise UsageError("--model: no data to run it over", "name it: --data FILE")
    if given.data == "-":
        raise UsageError("--data - is a stream, which is read once", "put it into a file")
    if not given.hyp and not given.model:
        raise UsageError("no outputs to score", "name them: --hyp FILE, or --model and --data")
    named = {"--hyp": given.hyp, "--ref": given.ref, "--model": given.model}
    for option, values in named.items():
        twice = next((value for value in values or () if (values or []).count(value) > 1), None)
        if twice is not None:
            raise UsageError(f"{option} {twice} is given twice", "leave one of them out")
    for path in (*(given.hyp or ()), *(given.ref or ()), *([given.data] if given.data else ())):
        if path != "-" and not os.path.exists(path):
            raise UsageError(f"no such file: {path}", "outputs, references and data are files")
    if "-" in (given.hyp or ()) and "-" in (given.ref or ()):
        raise UsageError("--hyp - and --ref - are one stream", "put one of them into a file")


def _own(given: Scoring, own: list[Record], fields: list[str], output: str) -> list[list[str]]:
    """The references of each record, which are fields of the data, or of the first outputs:
    `own`."""
    if given.data:
        own = records(given.data, given.input_format, fields)
    elif output in fields:
        if given.ref_field:
            raise UsageError(f"--ref-field {output} is the field of the outputs", "name another")
        fields.remove(output)
    if not all(map(_has_fields, own)):
        path = given.data or (given.hyp or [""])[0]
        raise UsageError(f"no references for {path}", "name them: --ref FILE")
    return _references(own, fields)


def _documents(name: str, files: Sequence[list[Record]]) -> list[str]:
    """What the field `name` says of each record, in the first file whose records have it."""
    for some in files:
        if all(_has_fields(record) and name in record.fields("") for record in some):
            return [_text(record.fields("")[name], record) for record in some]
    raise DataError(f"--by {name}: no file has that field in every record", "name another")


def _same(counts: Sequence[tuple[str, int]]) -> None:
    """Raise DataError unless all files have as many records."""
    first, size = counts[0]
    for path, count in counts:
        if count != size:
            raise DataError(
                f"{first} has {_counted(size)}, {path} {count:,}",
                "each output needs its reference, in the same order",
            )


def _system(path: str, records: list[Record], field: str) -> System:
    outputs = [_text(_value(record, [field]), record) for record in records]
    return System(visible(path), outputs, [record.fields(field) for record in records])


def _references(records: list[Record], fields: list[str]) -> list[list[str]]:
    """The references of each record: one, or as many as the list in its field has."""
    return [_listed(_value(record, fields), record) for record in records]


def text_fields(given: Scoring) -> list[str]:
    """The fields of the data that may hold the texts, the likeliest first."""
    return [given.field] if given.field else list(_TEXT_FIELDS)


def has_field(given: Scoring, names: Sequence[str]) -> bool:
    """Whether the first record of the data has one of the fields `names`."""
    assert given.data
    fields = text_fields(given)
    reader = Reader([given.data], given.input_format, fields[0], also=fields[1:])
    first = next(iter(reader), [])[:1]
    return any(_has_fields(each) and set(each.fields("")) & set(names) for each in first)


def records(path: str, format: str, fields: list[str]) -> list[Record]:
    """All records of a file that holds some. Raises DataError for the first bad one."""
    reader = Reader([path], format, fields[0], also=fields[1:])
    found = [record for chunk in reader for record in chunk]
    if not found:
        raise DataError(f"{path} is empty", "name a file with a record for each output")
    for record in found:
        if record.error and not record.raw:
            raise DataError(f"{record.where}: {record.error}")
    return found


def _value(record: Record, fields: list[str]) -> Any:
    """What stands in the first of `fields` that the record has; a line of text itself."""
    if not _has_fields(record):
        return record.text.rstrip()
    values = record.fields("")
    name = next((field for field in fields if field in values), None)
    if name is None:
        raise DataError(f"{record.where}: {record.error}", "name it: --hyp-field, --ref-field")
    return values[name]


def _has_fields(record: Record) -> bool:
    return bool(record.raw) or record.row is not None


def _listed(value: Any, record: Record) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [_text(each, record) for each in values]


def _text(value: Any, record: Record) -> str:
    """A value as text: a number as it is written, and nothing for null."""
    if isinstance(value, (dict, list)):
        raise DataError(f"{record.where}: the field holds no text but {json.dumps(value)[:40]}")
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _counted(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"
