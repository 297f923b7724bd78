"""Records in: text lines, JSONL, CSV and TSV, plain, gzip or Zstandard, as a stream.

A record that cannot be read becomes a Record with `error` set, so that the caller decides what
a bad record costs. Writing them is `nlpcli.writing`'s.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any

from nlpcli.errors import DataError, UsageError, did_you_mean

FORMATS = ("text", "jsonl", "csv", "tsv")
STDIN = "-"
_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
_COMPRESSED = (".gz", ".zst")
_READ_SIZE = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Record:
    """One record: `text` is the field to work on; `line` (1-based) is where it begins in `file`.

    `raw` keeps a JSONL object's own text and `row` a CSV or TSV row with its `columns`, so that
    what is not worked on passes through untouched. `error` says why the record is bad.
    """

    file: str
    line: int
    text: str = ""
    raw: str = ""
    row: list[str] | None = None
    columns: tuple[str, ...] = ()
    error: str = ""

    @property
    def where(self) -> str:
        """`file:line`, as compilers and grep write it."""
        return f"{self.file}:{self.line}"

    def fields(self, name: str) -> dict[str, Any]:
        """The record as an object; a text line becomes the one field `name`."""
        if self.row is not None:
            return dict(zip(self.columns, self.row, strict=True))
        if self.raw:
            fields: dict[str, Any] = json.loads(self.raw)
            return fields
        return {name: self.text}


def format_of(path: str) -> str:
    """The record format that a file's ending names; `text` where it names none."""
    pure = PurePath(path)
    if pure.suffix.lower() in _COMPRESSED:
        pure = PurePath(pure.stem)
    return _ENDINGS.get(pure.suffix.lower(), "text")


def check(paths: Sequence[str]) -> None:
    """Raise UsageError for the first path that is missing, a folder or unreadable."""
    for path in paths:
        if path == STDIN:
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

    Iterating gives lists of records as they arrive: whatever one read of the input completed, so
    that a slow pipe is answered line by line. `columns` is the header of the first CSV or TSV.
    """

    def __init__(self, paths: Sequence[str], format: str = "auto", field: str = "text") -> None:
        self.paths = list(paths) or [STDIN]
        self.field = field
        self.columns: tuple[str, ...] = ()
        self._format = format
        check(self.paths)

    @property
    def format(self) -> str:
        """The format of the first input."""
        return self._format_of(self.paths[0])

    def __iter__(self) -> Iterator[list[Record]]:
        for path in self.paths:
            name = "<stdin>" if path == STDIN else path
            stream = _open(path)
            try:
                yield from self._records(name, self._format_of(path), stream)
            except (OSError, EOFError) as error:
                raise DataError(f"{name}: cannot be read: {error}") from error
            finally:
                stream.close()

    def _format_of(self, path: str) -> str:
        return format_of(path) if self._format == "auto" else self._format

    def _records(self, name: str, format: str, stream: IO[bytes]) -> Iterator[list[Record]]:
        if format in ("csv", "tsv"):
            yield from self._tabular(name, format, stream)
            return
        parse = _text_record if format == "text" else self._json_record
        number = 0
        for lines in _lines(stream):
            records = [parse(name, number + i, line) for i, line in enumerate(lines, 1)]
            number += len(lines)
            yield [record for record in records if record is not None]

    def _json_record(self, name: str, number: int, line: bytes) -> Record | None:
        if not line.strip():
            return None
        record = Record(name, number)
        try:
            record.raw = line.decode()
            value = json.loads(record.raw)
        except UnicodeDecodeError as error:
            return _bad(record, _not_utf8(error))
        except RecursionError:
            return _bad(record, "not valid JSON: nested too deep")
        except ValueError as error:
            return _bad(record, f"not valid JSON: {error}")
        if not isinstance(value, dict):
            return _bad(record, f"not a JSON object but {_json_type(value)}")
        if self.field not in value:
            return _bad(record, _no_field(self.field, list(value)))
        text = value[self.field]
        if not isinstance(text, str):
            return _bad(record, f'field "{self.field}" is not text but {_json_type(text)}')
        if _SURROGATE.search(text):
            return _bad(record, f'field "{self.field}" holds half a surrogate pair')
        record.text = text
        return record

    def _tabular(self, name: str, format: str, stream: IO[bytes]) -> Iterator[list[Record]]:
        rows = _CsvRows(stream) if format == "csv" else _TsvRows(stream)
        columns: tuple[str, ...] = ()
        position = 0
        records: list[Record] = []
        for line, row, error in rows:
            if not columns and not error:
                columns = tuple(row)
                position = _column(columns, self.field, f"{name}:{line}")
                self.columns = self.columns or columns
            elif not columns:
                raise DataError(f"{name}:{line}: {error}", "the first line must name the columns")
            else:
                record = Record(name, line, row=row, columns=columns, error=error)
                if not error and len(row) != len(columns):
                    record.error = f"{len(row)} fields where the header names {len(columns)}"
                if not record.error:
                    record.text = row[position]
                records.append(record)
            if rows.idle and records:
                yield records
                records = []
        if records:
            yield records


class _CsvRows:
    """Rows of a CSV stream as (line, row, error); `idle` when the next row may block."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._blocks = _lines(stream, keep_cr=True)
        self._pending: deque[bytes] = deque()
        self._escaped = False
        self._at_start = True

    @property
    def idle(self) -> bool:
        return not self._pending

    def _feed(self) -> Iterator[str]:
        while True:
            while not self._pending:
                block = next(self._blocks, None)
                if block is None:
                    return
                self._pending.extend(block)
            line = self._pending.popleft()
            if self._at_start and not line.strip():
                yield ""  # the csv module skips an empty line between rows, and so do we
                continue
            try:
                yield line.decode() + "\n"
            except UnicodeDecodeError:
                self._escaped = True
                yield line.decode(errors="surrogateescape") + "\n"

    def __iter__(self) -> Iterator[tuple[int, list[str], str]]:
        import csv

        csv.field_size_limit(sys.maxsize)
        reader = csv.reader(self._feed(), strict=True)
        start = 1
        while True:
            error, row = "", []
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as problem:
                error = f"not valid CSV: {problem}"
            if self._escaped and not error and any(map(_SURROGATE.search, row)):
                error = "not valid UTF-8"
            line, start = start, reader.line_num + 1
            if row or error:
                yield line, row, error


class _TsvRows:
    """Rows of a TSV stream: fields are what stands between tabs, quotes and backslashes included
    (the IANA definition of text/tab-separated-values)."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._blocks = _lines(stream)
        self.idle = True

    def __iter__(self) -> Iterator[tuple[int, list[str], str]]:
        number = 0
        for lines in self._blocks:
            last = number + len(lines)
            for line in lines:
                number += 1
                self.idle = number == last
                try:
                    yield number, line.decode().split("\t"), ""
                except UnicodeDecodeError as error:
                    yield number, [], _not_utf8(error)


def _open(path: str) -> IO[bytes]:
    """The bytes of `path`, decompressed where they begin with gzip's or Zstandard's magic."""
    # Not sys.stdin: a thread that waits on its lock would make the interpreter's exit fatal.
    file = 0 if path == STDIN else path
    raw = open(file, "rb", buffering=0, closefd=path != STDIN)  # noqa: SIM115
    stream = io.BufferedReader(raw, _READ_SIZE)
    magic = stream.peek(4)[:4]
    if magic.startswith(_GZIP_MAGIC):
        import gzip

        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if magic == _ZSTD_MAGIC:
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
        return io.BufferedReader(reader, _READ_SIZE)
    return stream


def _lines(stream: IO[bytes], keep_cr: bool = False) -> Iterator[list[bytes]]:
    """Complete lines without their ends (LF or CRLF), in the lists in which reads complete them.

    The byte-order mark is dropped. The last line needs no end.
    """
    rest: list[bytes] = []
    at_start = True
    while block := stream.read1(_READ_SIZE):  # type: ignore[attr-defined]
        if at_start:
            while len(block) < len(_BOM) and _BOM.startswith(block):
                more = stream.read1(_READ_SIZE)  # type: ignore[attr-defined]
                if not more:
                    break
                block += more
            block = block.removeprefix(_BOM)
            at_start = False
        head, newline, tail = block.rpartition(b"\n")
        if not newline:
            rest.append(block)
            continue
        lines = b"".join([*rest, head]).split(b"\n")
        rest = [tail] if tail else []
        yield lines if keep_cr else [line.removesuffix(b"\r") for line in lines]
    if rest:
        line = b"".join(rest)
        yield [line if keep_cr else line.removesuffix(b"\r")]


def _text_record(name: str, number: int, line: bytes) -> Record:
    try:
        return Record(name, number, line.decode())
    except UnicodeDecodeError as error:
        return _bad(Record(name, number), _not_utf8(error))


def _bad(record: Record, error: str) -> Record:
    record.error = error
    return record


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not valid UTF-8: byte {error.object[error.start]:#04x} at column {error.start + 1}"


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _no_field(field: str, known: list[str]) -> str:
    there = ", ".join(known) or "none"
    return f'no field "{field}"; there are: {there}'


def _column(columns: tuple[str, ...], field: str, where: str) -> int:
    """The position of the column to work on. Raises DataError where the header lacks it."""
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        raise DataError(f"{where}: two columns are called {sorted(twice)[0]!r}")
    if field not in columns:
        hint = did_you_mean(field, columns) or "name the column to work on: --field NAME"
        raise DataError(f"{where}: {_no_field(field, list(columns))}", hint)
    return columns.index(field)
