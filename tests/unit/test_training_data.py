"""Training data: what is read of each format, every fault with its place, and how it is split."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nlpcli.errors import DataError, ExitCode, NlpcliError, UsageError
from nlpcli.training import checks, data
from nlpcli.training.data import Data, Example, Fields, Sources

LEAVE = "--on-error skip leaves such records out"
ICONV = f"convert the file: iconv -f ENCODING -t UTF-8; or {LEAVE}"
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
GOOD: dict[str, list[dict[str, Any]]] = {
    "classify": [{"text": "good", "label": "x"}, {"text": "fine", "label": "y"}],
    "translate": [{"source": "good", "target": "gut"}, {"source": "fine", "target": "fein"}],
    "generate": [{"prompt": "good", "completion": "g"}, {"prompt": "fine", "completion": "f"}],
    "pretrain": [{"text": "good"}, {"text": "fine"}],
}
DIALOGUE = [
    {"role": "system", "content": ""},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
]

Put = Callable[[str, "bytes | str"], str]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Write a file of the folder that the test is in, and give its name."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: bytes | str) -> str:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    return write


def read(task: str, train: Sequence[str] = ("a.jsonl",), **options: Any) -> Data:
    """The data of `task`; options of Sources and Fields may stand among those of `data.read`."""
    sources = {name: options.pop(name) for name in Sources._fields if name in options}
    fields = {name: options.pop(name) for name in Fields._fields if name in options}
    return data.read(
        task, Sources(train, **sources), Fields(**fields), **{"valid_share": 0.0, **options}
    )


def failure(task: str, train: Sequence[str] = ("a.jsonl",), **options: Any) -> tuple[str, str]:
    """The message and the hint of the DataError that reading raises."""
    with pytest.raises(DataError) as caught:
        read(task, train, **options)
    assert caught.value.code == ExitCode.DATA
    assert_lines(caught.value)
    return caught.value.message, caught.value.hint


def assert_lines(error: NlpcliError) -> None:
    assert error.message and error.hint
    assert "\n" not in error.message + error.hint


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(format: str, rows: Sequence[dict[str, str]]) -> bytes:
    """`rows` as a file of `format`, their keys as columns."""
    if format == "jsonl":
        return jsonl(*rows).encode()
    columns = list(rows[0])
    lines = [columns, *([row[name] for name in columns] for row in rows)]
    if format == "tsv":
        return "".join("\t".join(line) + "\n" for line in lines).encode()
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue().encode()


def pairs(found: Sequence[Example]) -> list[tuple[str, tuple[str, ...]]]:
    return [(example.source, example.targets) for example in found]


# A line end, a tab or a byte-order mark cannot stand in every format.
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\t\ufeff"))
CELL = CELL.filter(str.strip)
FIELD = st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip)
EVERY = [(format, packed) for format in ("jsonl", "csv", "tsv") for packed in PACKED]


@pytest.mark.parametrize(("format", "packed"), EVERY)
@settings(max_examples=20)
@given(values=st.data())
def test_every_format_gives_back_what_was_written(
    format: str, packed: str, values: st.DataObject
) -> None:
    cells = CELL if format == "tsv" else FIELD
    rows = values.draw(
        st.lists(st.fixed_dictionaries({"source": cells, "target": cells}), min_size=1)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/a.{format}{packed}"
        content = PACKED[packed](table(format, rows))
        Path(path).write_bytes(content)
        found = read("translate", [path])
    assert pairs(found.train) == [(row["source"], (row["target"],)) for row in rows]
    assert found.files == {path: hashlib.sha256(content).hexdigest()}
    assert (found.valid, found.dropped, found.split) == ([], {}, False)


@pytest.mark.parametrize("packed", PACKED)
@settings(max_examples=20)
@given(lines=st.lists(st.tuples(CELL, CELL), min_size=1))
def test_parallel_files_go_line_by_line(packed: str, lines: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/a.{side}{packed}" for side in ("en", "de")]
        for path, side in zip(paths, zip(*lines, strict=True), strict=True):
            Path(path).write_bytes(PACKED[packed]("\n".join(side).encode()))
        found = read("translate", paths[:1], train_target=paths[1:])
    assert pairs(found.train) == [(source, (target,)) for source, target in lines]
    assert [each.where for each in found.train] == [
        f"{paths[0]}:{n}" for n in range(1, len(lines) + 1)
    ]
    assert list(found.files) == paths


def test_lines_of_text(put: Put) -> None:
    put("a.txt", "one\r\n\n two\n")
    found = read("pretrain", ["a.txt"]).train
    assert [(each.where, each.source) for each in found] == [
        ("a.txt:1", "one"), ("a.txt:2", ""), ("a.txt:3", " two"),
    ]  # fmt: skip
    put("a.txt", "one\n two\n")
    assert pairs(read("generate", ["a.txt"]).train) == [("", ("one",)), ("", (" two",))]


def test_several_files_follow_one_another_whatever_their_formats(put: Put) -> None:
    put("a.csv", "label,review\nx,one\n")
    put("b.jsonl", jsonl({"sentence": "two", "intent": "y"}))
    put("c", "text\tlabel\nthree\tz\n")
    found = read("classify", ["a.csv", "b.jsonl"], valid=["b.jsonl"], duplicates="keep")
    assert pairs(found.train) == [("one", ("x",)), ("two", ("y",))]
    assert found.valid == found.train[1:]
    assert pairs(read("classify", ["c", "c"], format="tsv", multi_label=True).train) == [
        ("three", ("z",))
    ] * 2  # fmt: skip


@pytest.mark.parametrize(
    ("task", "row", "options", "expected"),
    [
        ("classify", {"label": "x", "source": "b", "text": "a"}, {}, ("a", ("x",))),
        ("classify", {"text": "a", "label": " x "}, {}, ("a", ("x",))),
        ("classify", {"text": "a", "label": True}, {}, ("a", ("true",))),
        ("classify", {"text": "a", "label": -2}, {}, ("a", ("-2",))),
        ("classify", {"text": ["a", "b"], "label": "x"}, {}, ("a b", ("x",))),
        ("classify", {"text": "t", "label": "x", "body": "a"}, {"text": "body"}, ("a", ("x",))),
        ("translate", {"text": "a", "source": "b", "target": "c"}, {}, ("b", ("c",))),
        ("translate", {"text": "b", "target": ["c", "d"]}, {}, ("b", ("c", "d"))),
        ("summarize", {"text": "s", "body": "a"}, {"target": "text"}, ("a", ("s",))),
        ("summarize", {"text": "b", "article": "a", "highlights": "s"}, {}, ("a", ("s",))),
        ("generate", {"instruction": "a", "output": "b", "text": "c"}, {}, ("a", ("b",))),
        ("generate", {"prompt": "a", "text": "c"}, {}, ("", ("c",))),
        ("generate", {"q": "a", "answer": "b", "text": "c"}, {"prompt": "q"}, ("a", ("b",))),
        ("generate", {"prompt": "a", "answer": "b", "c": "c"}, {"text": "c"}, ("", ("c",))),
        ("pretrain", {"title": "t", "document": "a"}, {}, ("a", ())),
    ],
)
def test_the_field_of_each_part(
    put: Put, task: str, row: dict[str, Any], options: dict[str, str], expected: object
) -> None:
    put("a.jsonl", jsonl(row, {**row, "label": "other"} if task == "classify" else row))
    assert pairs(read(task, **options).train)[0] == expected


def test_a_dialogue(put: Put) -> None:
    put("a.jsonl", jsonl({"prompt": "a", "completion": "b", "messages": DIALOGUE}))
    messages = (("system", ""), ("user", "hi"), ("assistant", "hello"))
    assert read("generate").train == [Example("a.jsonl:1", "", (), messages)]


def test_the_first_whole_record_settles_the_fields(put: Put) -> None:
    put("a.jsonl", jsonl(
        {"src": "of no use"},
        {"text": "a", "target": "b"},
        {"source": "c", "target": "d"},
        {"source": "of no use", "text": "e", "target": "f"},
    ))  # fmt: skip
    found = read("translate", on_error="skip")
    assert pairs(found.train) == [("a", ("b",)), ("e", ("f",))]
    assert found.dropped == {"unreadable": 2}


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("x", ("x",)), ("", ()), ("y, x,y", ("y", "x")), ("x|y, z", ("x", "y, z")),
    ],
)  # fmt: skip
def test_several_labels_in_a_table(put: Put, label: str, expected: tuple[str, ...]) -> None:
    put("a.tsv", f"text\tlabels\na\t{label}\nb\tw\n")
    assert read("classify", ["a.tsv"], multi_label=True).train[0].targets == expected


def test_several_labels_in_json(put: Put) -> None:
    rows = [["y", 3, "y"], [], "a, b|c", 7]
    put("a.jsonl", jsonl(*({"text": "a", "labels": each} for each in rows)))
    found = read("classify", multi_label=True)
    assert [each.targets for each in found.train] == [("y", "3"), (), ("a, b|c",), ("7",)]
    assert found.labels == ("3", "7", "a, b|c", "y")
    assert found.multi_label


def test_labels_are_sorted_numbers_by_value(put: Put) -> None:
    given = ["b", "10", "9", "-1", "2.5", "a", "1e3", "B"]
    put("a.jsonl", jsonl(*({"text": "a", "label": each} for each in given)))
    assert read("classify").labels == ("-1", "2.5", "9", "10", "1e3", "B", "a", "b")


BAD = "unreadable"
# A bad record: its task and file, itself, why it is bad, the hint before LEAVE, what it counts as.
BAD_RECORDS: list[tuple[str, str, bytes | str, str, str, str]] = [
    ("classify", "jsonl", '{"text": " ", "label": "x"}', "the text is empty", "", "empty"),
    ("classify", "jsonl", '{"text": [], "label": "x"}', "the text is empty", "", "empty"),
    ("classify", "jsonl", '{"text": "a", "label": " "}', "the label is empty", "", "empty"),
    ("classify", "jsonl", '{"text": 5, "label": "x"}', 'field "text" is not text but 5', "", BAD),
    ("classify", "jsonl", '{"text": ["a", 5], "label": "x"}',
     'field "text" is not text but ["a", 5]', "", BAD),
    ("classify", "jsonl", '{"text": "a", "label": null}',
     'field "label" is not text but null', "", BAD),
    ("classify", "jsonl", '{"text": "a", "label": NaN}',
     'field "label" is not text but NaN', "", BAD),
    ("classify", "jsonl", '{"text": "a", "label": {"k": "%s"}}' % ("v" * 50),
     f'field "label" is not text but {{"k": "{"v" * 33}…', "", BAD),
    ("classify", "jsonl", '{"text": "\\ud83d", "label": "x"}',
     'field "text" holds half a surrogate pair', "", BAD),
    ("classify", "jsonl", '{"text": "a", "tag": 1}',
     'no field "label"; there are: text, tag', "name it: --label-field NAME; or ", BAD),
    ("classify", "jsonl", '{"text": "a", "lable": "x"}',
     'no field "label"; there are: text, lable', "did you mean lable? ", BAD),
    ("classify", "jsonl", "{}",
     'no field "text"; there are: none', "name it: --text-field NAME; or ", BAD),
    ("classify", "jsonl", '{"text": "a"',
     "not valid JSON: Expecting ',' delimiter at column 13", "", BAD),
    ("classify", "jsonl", '["a", "x"]', "not a JSON object but an array", "", BAD),
    ("classify", "jsonl", b'{"text": "\xe9", "label": "x"}',
     "not valid UTF-8: byte 0xe9 at column 11", ICONV.removesuffix(LEAVE), BAD),
    ("classify", "csv", "a", "1 field where the header names 2", "", BAD),
    ("classify", "csv", "a,x,y", "3 fields where the header names 2", "", BAD),
    ("classify", "csv", ",x", "the text is empty", "", "empty"),
    ("classify", "csv", "a,", "the label is empty", "", "empty"),
    ("classify", "csv", '"a"b,x', "not valid CSV: ',' expected after '\"'", "", BAD),
    ("classify", "csv", b"ab\xff,x",
     "not valid UTF-8: byte 0xff at column 3", ICONV.removesuffix(LEAVE), BAD),
    ("classify", "tsv", "a\tx\ty", "3 fields where the header names 2", "", BAD),
    ("translate", "jsonl", '{"source": "a", "target": []}', "the target is empty", "", "empty"),
    ("translate", "jsonl", '{"source": "a", "target": ["b", 1]}',
     'field "target" is not text but 1', "", BAD),
    ("generate", "jsonl", '{"prompt": "a", "completion": ""}',
     "the completion is empty", "", "empty"),
    ("generate", "jsonl", '{"text": "a"}',
     'no field "prompt"; there are: text', "name it: --prompt-field NAME; or ", BAD),
    ("pretrain", "jsonl", '{"text": ""}', "the text is empty", "", "empty"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "format", "bad", "why", "hint", "reason"), BAD_RECORDS)
def test_a_bad_record_is_told_with_its_place_or_left_out(
    put: Put, task: str, format: str, bad: bytes | str, why: str, hint: str, reason: str
) -> None:
    *before, last = table(format, GOOD[task]).splitlines(keepends=True)
    line = bad.encode() if isinstance(bad, str) else bad
    path = put(f"a.{format}", b"".join([*before, line, b"\n", last]).replace(b'"\r\n', b'"\n'))
    message = f"{path}:{len(before) + 1}: {why}"
    assert failure(task, [path]) == (message, hint + LEAVE)
    told: list[str] = []
    found = read(task, [path], on_error="skip", report=told.append)
    assert [each.source for each in found.train] == ["good", "fine"]
    assert (told, found.dropped) == ([message], {reason: 1})


@pytest.mark.parametrize(
    ("messages", "why", "reason"),
    [
        (DIALOGUE[:2], "no message of the assistant to learn from", "empty"),
        ([*DIALOGUE, {"role": "user", "content": " "}], "a message is empty", "empty"),
        (
            [*DIALOGUE, {"role": "user", "content": "and?"}],
            "the dialogue does not end with the assistant's answer",
            "unanswered",
        ),
        ("hi", 'field "messages" is not a list of objects with "role" and "content"', BAD),
        (
            [{"role": "bot", "content": "hi"}],
            "field \"messages\": no role 'bot'; there are system, user, assistant",
            BAD,
        ),
    ],
)
def test_a_bad_dialogue(put: Put, messages: object, why: str, reason: str) -> None:
    put("a.jsonl", jsonl({"messages": messages}, {"messages": DIALOGUE}))
    assert failure("generate") == (f"a.jsonl:1: {why}", LEAVE)
    found = read("generate", on_error="skip")
    assert (len(found.train), found.dropped) == (1, {reason: 1})


@pytest.mark.parametrize("task", ["generate", "pretrain"])
def test_a_line_that_is_not_utf8(put: Put, task: str) -> None:
    put("a.txt", b"one\ntw\xf6\nthree\n")
    assert failure(task, ["a.txt"]) == (
        "a.txt:2: not valid UTF-8: byte 0xf6 at column 3", ICONV,
    )  # fmt: skip
    found = read(task, ["a.txt"], on_error="skip")
    assert ([each.where for each in found.train], found.dropped) == (
        ["a.txt:1", "a.txt:3"], {"unreadable": 1},
    )  # fmt: skip


def test_a_bad_line_of_parallel_files_costs_its_pair(put: Put) -> None:
    put("a.en", b"one\ntwo\n\xff\n\nfive\n")
    put("a.de", b"eins\n\ndrei\n\nf\xfcnf\n")
    options: dict[str, Any] = {"train": ["a.en"], "train_target": ["a.de"]}
    assert failure("translate", **options) == ("a.de:2: the target is empty", LEAVE)
    told: list[str] = []
    found = read("translate", on_error="skip", report=told.append, **options)
    assert pairs(found.train) == [("one", ("eins",))]
    assert found.dropped == {"empty": 2, "unreadable": 2}
    assert told == [
        "a.de:2: the target is empty",
        "a.en:3: not valid UTF-8: byte 0xff at column 1",
        "a.en:4: the source is empty",
        "a.de:5: not valid UTF-8: byte 0xfc at column 2",
    ]


TABLES = "use JSONL, CSV or TSV (--input-format, where the ending does not tell)"
BAD_FILES: list[tuple[str, str, bytes | str, str, str]] = [
    ("classify", "a.csv", "id,label\n1,x\n",
     'a.csv:1: no field "text"; there are: id, label',
     "name the column to work on: --text-field NAME"),
    ("classify", "a.csv", "txt,label\n1,x\n",
     'a.csv:1: no field "text"; there are: txt, label', "did you mean txt?"),
    ("classify", "a.tsv", "text\tid\na\t1\n",
     'a.tsv: no field "label"; there are: text, id', "name it: --label-field NAME"),
    ("generate", "a.csv", "id,messages\n1,a\n",
     'a.csv:1: no field "prompt"; there are: id, messages',
     "name the column to work on: --prompt-field NAME"),
    ("generate", "a.csv", "prompt,id\na,1\n",
     'a.csv: no field "completion"; there are: prompt, id', "name it: --completion-field NAME"),
    ("classify", "a.csv", b"text,l\xe4bel\n1,x\n",
     "a.csv:1: not valid UTF-8: byte 0xe4 at column 7", "the first line must name the columns"),
    ("classify", "a.txt", "good x\n", "a.txt: lines of text have no labels", TABLES),
    ("translate", "a.txt", "good\n", "a.txt: lines of text have no targets",
     f"name the file of the targets: --train-target FILE; or {TABLES}"),
    ("summarize", "a.txt.gz", "good\n", "a.txt.gz: lines of text have no targets",
     f"name the file of the targets: --train-target FILE; or {TABLES}"),
    ("classify", "a.jsonl", jsonl(GOOD["classify"][0], {"text": "a", "label": ["x"]}),
     'a.jsonl:2: field "label" is a list, not a label',
     "--multi-label: a record has any number of labels, or none"),
    ("classify", "a.csv", "text,label\na,x\nb,x\n",
     "every training record has the label x", "training needs two labels or more"),
    ("classify", "a.csv", "text,label\n", "no records in a.csv", "--train needs some"),
    ("translate", "a.jsonl", "\n \n", "no records in a.jsonl", "--train needs some"),
    ("generate", "a.txt", "", "no records in a.txt", "--train needs some"),
    ("pretrain", "a.txt", "\n  \n", "a.txt: not a single word", "name a file with text in it"),
]  # fmt: skip


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize(("task", "name", "content", "message", "hint"), BAD_FILES)
def test_a_fault_of_the_whole_file_is_never_left_out(
    put: Put, task: str, name: str, content: bytes | str, message: str, hint: str, on_error: str
) -> None:
    put(name, content)
    assert failure(task, [name], on_error=on_error) == (message, hint)


def test_validation_files_are_told_as_such(put: Put) -> None:
    put("a.csv", "source,target\na,b\n")
    for name in ("v.csv", "v.txt"):
        put(name, "source,target\n")
    message, hint = failure("translate", ["a.csv"], valid=["v.csv"])
    assert (message, hint) == ("no records in v.csv", "--valid needs some")
    message, hint = failure("translate", ["a.csv"], valid=["v.txt"])
    assert message == "v.txt: lines of text have no targets"
    assert "--valid-target FILE" in hint


def test_records_left_out_are_counted_where_none_remain(put: Put) -> None:
    put("a.csv", "source,target\na,b\n,b\n")
    put("v.csv", "source,target\n,b\na,\n")
    hint = "--valid needs some"
    assert failure("translate", ["a.csv"], valid=["v.csv"], on_error="skip") == (
        "no records in v.csv; left out: 2", hint,
    )  # fmt: skip
    message, _ = failure("translate", ["v.csv", "v.csv"], valid=["v.csv"], on_error="skip")
    assert message == "no records in v.csv, v.csv; left out: 4"


def test_a_file_that_ends_too_early(put: Put) -> None:
    put("a.csv.gz", gzip.compress(table("csv", GOOD["classify"]))[:-9])
    with pytest.raises(DataError, match=r"^a\.csv\.gz: cannot be read: ") as caught:
        read("classify", ["a.csv.gz"])
    assert caught.value.code == ExitCode.DATA


def test_parallel_files_of_unequal_length(put: Put) -> None:
    put("a.en", "one\ntwo\n")
    put("a.de", "eins\n")
    hint = "each line needs its target, in the same place"
    for on_error in ("fail", "skip"):
        found = failure("translate", ["a.en"], train_target=["a.de"], on_error=on_error)
        assert found == ("a.en has 2 lines, a.de 1", hint)
    found = failure("translate", ["a.de"], train_target=["a.en"])
    assert found == ("a.de has 1 line, a.en 2", hint)


def test_a_label_that_only_the_validation_data_has(put: Put) -> None:
    put("a.csv", "text,label\na,x\nb,y\n")
    put("v.csv", "text,label\nc,x\nd,z\n")
    assert failure("classify", ["a.csv"], valid=["v.csv"]) == (
        "v.csv:3: the label z is in the validation data only", "training data needs every label",
    )  # fmt: skip


def test_several_labels_of_which_there_are_none(put: Put) -> None:
    put("a.jsonl", jsonl({"text": "a", "label": []}))
    assert failure("classify", multi_label=True) == (
        "no training record has a label", "some must have one",
    )  # fmt: skip
    put("a.jsonl", jsonl({"text": "a", "label": []}, {"text": "b", "label": ["x"]}))
    assert read("classify", multi_label=True).labels == ("x",)


def test_a_validation_record_that_is_in_the_training_data(put: Put) -> None:
    put("a.csv", "text,label\nb,x\na  a,x\nc,y\n a a,y\n")
    put("v.csv", "text,label\nd,x\na a,x\n")
    hint = "--duplicates drop leaves them out of the training data, keep keeps them"
    one = "1 validation record is in the training data too, first v.csv:3 and a.csv:3"
    assert failure("classify", ["a.csv"], valid=["v.csv"]) == (one, hint)
    two = "2 validation records are in the training data too, first v.csv:3 and a.csv:3"
    assert failure("classify", ["a.csv"], valid=["v.csv", "v.csv"]) == (two, hint)

    dropped = read("classify", ["a.csv"], valid=["v.csv"], duplicates="drop")
    assert [each.where for each in dropped.train] == ["a.csv:2", "a.csv:4"]
    assert [each.where for each in dropped.valid] == ["v.csv:2", "v.csv:3"]
    assert dropped.dropped == {"duplicate": 2}

    kept = read("classify", ["a.csv"], valid=["v.csv"], duplicates="keep")
    assert (len(kept.train), len(kept.valid), kept.dropped) == (4, 2, {})


def test_duplicates_of_everything_leave_nothing_to_learn_from(put: Put) -> None:
    put("a.jsonl", jsonl(*GOOD["translate"]))
    assert failure("translate", valid=["a.jsonl"], duplicates="drop") == (
        "no training records are left: all are in the validation data too", "name other data",
    )  # fmt: skip


def test_what_makes_records_the_same(put: Put) -> None:
    """A text to continue is itself; a dialogue is all that is said in it."""
    other = [*DIALOGUE[:2], {"role": "assistant", "content": "other"}]
    put("a.jsonl", jsonl({"messages": DIALOGUE}))
    put("v.jsonl", jsonl({"messages": other}))
    assert len(read("generate", valid=["v.jsonl"]).train) == 1
    assert failure("generate", valid=["a.jsonl"])[0].startswith("1 validation record is")
    put("a.txt", "one\n")
    put("v.txt", "two\n")
    assert len(read("generate", ["a.txt"], valid=["v.txt"]).train) == 1
    assert failure("generate", ["a.txt"], valid=["a.txt"])[0].startswith("1 validation record is")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": ["b"]}, "no such file: b"),
        ({"valid": ["-"]}, "- is a stream, which is read once"),
        ({"valid": ["pipe"]}, "pipe is a stream, which is read once"),
        ({"valid_target": ["folder"]}, "folder is a folder"),
        ({"text": "a", "label": "a"}, 'the field "a" is given twice'),
        ({"text": "a", "completion": "b"}, "a text is given beside a prompt or a completion"),
        ({"train_target": ["a.txt"] * 2}, "--train names 1 file, --train-target 2"),
        ({"valid": ["a.txt"] * 2, "valid_target": ["a.txt"]},
         "--valid names 2 files, --valid-target 1"),
        ({"train": ["a.csv"], "train_target": ["a.txt"]},
         "a.csv: csv holds its targets in a field"),
    ],
)  # fmt: skip
def test_files_and_fields_that_there_cannot_be(
    put: Put, options: dict[str, Any], message: str
) -> None:
    put("a.txt", "one\n")
    put("a.csv", "source,target\na,b\n")
    put("-", "a file that standard input hides")
    os.mkfifo("pipe")
    os.mkdir("folder")
    # The targets of --train, which are looked at first, must be right where others are not.
    right = {"train": ["a.txt"], "train_target": ["a.txt"]}
    with pytest.raises(UsageError) as caught:
        read("translate", **{**right, **options})
    assert (caught.value.message, caught.value.code) == (message, ExitCode.USAGE)
    assert_lines(caught.value)


SHARES = st.floats(0.01, 0.9)
SEEDS = st.integers(0, 9)
SOURCES = st.sampled_from(["a", "b", " b", "c", "d", "d\t", "e", "f", "g h", "g  h"])
LABELS = st.lists(st.sampled_from("xyz"), max_size=2, unique=True).map(tuple)
EXAMPLES = st.lists(st.tuples(SOURCES, LABELS), max_size=30).map(
    lambda rows: [Example(f"a:{n}", *row) for n, row in enumerate(rows, 1)]
)


def sources(examples: Sequence[Example]) -> set[str]:
    return {" ".join(example.source.split()) for example in examples}


def labels(examples: Sequence[Example]) -> set[str]:
    return {label for example in examples for label in example.targets}


def halves(
    examples: Sequence[Example], share: float, seed: int, by_label: bool
) -> tuple[list[Example], list[Example]]:
    """The split; what cannot be split makes no example of a property."""
    try:
        return checks.split(examples, share, seed, by_label=by_label)
    except DataError:
        assume(False)
        raise


@given(EXAMPLES, SHARES, SEEDS, st.booleans())
def test_a_split_is_a_partition_in_order(
    examples: list[Example], share: float, seed: int, by_label: bool
) -> None:
    train, valid = halves(examples, share, seed, by_label)
    assert train == [each for each in examples if each not in valid]
    assert valid == [each for each in examples if each not in train]
    assert train and valid


@given(EXAMPLES, SHARES, SEEDS, st.booleans())
def test_no_source_is_on_both_sides(
    examples: list[Example], share: float, seed: int, by_label: bool
) -> None:
    train, valid = halves(examples, share, seed, by_label)
    assert not sources(train) & sources(valid)


@given(EXAMPLES, SHARES, SEEDS)
def test_every_label_keeps_a_training_record(
    examples: list[Example], share: float, seed: int
) -> None:
    train, _ = halves(examples, share, seed, by_label=True)
    assert labels(train) == labels(examples)


@given(EXAMPLES, SHARES, SEEDS, st.booleans())
def test_a_split_is_the_same_for_a_seed(
    examples: list[Example], share: float, seed: int, by_label: bool
) -> None:
    first = halves(examples, share, seed, by_label)
    assert first == checks.split(examples, share, seed, by_label=by_label)


def test_another_seed_makes_another_split() -> None:
    examples = [Example(f"a:{n}", str(n), ("xy"[n % 2],)) for n in range(100)]
    for by_label in (False, True):
        made = {tuple(checks.split(examples, 0.2, seed, by_label=by_label)[1]) for seed in range(5)}
        assert len(made) == 5


@given(EXAMPLES, SHARES, SEEDS)
def test_two_sources_can_be_split(examples: list[Example], share: float, seed: int) -> None:
    count = len(sources(examples))
    if count > 1:
        _, valid = checks.split(examples, share, seed, by_label=False)
        assert len(sources(valid)) == min(max(1, round(share * count)), count - 1)
        return
    what = "1 different record" if count else "0 different records"
    with pytest.raises(DataError) as caught:
        checks.split(examples, share, seed, by_label=False)
    assert caught.value.message == f"{what}: too few to split validation data off"
    assert "--valid-share 0" in caught.value.hint


@given(st.lists(st.integers(2, 40), min_size=2, max_size=6), st.floats(0.05, 0.4), SEEDS)
def test_each_label_gives_its_share(counts: list[int], share: float, seed: int) -> None:
    given = [label for label, count in enumerate(counts) for _ in range(count)]
    examples = [Example(f"a:{n}", str(n), (str(label),)) for n, label in enumerate(given)]
    _, valid = checks.split(examples, share, seed, by_label=True)
    wanted = max(1, round(share * len(examples)))
    assert len(valid) == wanted
    found = Counter(each.targets[0] for each in valid)
    for label, count in enumerate(counts):
        assert abs(found[str(label)] - count * wanted / len(examples)) < 1


def test_labels_with_one_record_each_cannot_be_split(put: Put) -> None:
    put("a.jsonl", jsonl(*GOOD["classify"], {"text": " good", "label": "x"}))
    assert failure("classify", valid_share=0.5) == (
        "no label has two different records: too few to split validation data off",
        "name validation data: --valid FILE; or do without: --valid-share 0",
    )


def test_the_share_that_is_split_off(put: Put) -> None:
    put("a.jsonl", jsonl(*({"text": f"{n}", "label": n % 2} for n in range(40))))
    found = read("classify", valid_share=0.25, seed=3)
    assert (len(found.train), len(found.valid), found.split) == (30, 10, True)
    assert Counter(each.targets for each in found.valid) == {("0",): 5, ("1",): 5}
    assert read("classify", valid_share=0.25, seed=3) == found
    assert not read("classify", valid=["a.jsonl"], duplicates="keep", valid_share=0.25).split


LINES = st.lists(st.sampled_from(["", " ", "words"]), max_size=12)


@given(st.lists(LINES, min_size=1, max_size=3), SHARES)
def test_running_text_gives_the_ends_of_its_files(texts: list[list[str]], share: float) -> None:
    files = [
        [Example(f"{name}:{n}", line) for n, line in enumerate(lines, 1)]
        for name, lines in enumerate(texts)
    ]
    filled = [sum(line == "words" for line in lines) for lines in texts]
    if max(filled) < 2:
        with pytest.raises(DataError, match="too few to split validation data off"):
            checks.split_ends(files, share)
        return
    train, valid = checks.split_ends(files, share)
    for examples, count in zip(files, filled, strict=True):
        ends = [each for each in examples if each in valid]
        assert [each for each in examples if each in train] + ends == examples
        wanted = min(max(1, round(share * count)), count - 1)
        assert sum(each.source == "words" for each in ends) == max(wanted, 0)
        assert not ends or ends[0].source == "words"
    assert len(train) + len(valid) == sum(map(len, files))
