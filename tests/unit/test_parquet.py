"""Parquet as an input and as an output."""

from __future__ import annotations

import datetime
import gzip
import json
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from command import run
from nlpcli.errors import DataError
from nlpcli.parquet import Table, from_jsonl
from nlpcli.records import Reader

ECHO = ("translate", "--from", "en", "--to", "pt", "--backend", "echo")


def test_parquet_in(tmp_path: Path) -> None:
    path = str(tmp_path / "in.parquet")
    table = {
        "id": [1, 2, 3],
        "text": ["one", "two\nlines", None],
        "day": [datetime.date(2026, 1, 2)] * 3,
        "cost": [Decimal("1.50")] * 3,
        "raw": [b"\xff"] * 3,
    }
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    records = [record for some in Reader([path]) for record in some]
    assert [record.text for record in records] == ["one", "two\nlines", ""]
    assert records[2].error == 'field "text" is not text but null' and records[2].line == 3
    assert records[0].fields("text") == {
        "id": 1,
        "text": "one",
        "day": "2026-01-02",
        "cost": "1.50",
        "raw": "/w==",
    }
    assert Reader([path]).count() == 3
    done = run(*ECHO, "-i", "parquet", "--on-error", "skip", stdin=Path(path).read_bytes())
    assert done.returncode == 2 and b"Parquet output needs a file" in done.stderr
    done = run(
        *ECHO, "-i", "parquet", "-f", "text", "--on-error", "skip", stdin=Path(path).read_bytes()
    )
    assert (done.returncode, done.stdout) == (1, b"one\ntwo lines\n")
    Path(path).write_bytes(b"PAR1 and nothing more")
    done = run(*ECHO, path, "-f", "text")
    assert done.returncode == 4 and b"not valid Parquet" in done.stderr


def put(path: Path, **columns: Any) -> str:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def test_values_that_json_lacks(tmp_path: Path) -> None:
    stamp = pyarrow.timestamp("ns")
    path = put(
        tmp_path / "in.parquet",
        text=["one"],
        at=pyarrow.array([1], stamp),
        list=pyarrow.array([[1]], pyarrow.list_(stamp)),
        struct=pyarrow.array([{"x": 1}], pyarrow.struct([("x", pyarrow.time64("ns"))])),
        map=pyarrow.array([[("k", 1)]], pyarrow.map_(pyarrow.string(), stamp)),
        long=pyarrow.array([7], pyarrow.duration("ns")),
        far=pyarrow.array([10**6], pyarrow.date32()),
        nan=[math.nan],
        infinite=[[1.5, math.inf]],
    )
    (found,) = next(iter(Reader([path])))
    text = "1970-01-01 00:00:00.000000001"
    assert json.loads(found.raw, parse_constant=pytest.fail) == {
        "text": "one",
        "at": text,
        "list": [text],
        "struct": {"x": "00:00:00.000000001"},
        "map": [["k", text]],
        "long": 7,
        "far": "4707-11-29",
        "nan": None,
        "infinite": [1.5, None],
    }


def test_a_table_without_the_field_is_refused_at_once(tmp_path: Path) -> None:
    path = put(tmp_path / "in.parquet", txt=["one"], id=[1])
    with pytest.raises(DataError) as raised:
        list(Reader([path]))
    assert raised.value.message == f'{path}: no field "text"; there are: txt, id'
    assert raised.value.hint == "did you mean txt?"
    assert len(list(Reader([path], also=("txt",)))) == 1
    both = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, names=["text", "text"])
    pyarrow.parquet.write_table(both, path)
    with pytest.raises(DataError, match="two columns are called 'text'"):
        list(Reader([path]))


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_rows_are_counted_and_numbered(tmp_path: Path, rows: int) -> None:
    texts = pyarrow.array([str(number) for number in range(rows)], pyarrow.string())
    path = put(tmp_path / "in.parquet", text=texts)
    packed = tmp_path / "in.parquet.gz"
    packed.write_bytes(gzip.compress(Path(path).read_bytes()))
    MemoryFileSystem().pipe("/in.parquet", Path(path).read_bytes())
    for each in (path, str(packed), "memory:///in.parquet"):
        lists = list(Reader([each]))
        assert all(lists)
        found = [(record.line, record.text) for some in lists for record in some]
        assert found == [(number + 1, str(number)) for number in range(rows)]
        assert Reader([each, each]).count() == 2 * rows


def test_damage_within_a_table_is_told_in_one_line(tmp_path: Path) -> None:
    path = Path(put(tmp_path / "in.parquet", text=[str(number) for number in range(1000)]))
    data = path.read_bytes()
    path.write_bytes(data[:20] + b"\xff" * 200 + data[220:])
    with pytest.raises(DataError, match=r"in\.parquet: ") as raised:
        list(Reader([str(path)]))
    assert "\n" not in raised.value.message


MEMORY = """
import json, resource, sys
import pyarrow.parquet
from nlpcli.parquet import from_jsonl
from nlpcli.records import Reader
source, target = sys.argv[1:]
with open(target, "wb") as file:
    from_jsonl(source, file)
print(sum(map(len, Reader([target]))), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """A table of 2 MB rows, 240 MB in all; a batch of rows is 16 MB."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    peaks = []
    for rows in (1, 120):
        with source.open("w") as file:
            for number in range(rows):
                file.write(json.dumps({"text": f"{number} " * (2_000_000 // 4)}) + "\n")
        command = [sys.executable, "-c", MEMORY, str(source), str(target)]
        count, peak = subprocess.check_output(command, text=True).split()
        assert int(count) == rows
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 160_000  # KiB


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2)
    ),
    max_leaves=5,
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), max_size=8)


def same(before: Any, after: Any) -> bool:
    """Whether they are equal, but for fields that other rows have."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = before.keys() | after.keys()
        return all(same(before.get(name), after.get(name)) for name in names)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after)


def through(folder: Path, lines: list[str]) -> tuple[Any, list[Any]]:
    """The schema of the table that `lines` make, and its rows."""
    source, target = folder / "in.jsonl", folder / "out.parquet"
    source.write_text("".join(line + "\n" for line in lines))
    with target.open("wb") as file:
        from_jsonl(str(source), file)
    rows = [json.loads(row) for some in Table("out", str(target)).rows() for row in some]
    return pyarrow.parquet.read_schema(target), rows


@given(objects=OBJECTS)
def test_what_goes_out_as_parquet_comes_back(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]]
) -> None:
    schema, back = through(tmp_path_factory.mktemp("parquet"), [json.dumps(o) for o in objects])
    assert schema.names == list(dict.fromkeys(name for each in objects for name in each))
    if not any(objects):
        return
    assert len(back) == len(objects)
    for before, after in zip(objects, back, strict=True):
        for name, value in before.items():
            if not same(value, after[name]):  # a column of several types holds JSON
                assert json.loads(after[name]) == value


@pytest.mark.parametrize(
    ("values", "type", "back"),
    [
        (["1", "null"], "int64", [1, None]),
        (["1", "1.5"], "double", [1.0, 1.5]),
        (["9007199254740993", "1.5"], "string", ["9007199254740993", "1.5"]),
        (["18446744073709551616"], "string", ["18446744073709551616"]),
        (["9" * 5000], "string", ["9" * 5000]),
        (["true", "false"], "bool", [True, False]),
        (["true", "1"], "string", ["true", "1"]),
        (["null"], "string", [None]),
        (["{}"], "string", ["{}"]),
        (['{"x": 1}', '{"y": [null]}'], None, [{"x": 1, "y": None}, {"x": None, "y": [None]}]),
        (["[1]", '["a"]', "null"], "string", ["[1]", '["a"]', None]),
        ([r'"\ud800"', r'"\ud83d\ude00"'], "string", ["\ufffd", "\U0001f600"]),
        (["[" * 100 + "]" * 100], "string", ["[" * 100 + "]" * 100]),
    ],
)
def test_types_of_columns(
    tmp_path: Path, values: list[str], type: str | None, back: list[Any]
) -> None:
    schema, rows = through(tmp_path, [f'{{"a": {value}}}' for value in values])
    assert [row["a"] for row in rows] == back
    assert type is None or str(schema.field("a").type) == type


def test_no_rows_are_a_table_without_columns(tmp_path: Path) -> None:
    schema, rows = through(tmp_path, [])
    assert (schema.names, rows) == ([], [])


def test_parquet_out_and_its_shards(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f'{{"id": {n}, "text": "line {n}"}}\n' for n in range(100)))
    for shard in ("1/2", "2/2"):
        out = str(tmp_path / f"{shard[0]}.parquet")
        assert run(*ECHO, str(source), "--shard", shard, "-o", out).returncode == 0
    (tmp_path / "in.jsonl").rename(tmp_path / "in.log")
    done = run(*ECHO, str(tmp_path), "-f", "jsonl", "--field", "translation")
    assert done.returncode == 0
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == list(range(100))
    assert not list(tmp_path.glob("*.part*"))
