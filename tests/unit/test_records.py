"""Records in: every format, good and bad records, files that cannot be read."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlpcli import streams, tables
from nlpcli.errors import DataError, ExitCode, UsageError
from nlpcli.records import Reader, Record, check, format_of


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Write a file and give the records that are read from it; every read is of few bytes."""
    monkeypatch.chdir(tmp_path)

    def read(name: str, data: bytes | str, field: str = "text", size: int = 7) -> list[Record]:
        monkeypatch.setattr(streams, "_READ_SIZE", size)
        Path(name).write_bytes(data.encode() if isinstance(data, str) else data)
        lists = list(Reader([name], field=field))
        assert all(lists)
        found = [record for some in lists for record in some]
        monkeypatch.setattr(streams, "_READ_SIZE", 1 << 16)
        assert found == [record for some in Reader([name], field=field) for record in some]
        return found

    yield read


def texts(found: list[Record]) -> list[str]:
    return [record.error or record.text for record in found]


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("a.txt", "text"),
        ("-", "text"),
        ("x/a.jsonl", "jsonl"),
        ("a.NDJSON", "jsonl"),
        ("a.b.csv", "csv"),
        ("a.tsv.gz", "tsv"),
        ("a.jsonl.zst", "jsonl"),
        ("a.gz", "text"),
        ("csv", "text"),
        (".csv/a", "text"),
    ],
)
def test_the_ending_names_the_format(path: str, format: str) -> None:
    assert format_of(path) == format


def test_text_lines(put) -> None:
    found = put("a.txt", "\ufeffone\r\n\n two \ntab\tand\0nul\nno end")
    assert texts(found) == ["one", "", " two ", "tab\tand\0nul", "no end"]
    assert [record.where for record in found] == [f"a.txt:{n}" for n in range(1, 6)]
    assert found[2].fields("body") == {"body": " two "}


def test_empty_inputs_have_no_records(put) -> None:
    for name in ("a.txt", "a.jsonl", "a.csv", "a.tsv"):
        assert put(name, "") == []
        assert put(name, "\ufeff") == []


def test_a_table_with_a_header_only(put) -> None:
    assert put("a.csv", "id,text\n") == []
    reader = Reader(["a.csv"])
    assert list(reader) == []
    assert reader.columns == ("id", "text")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", b"good\nb\xffd\nfine\n"),
        ("a.jsonl", b'{"text": "good"}\n{"text": "\xff"}\n{"text": "fine"}\n'),
        ("a.csv", b"text,n\ngood,1\nb\xffd,2\nfine,3\n"),
        ("a.tsv", b"text\tn\ngood\t1\nb\xffd\t2\nfine\t3\n"),
    ],
)
def test_invalid_utf8_is_one_bad_record(put, name: str, data: bytes) -> None:
    good, bad, fine = put(name, data)
    assert (good.text, fine.text) == ("good", "fine")
    line = 2 if name in ("a.txt", "a.jsonl") else 3
    assert bad.where == f"{name}:{line}"
    assert bad.error.startswith("not valid UTF-8: byte 0xff at column ")
    if bad.row:
        assert bad.row[1] == "2"
        "".join(bad.row).encode()


def test_a_long_line(put) -> None:
    word = "wörter " * 800_000
    assert texts(put("a.txt", f"a\n{word}\nb", size=1 << 12)) == ["a", word, "b"]
    table = put("a.csv", f'text,n\n"{word}\n{word}",1\nb,2\n', size=1 << 14)
    assert texts(table) == [f"{word}\n{word}", "b"]


def test_jsonl_keeps_its_own_text(put) -> None:
    raw = '{"n": 1.10, "text" : "a\\u0062c", "n": 1E400}'
    blank, (record,) = put("b.jsonl", "\n \r\n"), put("a.jsonl", f"\n  \n{raw}\r\n")
    assert blank == []
    assert (record.text, record.raw, record.line) == ("abc", raw, 3)
    assert record.fields("text")["n"] == float("inf")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"text": "a"', "not valid JSON: Expecting ',' delimiter at column 13"),
        ('{"text', "not valid JSON: Unterminated string starting at column 2"),
        ("NaN", "not a JSON object but a number"),
        ("[1]", "not a JSON object but an array"),
        ('"text"', "not a JSON object but a string"),
        ("null", "not a JSON object but null"),
        ('{"id": 1, "body": "a"}', 'no field "text"; there are: id, body'),
        ("{}", 'no field "text"; there are: none'),
        ('{"text": null}', 'field "text" is not text but null'),
        ('{"text": true}', 'field "text" is not text but a boolean'),
        ('{"text": {}}', 'field "text" is not text but an object'),
        ('{"text": "\\ud83d"}', 'field "text" holds half a surrogate pair'),
        ('{"text": ' + "7" * 5000 + "}", 'field "text" is not text but a number'),
        ("[" * 100_000, "not valid JSON: nested too deep"),
        ("\0", "not valid JSON: Expecting value at column 1"),
    ],
)
def test_a_bad_jsonl_line_harms_no_other(put, line: str, error: str) -> None:
    found = put("a.jsonl", f'{{"text": "before"}}\n{line}\n{{"text": "after"}}\n')
    assert texts(found) == ["before", error, "after"]
    assert found[1].where == "a.jsonl:2"


@pytest.mark.parametrize("value", ["NaN", "9" * 5000, "1E400", '"\\ud800"', "[" * 300 + "]" * 300])
def test_unusual_values_elsewhere_are_no_error(put, value: str) -> None:
    (record,) = put("a.jsonl", f'{{"other": {value}, "text": "fine"}}')
    assert texts([record]) == ["fine"]
    assert list(record.fields("text")) == ["other", "text"]


def test_many_names_are_not_all_listed(put) -> None:
    (record,) = put("a.jsonl", json.dumps({f"k{n}": n for n in range(100)}))
    assert record.error.endswith("k18, k19, …")


def test_a_whole_surrogate_pair_is_text(put) -> None:
    assert texts(put("a.jsonl", '{"text": "\\ud83d\\ude00"}')) == ["😀"]


def test_csv_rows_and_the_lines_they_begin_in(put) -> None:
    data = '\ufeff\n"id",text\r\n1,"a ""b"", c"\r\n\r\n2,"two\n\n  \r\nlines"\n3, d \n4,""'
    found = put("a.csv", data)
    assert texts(found) == ['a "b", c', "two\n\n  \r\nlines", " d ", ""]
    assert [record.line for record in found] == [3, 5, 9, 10]
    assert found[1].columns == ("id", "text")
    assert found[1].fields("text") == {"id": "2", "text": "two\n\n  \r\nlines"}


@pytest.mark.parametrize(
    ("rows", "error", "rest"),
    [
        ("1\n", "1 field where the header names 2", ["z"]),
        ("1,2,3\n", "3 fields where the header names 2", ["z"]),
        ('""\n', "1 field where the header names 2", ["z"]),
        ('"a"b,1\n', "not valid CSV: ',' expected after '\"'", ["z"]),
        ("a\rb,1\n", "not valid CSV: new-line character seen in unquoted field", ["z"]),
        ('1,"open\n', "not valid CSV: unexpected end of data", []),
    ],
)
def test_a_bad_csv_row_harms_no_other(put, rows: str, error: str, rest: list[str]) -> None:
    found = put("a.csv", f"n,text\n0,a\n{rows}9,z\n")
    assert found[0].text == "a"
    assert found[1].error.startswith(error)
    assert (found[1].line, [record.text for record in found[2:]]) == (3, rest)


def test_a_quote_left_open_does_not_hold_the_whole_file(
    put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_CSV_FIELD_LIMIT", 100)
    found = put("a.csv", 'n,text\n1,"open\n' + "2,fine\n" * 40)
    assert found[0].error == "not valid CSV: field larger than field limit (100)"
    assert len(found) > 20
    assert {record.text for record in found[1:]} == {"fine"}


def test_a_table_with_one_column_keeps_its_blank_values(put) -> None:
    assert texts(put("a.tsv", "text\na\n\n  \n")) == ["a", "", "  "]
    assert texts(put("a.csv", 'text\na\n\n""\n  \n')) == ["a", "", "  "]


def test_tsv_knows_no_quotes(put) -> None:
    found = put("a.tsv", '\nid\ttext\r\n1\t"a\r\n\n2\tb\\n\t\n')
    assert texts(found) == ['"a', "3 fields where the header names 2"]
    assert [record.line for record in found] == [3, 5]


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ("id,body\n1,a\n", 'a.csv:1: no field "text"; there are: id, body', "name the column"),
        ("id,txt\n1,a\n", 'no field "text"', "did you mean txt?"),
        ("text,id,id\n1,a,b\n", "two columns are called 'id'", ""),
        ('"text\n', "not valid CSV", "the first line must name the columns"),
        (b"\xff,text\n", "not valid UTF-8", "the first line must name the columns"),
    ],
)
def test_a_bad_header_ends_the_input(put, data: bytes | str, message: str, hint: str) -> None:
    with pytest.raises(DataError, match=r"^a\.csv:1: ") as caught:
        put("a.csv", data)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_the_field_to_work_on(put) -> None:
    assert texts(put("a.csv", "a,b\n1,2\n", "b")) == ["2"]
    assert texts(put("a.jsonl", '{"b": "2"}', "b")) == ["2"]


def test_several_inputs_follow_one_another(tmp_path: Path) -> None:
    contents = {"a.csv": "id,text\n1,a\n", "b.csv": "text,n\nb,2\n", "c.jsonl": '{"text": "c"}'}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"text\nd\n"))
    names = [str(tmp_path / name) for name in (*contents, "d.csv.gz")]
    reader = Reader(names)
    assert texts([record for some in reader for record in some]) == ["a", "b", "c", "d"]
    assert reader.columns == ("id", "text")


def test_rows_are_not_held_back_by_one_that_is_not_whole() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b'n,text\n1,a\n2,"b\n')
        got = iter(Reader([f"/dev/fd/{reading}"], "csv"))
        assert texts(next(got)) == ["a"]
        os.write(writing, b'c"\n')
        (row,) = next(got)
        assert (row.text, row.line) == ("b\nc", 3)
        os.write(writing, b"3,d\n4,e\n")
        assert texts(next(got)) == ["d", "e"]
        os.close(writing)
        assert list(got) == []
    finally:
        os.close(reading)


@pytest.mark.parametrize("format", ["text", "jsonl", "csv", "tsv"])
def test_what_comes_before_a_failure_is_given(tmp_path: Path, format: str) -> None:
    rows = {
        "text": "a{}\n",
        "jsonl": '{{"text": "a{}"}}\n',
        "csv": '"a{}",""\n',
        "tsv": "a{}\t\n",
    }
    head = {"csv": "text,n\n", "tsv": "text\tn\n"}.get(format, "")
    data = head + "".join(rows[format].format(n) for n in range(50_000))
    path = tmp_path / "input.gz"
    path.write_bytes(gzip.compress(data.encode())[:-50])
    found = []
    with pytest.raises(DataError, match=r"input.gz: cannot be read: .* ends too early"):
        for some in Reader([str(path)], format):
            found.extend(some)
    assert len(found) > 40_000
    assert texts(found) == [f"a{n}" for n in range(len(found))]


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "a.csv"
    path.write_text("id,text\n" + '1,"some\ntext"\n' * 50_000)
    tracemalloc.start()
    count = sum(len(some) for some in Reader([str(path)]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 4_000_000


def test_paths_are_checked_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file: Hello") as caught:
        Reader(["-", "Hello"])
    assert "--text" in caught.value.hint
    with pytest.raises(UsageError, match="no such file"):
        check(["a" * 5000])
    with pytest.raises(UsageError, match="is a folder") as caught:
        check([f"{tmp_path}/"])
    assert caught.value.hint == f"name its files, such as {tmp_path}/*"
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_an_unreadable_file() -> None:
    folder = tempfile.mkdtemp()
    try:
        os.chmod(folder, 0o755)
        path = Path(folder, "secret")
        path.write_text("a")
        path.chmod(0)
        # Permissions do not bind root: look as somebody else.
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if os.getuid() == 0:
                    os.setuid(65534)
                check([str(path)])
            except UsageError as error:
                status = 0 if error.message == f"{path}: permission denied" else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        shutil.rmtree(folder)


def test_a_file_gone_since_it_was_checked_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")
    reader = Reader([str(path)])
    path.unlink()
    with pytest.raises(DataError, match=r"a.txt: cannot be read: No such file or directory"):
        list(reader)
