"""Records out: every format read back, members kept as they are."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nlpcli.errors import DataError
from nlpcli.output import Output
from nlpcli.records import Reader, Record
from nlpcli.writing import Writer, members, one_line

AWKWARD = st.sampled_from("\r\n\t\",'\\\0 \ufeff\x85\u2028é😀")
TEXT = st.text(st.one_of(AWKWARD, st.characters(codec="utf-8")), max_size=12)
ENDINGS = st.sampled_from(["", ".gz", ".zst"])
on_disk = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(
    path: Path, format: str, items: list[tuple[Record, dict[str, Any]]], added: tuple[str, ...]
) -> None:
    with Output(str(path)) as output:
        writer = Writer(output, format, "text", added)
        for record, values in items:
            writer.add(record, values, str(values.get("translation")))
            writer.flush()
        writer.finish(())


def read(path: Path, format: str, field: str = "translation") -> list[Record]:
    return [record for some in Reader([str(path)], format, field) for record in some]


def lines_of(format: str, *items: tuple[Record, dict[str, Any]], added: tuple[str, ...]) -> str:
    """What a writer makes of `items`."""
    reading, writing = os.pipe()
    with Output(f"/dev/fd/{writing}") as output:
        writer = Writer(output, format, "text", added)
        for record, values in items:
            writer.add(record, values, "")
        writer.finish(())
    os.close(writing)
    with open(reading, newline="") as file:
        return file.read()


def tsv(text: str) -> str:
    return one_line(text).replace("\t", " ")


@on_disk
@given(st.lists(TEXT), ENDINGS)
def test_text_is_read_back(tmp_path: Path, texts: list[str], ending: str) -> None:
    assume(not (texts and texts[0].startswith("\ufeff")))
    path = tmp_path / f"out.txt{ending}"
    items = [(Record("a", n, text), {"translation": text}) for n, text in enumerate(texts)]
    write(path, "text", items, ("translation",))
    assert [record.text for record in read(path, "auto")] == [one_line(text) for text in texts]


@on_disk
@given(st.data(), ENDINGS, st.sampled_from(["csv", "tsv"]))
def test_tables_are_read_back(tmp_path: Path, data: Any, ending: str, format: str) -> None:
    clean = tsv if format == "tsv" else str
    others = data.draw(st.lists(TEXT, max_size=3, unique_by=clean))
    columns = tuple(dict.fromkeys(["id", *others]))
    assume(not {clean(name) for name in others} & {"id", "translation"})
    rows = data.draw(st.lists(st.lists(TEXT, min_size=len(columns), max_size=len(columns))))
    answers = data.draw(st.lists(TEXT, min_size=len(rows), max_size=len(rows)))
    path = tmp_path / f"out.{format}{ending}"
    items = [
        (Record("a", n, row=row, columns=columns), {"translation": answer})
        for n, (row, answer) in enumerate(zip(rows, answers, strict=True))
    ]
    write(path, format, items, ("translation",))
    found = read(path, "auto")
    assert [record.error for record in found] == [""] * len(rows)
    assert [record.row for record in found] == [
        [clean(cell) for cell in (*row, answer)] for row, answer in zip(rows, answers, strict=True)
    ]
    if rows:
        assert found[0].columns == tuple(clean(name) for name in (*columns, "translation"))


SPACES = st.text(" \t\r", max_size=2)
NUMBERS = st.sampled_from(["1.10", "1E400", "-0", "1e-07", "7" * 5000, "NaN", "true", "null"])
NAMES = st.one_of(st.sampled_from(["id", "text", "translation", "score"]), TEXT)


@st.composite
def values(draw: st.DrawFn) -> str:
    strings = st.builds(json.dumps, TEXT, ensure_ascii=st.booleans())
    lists = st.lists(st.one_of(NUMBERS, strings), max_size=2).map(lambda x: f"[ {','.join(x)}]")
    nested = st.builds(lambda a: f'{{"translation":{a} }}', lists)
    return draw(st.one_of(NUMBERS, strings, lists, nested, st.just('"\\ud83d\\/"')))


@st.composite
def objects(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """A JSON object's text, and its members as (name, text)."""
    found = []
    space = [draw(SPACES) for _ in range(4)]
    for name, value in draw(st.lists(st.tuples(NAMES, values()), max_size=4)):
        spelt = json.dumps(name, ensure_ascii=draw(st.booleans()))
        if draw(st.booleans()):
            spelt = spelt.replace("tr", "\\u0074\\u0072").replace("id", "\\u0069d")
        found.append((name, f"{spelt}{space[0]}:{space[1]}{value}"))
    inner = f"{space[2]},{space[3]}".join(member for _, member in found)
    return f"{space[3]}{{{space[0]}{inner}{space[2]}}}{space[1]}", found


@on_disk
@given(st.lists(st.tuples(objects(), TEXT)), ENDINGS)
def test_jsonl_members_keep_their_text(tmp_path: Path, given: list[Any], ending: str) -> None:
    path = tmp_path / f"out.jsonl{ending}"
    items = [(Record("a", 1, raw=raw), {"translation": answer}) for (raw, _), answer in given]
    write(path, "jsonl", items, ("translation",))
    found = read(path, "auto")
    assert [record.text for record in found] == [answer for _, answer in given]
    for record, ((raw, own), answer) in zip(found, given, strict=True):
        kept = [member for name, member in own if name != "translation"]
        new = json.dumps(answer, ensure_ascii=False)
        assert [text for _, text, _ in members(record.raw)] == [*kept, f'"translation": {new}']
        if own and len(kept) == len(own):
            assert record.raw == f'{raw.strip()[:-1].rstrip()}, "translation": {new}}}'


def test_jsonl_details() -> None:
    def line(raw: str, **values: Any) -> str:
        return lines_of("jsonl", (Record("a", 1, raw=raw), values), added=()).rstrip("\n")

    assert line('{ "a":1.10,"a":2 }', b="é") == '{ "a":1.10,"a":2, "b": "é"}'
    assert line('{"b": 1, "a":  2}', b=[0.5]) == '{"a":  2, "b": [0.5]}'
    assert line(r'{"\u0062": 1}', b=None) == '{"b": null}'
    assert line('{"a\\/b": 1, "c": 2}', **{"a/b": 3}) == '{"c": 2, "a/b": 3}'
    assert line(" {} ", b=1) == '{"b": 1}'
    assert line('{"a": 1}') == '{"a": 1}'
    assert line('{"a": "\\ud800"}', b="x\ud800y") == '{"a": "\\ud800", "b": "x\ufffdy"}'


def test_text_and_rows_become_objects() -> None:
    row = Record("a", 2, "x", row=["x", "1"], columns=("text", "n"))
    both = [(Record("a", 1, 'say "x"'), {"label": "good"}), (row, {"label": "bad", "n": 2})]
    assert lines_of("jsonl", *both, added=("label",)).splitlines() == [
        '{"text": "say \\"x\\"", "label": "good"}',
        '{"text": "x", "label": "bad", "n": 2}',
    ]


def test_bad_records_keep_what_could_be_read() -> None:
    items = [
        (Record("a", 1, error="not valid JSON"), {"label": None, "error": "e1"}),
        (Record("a", 2, raw='{"id": 1.0}', error="no field"), {"label": None, "error": "e2"}),
        (Record("a", 3, "t", raw='{"id": 3, "text": "t"}'), {"label": "good"}),
    ]
    assert lines_of("jsonl", *items, added=("label",)).splitlines() == [
        '{"label": null, "error": "e1"}',
        '{"id": 1.0, "label": null, "error": "e2"}',
        '{"id": 3, "text": "t", "label": "good"}',
    ]
    assert lines_of("csv", *items, added=("label", "error")).splitlines() == [
        "id,text,label,error",
        ",,,e1",
        "1.0,,,e2",
        "3,t,good,",
    ]
    columns = ("text", "n")
    rows = [
        (Record("a", 2, row=["x"], columns=columns, error="1 field"), {"error": "1 field"}),
        (Record("a", 3, row=[], columns=columns, error="not CSV"), {"error": "not CSV"}),
        (Record("a", 4, row=["a", "b", "c"], columns=columns, error="3"), {"error": "3"}),
    ]
    expected = 'text,n,label,error\nx,,,1 field\n,,,not CSV\na,"b,c",,3\n'
    assert lines_of("csv", *rows, added=("label", "error")) == expected
    tabs = "text\tn\tlabel\terror\nx\t\t\t1 field\n\t\t\tnot CSV\na\tb,c\t\t3\n"
    assert lines_of("tsv", *rows, added=("label", "error")) == tabs


def test_a_table_of_nothing_but_bad_records_is_not_kept_in_memory() -> None:
    items = [(Record("a", n, error="no"), {"error": f"e{n}"}) for n in range(3000)]
    lines = lines_of("csv", *items, added=("error",)).splitlines()
    assert lines == ["error", *(f"e{n}" for n in range(3000))]


def test_jsonl_becomes_a_table() -> None:
    raw = '{"text": "é\\n", "n": 1.10, "none": null, "yes": true, "list": [1, "a"]}'
    table = lines_of("csv", (Record("a", 1, raw=raw), {"score": 0.5}), added=("score",))
    assert list(csv.reader(io.StringIO(table))) == [
        ["text", "n", "none", "yes", "list", "score"],
        ["é\n", "1.10", "", "true", '[1, "a"]', "0.5"],
    ]


def test_a_column_that_exists_is_replaced_in_its_place() -> None:
    row = Record("a", 2, "x", row=["1", "old", "x"], columns=("id", "label", "text"))
    table = lines_of("tsv", (row, {"label": "new"}), (row, {"label": "n2"}), added=("label",))
    assert table == "id\tlabel\ttext\n1\tnew\tx\n1\tn2\tx\n"


def test_inputs_with_other_columns() -> None:
    first = Record("a", 2, row=["1", "x"], columns=("id", "text"))
    second = Record("b", 2, row=["y", "2"], columns=("text", "id"))
    fewer = Record("c", 2, row=["z"], columns=("text",))
    more = Record("d", 2, row=["z", "1"], columns=("text", "new"))
    given = [(record, {"label": "l"}) for record in (first, second, fewer, first)]
    table = lines_of("csv", *given, added=("label",))
    assert table == "id,text,label\n1,x,l\n2,y,l\n,z,l\n1,x,l\n"
    with pytest.raises(DataError, match=r"column 'new' is not in the output's header"):
        lines_of("csv", *given, (more, {}), added=("label",))


def test_a_header_without_rows(tmp_path: Path) -> None:
    for format, expected in {"csv": "a,b,label\n", "tsv": "a\tb\tlabel\n", "jsonl": ""}.items():
        with Output(str(tmp_path / "out")) as output:
            Writer(output, format, "text", ("label",)).finish(("a", "b"))
        assert (tmp_path / "out").read_text() == expected


def test_nesting_too_deep_to_write_is_an_error_of_the_record() -> None:
    raw = '{"label": 1, "a": ' + "[" * 5000 + "]" * 5000 + "}"
    with pytest.raises(DataError, match="nested too deep"):
        lines_of("jsonl", (Record("f", 7, raw=raw), {"label": 2}), added=("label",))
