"""From files to examples: every fault of the data is found here, before any model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from nlpcli import records
from nlpcli.errors import DataError, UsageError
from nlpcli.records import Reader, Record
from nlpcli.training import checks

_TEXT = (
    "text", "sentence", "review", "content", "document", "source", "question", "query", "utterance",
)  # fmt: skip
# The fields that a record of each task has, and the names looked for, the likeliest first.
_SHAPES: Mapping[str, Sequence[Mapping[str, Sequence[str]]]] = {
    "classify": [{
        "text": _TEXT,
        "label": ("label", "labels", "category", "intent", "class", "sentiment", "target"),
    }],
    "translate": [{
        "source": ("source", "src", "text"),
        "target": ("target", "tgt", "translation", "reference"),
    }],
    "summarize": [{
        "source": ("document", "article", "text", "source", "body", "dialogue"),
        "target": ("summary", "highlights", "abstract", "reference", "target"),
    }],
    "generate": [
        {"messages": ("messages",)},
        {
            "prompt": ("prompt", "instruction", "question", "input"),
            "completion": ("completion", "response", "answer", "output"),
        },
        {"text": ("text",)},
    ],
    "pretrain": [{"text": _TEXT}],
}  # fmt: skip

_T = TypeVar("_T")


class Example(NamedTuple):
    """One record to learn from; `where` is its `file:line`.

    `source` is the text to read: of generate the prompt, "" where there is none. `targets` are the
    labels, the target and further references, or the completion; pretrain has none. `messages` are
    the (role, content) pairs of a dialogue, in the place of source and targets.
    """

    where: str
    source: str
    targets: tuple[str, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()


class Fields(NamedTuple):
    """The names of fields that the user gave; None where the obvious ones are looked for."""

    text: str | None = None
    label: str | None = None
    source: str | None = None
    target: str | None = None
    prompt: str | None = None
    completion: str | None = None


class Sources(NamedTuple):
    """The files to read. Line n of the k-th target file goes with line n of the k-th text file.

    `format` is one of `records.FORMATS` for all of them, or "auto": by each file's ending.
    """

    train: Sequence[str]
    valid: Sequence[str] = ()
    train_target: Sequence[str] = ()
    valid_target: Sequence[str] = ()
    format: str = "auto"


class Data(NamedTuple):
    """What was read, in the order of the files. `split` tells whether `valid` came off `train`.

    `labels` are those of the training data of classify, sorted, numbers by value. `files` holds the
    sha256 of each file as it lies on the disk, by its path as given. `dropped` counts what was left
    out: "unreadable", "empty" or "duplicate".
    """

    train: list[Example]
    valid: list[Example]
    labels: tuple[str, ...]
    multi_label: bool
    files: dict[str, str]
    dropped: dict[str, int]
    split: bool


def read(
    task: str,
    sources: Sources,
    fields: Fields,
    *,
    multi_label: bool = False,
    on_error: str = "fail",
    duplicates: str = "fail",
    valid_share: float = 0.1,
    seed: int = 0,
    report: Callable[[str], object] = lambda message: None,
) -> Data:
    """Read the data of `task`: classify, translate, summarize, generate or pretrain.

    With `on_error` "skip" a bad or empty record is left out and told to `report`. `duplicates` says
    what becomes of training records that the validation data has too: "fail", "drop" or "keep".
    Without validation files, `valid_share` of the training data is split off, drawn with `seed`.

    Raises DataError for faults of the data, UsageError for files and fields that there cannot be.
    """
    paths = [*sources.train, *sources.valid, *sources.train_target, *sources.valid_target]
    checks.given(paths, fields)
    intake = _Intake(task, fields, multi_label, on_error == "skip", report)
    files = intake.files(sources.train, sources.train_target, sources.format, "train")
    scored = intake.files(sources.valid, sources.valid_target, sources.format, "valid")
    train, valid = ([each for some in parts for each in some] for parts in (files, scored))
    dropped = intake.dropped
    split = not sources.valid and valid_share > 0
    if split and task == "pretrain":
        train, valid = checks.split_ends(files, valid_share)
    elif split:
        train, valid = checks.split(train, valid_share, seed, by_label=task == "classify")
    elif task != "pretrain" and duplicates != "keep":
        kept = checks.without_duplicates(train, valid, drop=duplicates == "drop")
        dropped.update({"duplicate": len(train) - len(kept)})
        train = kept
    labels: tuple[str, ...] = ()
    if task == "classify":
        labels = checks.all_labels(train, valid, multi_label=multi_label)
    left_out = {reason: count for reason, count in dropped.items() if count}
    hashes = {path: _sha256(path) for path in paths}
    return Data(train, valid, labels, multi_label, hashes, left_out, split)


def _sha256(path: str) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Intake:
    """Reads files of one task; a fault ends that or, with `skip`, is told and counted."""

    def __init__(
        self,
        task: str,
        fields: Fields,
        multi_label: bool,
        skip: bool,
        report: Callable[[str], object],
    ) -> None:
        self._task = task
        self._fields = fields
        self._multi_label = multi_label
        self._skip = skip
        self._report = report
        self.dropped: Counter[str] = Counter()

    def files(
        self, paths: Sequence[str], targets: Sequence[str], format: str, option: str
    ) -> list[list[Example]]:
        """The examples of each file, some in all; `option` is the one that names the files."""
        if targets and len(targets) != len(paths):
            counts = f"{checks.counted(len(paths), 'file')}, --{option}-target {len(targets):,}"
            raise UsageError(f"--{option} names {counts}", "each needs its own, in the same order")
        before = self.dropped.total()
        found = []
        for place, path in enumerate(paths):
            kind = records.format_of(path) if format == "auto" else format
            if targets and kind != "text":
                hint = f"leave out --{option}-target, or give --input-format text"
                raise UsageError(f"{path}: {kind} holds its targets in a field", hint)
            if targets:
                found.append(self._pairs(path, targets[place]))
            elif kind == "text":
                found.append(self._lines(path, option))
            else:
                found.append(self._objects(path, kind))
        if paths and not any(found):
            raise checks.no_records(paths, option, self.dropped.total() - before)
        return found

    def _kept(self, items: Iterable[_T], example: Callable[[_T], Example]) -> list[Example]:
        found = []
        for item in items:
            try:
                found.append(example(item))
            except checks.Fault as fault:
                if not self._skip:
                    raise
                self.dropped[fault.reason] += 1
                self._report(fault.message)
        return found

    def _pairs(self, path: str, target: str) -> list[Example]:
        """Two files of text, line by line."""
        sources, targets = list(_records(path)), list(_records(target))
        if len(sources) != len(targets):
            counts = f"{path} has {checks.counted(len(sources), 'line')}, {target} {len(targets):,}"
            raise DataError(counts, "each line needs its target, in the same place")

        def example(pair: tuple[Record, Record]) -> Example:
            source, target = pair
            text = checks.text(source, "source")
            return Example(source.where, text, (checks.text(target, "target"),))

        return self._kept(zip(sources, targets, strict=True), example)

    def _lines(self, path: str, option: str) -> list[Example]:
        """A file of text: each line is to be read or, for generate, to be continued."""
        tables = "use JSONL, CSV or TSV (--input-format, where the ending does not tell)"
        if self._task == "classify":
            raise DataError(f"{path}: lines of text have no labels", tables)
        if self._task in ("translate", "summarize"):
            hint = f"name the file of the targets: --{option}-target FILE; or {tables}"
            raise DataError(f"{path}: lines of text have no targets", hint)
        lines = _records(path)
        if self._task == "generate":
            return self._kept(
                lines, lambda each: Example(each.where, "", (checks.text(each, "text"),))
            )
        found = self._kept(lines, lambda each: Example(each.where, checks.sound(each).text))
        if not any(example.source.strip() for example in found):
            raise DataError(f"{path}: not a single word", "name a file with text in it")
        return found

    def _objects(self, path: str, format: str) -> list[Example]:
        """A file of JSONL, CSV or TSV."""
        columns = _Columns(self._task, self._fields, self._multi_label)
        role, names = columns.first(format)
        return self._kept(_records(path, format, role, names), columns.example)


class _Columns:
    """What the fields of one file mean: the first record that has all it needs settles it, lest a
    later one that lacks a field be read by another."""

    def __init__(self, task: str, fields: Fields, multi_label: bool) -> None:
        own = {role for role, name in fields._asdict().items() if name is not None}
        self._task = task
        self._shapes = [shape for shape in _SHAPES[task] if own <= shape.keys()]
        self._fields = fields
        self._multi_label = multi_label
        self._names: dict[str, str] = {}

    def first(self, format: str) -> tuple[str, list[str]]:
        """A role that a record must fill, and the names that its field may have in `format`."""
        shapes = [each for each in self._shapes if format == "jsonl" or "messages" not in each]
        roles = [next(iter(shape)) for shape in shapes]
        names = [
            name
            for role, shape in zip(roles, shapes, strict=True)
            for name in self._allowed(role, shape)
        ]
        return next((role for role in roles if role != "messages"), roles[0]), names

    def example(self, record: Record) -> Example:
        """Raises Fault for a bad record, DataError for what is wrong with all of them."""
        values = checks.sound(record).fields("")
        names = self._names or self._found(values, record)
        for role, name in names.items():
            if name not in values:
                raise checks.missing(record, role, name, list(values))
        self._names = names
        if "messages" in names:
            return Example(record.where, "", (), checks.dialogue(record))
        (role, source), *others = ((role, (name, values[name])) for role, name in names.items())
        text = checks.value(record, role, *source, joined=True)
        if not others:
            alone = self._task == "generate"
            return Example(record.where, "" if alone else text, (text,) if alone else ())
        ((role, target),) = others
        if role == "label":
            found = checks.labels(record, *target, multi_label=self._multi_label)
        elif role == "target":
            found = checks.targets(record, *target)
        else:
            found = (checks.value(record, role, *target),)
        return Example(record.where, text, found)

    def _found(self, values: Mapping[str, Any], record: Record) -> dict[str, str]:
        """The names by role of the first shape that `values` fill, else of the likeliest one."""
        shapes = []
        for shape in self._shapes:
            if "messages" in shape and not record.raw:
                continue
            names = {}
            for role in shape:
                allowed = self._allowed(role, shape)
                names[role] = next((name for name in allowed if name in values), allowed[0])
            if all(name in values for name in names.values()):
                return names
            shapes.append(names)
        return max(shapes, key=lambda names: (sum(n in values for n in names.values()), len(names)))

    def _allowed(self, role: str, shape: Mapping[str, Sequence[str]]) -> list[str]:
        """The name that the user gave, or the defaults that were not given to another role."""
        if given := getattr(self._fields, role, None):
            return [given]
        return [name for name in shape[role] if name not in self._fields] or [shape[role][0]]


def _records(
    path: str, format: str = "text", role: str = "text", names: Sequence[str] = ("text",)
) -> Iterator[Record]:
    try:
        for some in Reader([path], format, names[0], also=names):
            yield from some
    except DataError as error:
        # The commands that read one field call it --field.
        hint = error.hint.replace("--field", f"--{role}-field")
        raise DataError(error.message, hint) from error
