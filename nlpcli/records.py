"""Records in: text lines, JSONL, CSV and TSV, plain, gzip or Zstandard, as a stream.

A record that cannot be read becomes a Record with `error` set, so that the caller decides what
a bad record costs. Writing them is `nlpcli.writing`'s.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from nlpcli.errors import DataError, UsageError
from nlpcli.remote import is_remote, path_of
from nlpcli.streams import COMPRESSED, STDIN, blocks, count_lines, lines, seekable
from nlpcli.tables import Row, column, csv_rows, no_field, not_utf8, tsv_rows

FORMATS = ("text", "jsonl", "csv", "tsv", "parquet")
ENDINGS = {
    ".txt": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_SURROGATE = "[\ud800-\udfff]"


class Record(NamedTuple):
    """One record: `text` is the field to work on; `line` (1-based) is where it begins in `file`.

    `raw` keeps a JSONL object's own text and `row` a CSV or TSV row with its `columns`, so that
    what is not worked on passes through untouched. `messages` are the (role, content) pairs of a
    dialogue that stands in the place of a text. `error` says why the record is bad.
    """

    file: str
    line: int
    text: str = ""
    raw: str = ""
    row: list[str] | None = None
    columns: tuple[str, ...] = ()
    error: str = ""
    messages: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> str:
        """`file:line`, as compilers and grep write it."""
        return f"{self.file}:{self.line}"

    def fields(self, name: str) -> dict[str, Any]:
        """The record as an object; a text line becomes the one field `name`."""
        if self.row is not None:
            return dict(zip(self.columns, self.row, strict=False))
        return _loads(self.raw) if self.raw else {name: self.text}


def format_of(path: str, otherwise: str = "text") -> str:
    """The record format that a file's ending names; `otherwise` where it names none."""
    stem, ending = os.path.splitext(path_of(path).lower())
    if ending in COMPRESSED:
        ending = os.path.splitext(stem)[1]
    return ENDINGS.get(ending, otherwise)


def check(paths: Sequence[str]) -> None:
    """Raise UsageError for the first path that is missing, a folder or unreadable."""
    for path in paths:
        if path == STDIN or is_remote(path):
            continue
        if not os.path.exists(path):
            raise UsageError(
                f"no such file: {path}", "arguments are files; to give the words themselves: --text"
            )
        if os.path.isdir(path):
            raise UsageError(f"{path} is a folder", f"name its files, such as {path.rstrip('/')}/*")
        if not os.access(path, os.R_OK):
            raise UsageError(f"{path}: permission denied")


class Reader:
    """The records of several inputs, one after another.

    Iterating gives lists of records as they arrive, none of them empty: whatever one read of the
    input completed, so that a slow pipe is answered line by line. `columns` is the header of the
    first CSV or TSV. `also` names fields that are taken where a record lacks `field`; one called
    `messages` holds a dialogue. With `whole`, a file of text is one record, not one for each line.
    """

    def __init__(
        self,
        paths: Sequence[str],
        format: str = "auto",
        field: str = "text",
        *,
        also: Sequence[str] = (),
        whole: bool = False,
    ) -> None:
        self.paths = list(paths) or [STDIN]
        self.field = field
        self._also = tuple(also)
        self._whole = whole
        self.columns: tuple[str, ...] = ()
        self._format = format
        check(self.paths)

    def __iter__(self) -> Iterator[list[Record]]:
        for path in self.paths:
            with _readable(path) as name:
                if (format := self._format_of(path)) == "parquet":
                    yield from self._parquet(name, path)
                else:
                    yield from self._records(name, format, blocks(path))

    def count(self) -> int:
        """The number of records that iterating gives, bad ones included; all inputs are read.

        Raises DataError where one cannot be read.
        """
        return sum(self._count(path) for path in self.paths)

    def _count(self, path: str) -> int:
        format = self._format_of(path)
        if format == "text" and self._whole:
            return 1
        with _readable(path) as name:
            if format == "parquet":
                from nlpcli.parquet import Table

                with seekable(path) as file:
                    return len(Table(name, file))
            source = blocks(path)
            if format == "text":
                return count_lines(source)
            if format == "jsonl":
                return sum(bool(line.strip()) for some in lines(source) for line in some)
            rows = csv_rows(source) if format == "csv" else tsv_rows(source)
            return max(sum(map(len, rows)) - 1, 0)  # less the header

    def _format_of(self, path: str) -> str:
        return format_of(path) if self._format == "auto" else self._format

    def _records(self, name: str, format: str, source: Iterable[bytes]) -> Iterator[list[Record]]:
        if format == "text" and self._whole:
            return _whole(name, source)
        if format == "text":
            return _by_line(name, source, text_record)
        if format == "jsonl":
            return _by_line(name, source, self._json_record)
        return self._tabular(name, csv_rows(source) if format == "csv" else tsv_rows(source))

    def _parquet(self, name: str, path: str) -> Iterator[list[Record]]:
        from nlpcli.parquet import Table

        number = 0
        with seekable(path) as file:
            table = Table(name, file)
            column(table.columns, self._present(table.columns), name)
            for some in table.rows():
                records = (
                    self._json_record(name, at, row) for at, row in enumerate(some, number + 1)
                )
                yield [record for record in records if record is not None]
                number += len(some)

    def _present(self, columns: Sequence[str]) -> str:
        """The first of the fields to work on that is among `columns`, else the one asked for."""
        return next((each for each in (self.field, *self._also) if each in columns), self.field)

    def _json_record(self, name: str, number: int, line: bytes) -> Record | None:
        if not line.strip():
            return None
        record = Record(name, number)
        try:
            raw = line.decode()
            value = _loads(raw)
        except UnicodeDecodeError as error:
            return _bad(record, not_utf8(error))
        except RecursionError:
            return _bad(record, "not valid JSON: nested too deep")
        except json.JSONDecodeError as error:
            what = error.msg.removesuffix(" at")
            return _bad(record, f"not valid JSON: {what} at column {error.colno}")
        if not isinstance(value, dict):
            return _bad(record, f"not a JSON object but {_json_type(value)}")
        field = next((each for each in (self.field, *self._also) if each in value), None)
        if field is None:
            return _bad(Record(name, number, raw=raw), no_field(self.field, list(value)))
        text = value[field]
        if field == "messages" and field in self._also:
            record = _dialogue(Record(name, number, raw=raw), text)
        elif not isinstance(text, str):
            what = f'field "{field}" is not text but {_json_type(text)}'
            return _bad(Record(name, number, raw=raw), what)
        else:
            record = Record(name, number, text, raw)
        said = (text,) if isinstance(text, str) else (content for _, content in record.messages)
        if any(not each.isascii() and re.search(_SURROGATE, each) for each in said):
            what = f'field "{field}" holds half a surrogate pair'
            return Record(name, number, raw=raw, error=what)
        return record

    def _tabular(self, name: str, rows: Iterable[list[Row]]) -> Iterator[list[Record]]:
        columns: tuple[str, ...] = ()
        position = 0
        for some in rows:
            records: list[Record] = []
            for line, row, error in some:
                if not columns:
                    if error:
                        hint = "the first line must name the columns"
                        raise DataError(f"{name}:{line}: {error}", hint)
                    columns = tuple(row)
                    position = column(columns, self._present(row), f"{name}:{line}")
                    self.columns = self.columns or columns
                    continue
                text = ""
                if not error and len(row) == len(columns):
                    text = row[position]
                elif not error:
                    fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
                    error = f"{fields} where the header names {len(columns)}"
                records.append(Record(name, line, text, "", row, columns, error))
            if records:
                yield records


@contextmanager
def _readable(path: str) -> Iterator[str]:
    """What `path` is called in messages; a failure to read it is raised as DataError."""
    name = "<stdin>" if path == STDIN else path_of(path)  # a query may hold a signature
    try:
        yield name
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or (str(error).splitlines() or ["unknown error"])[0]
        raise DataError(f"{name}: cannot be read: {why}") from error


def _by_line(
    name: str, source: Iterable[bytes], parse: Callable[[str, int, bytes], Record | None]
) -> Iterator[list[Record]]:
    number = 0
    for some in lines(source):
        records = [parse(name, at, line) for at, line in enumerate(some, number + 1)]
        number += len(some)
        if found := [record for record in records if record is not None]:
            yield found


def _whole(name: str, source: Iterable[bytes]) -> Iterator[list[Record]]:
    """All of a file but the end of its last line, as `$(cat FILE)` gives it."""
    text = b"".join(source).removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
    yield [text_record(name, 1, text, whole=True)]


def _dialogue(record: Record, value: Any) -> Record:
    """`record` with the messages that the JSON `value` holds, a bad one where it is no dialogue."""
    try:
        messages = tuple((str(each["role"]), each["content"]) for each in value)
    except (KeyError, TypeError):
        messages = ()
    if not messages or not all(isinstance(content, str) for _, content in messages):
        what = 'field "messages" is not a list of objects with "role" and "content"'
        return _bad(record, what)
    roles = ("system", "user", "assistant")
    for role, _ in messages:
        if role not in roles:
            return _bad(record, f'field "messages": no role {role!r}; there are {", ".join(roles)}')
    return record._replace(messages=messages)


def _loads(raw: str) -> Any:
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer with more digits than Python turns into an int is valid JSON all the same.
        return json.loads(raw, parse_int=float)


def text_record(name: str, number: int, line: bytes, whole: bool = False) -> Record:
    """A line of text as a record; a bad one where it is not UTF-8, or is `whole` and says
    nothing."""
    try:
        record = Record(name, number, line.decode())
    except UnicodeDecodeError as error:
        return _bad(Record(name, number), not_utf8(error))
    return _bad(record, "the text is empty") if whole and not record.text.strip() else record


def _bad(record: Record, error: str) -> Record:
    return record._replace(error=error)


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
