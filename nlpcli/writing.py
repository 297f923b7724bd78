"""Records out: text, JSONL, CSV and TSV, to a pipe at once or to a file that appears whole."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from json.decoder import scanstring  # type: ignore[attr-defined]
from types import TracebackType
from typing import IO, Any

from nlpcli.errors import DataError, NlpcliError, UsageError
from nlpcli.records import Record

_BREAKS = re.compile(r"\r\n|[\r\n]")
_TSV_BREAKS = re.compile(r"\r\n|[\r\n\t]")
_SPACE = re.compile(r"[ \t\r\n]*")


class Output:
    """A byte stream to standard output, or to a file that takes its name only when all is written.

    Used as a context: left by an exception, a half-written file is removed. A device or a FIFO
    cannot be renamed over and is written as it is. Raises UsageError if the file cannot be made.
    """

    def __init__(self, path: str | None) -> None:
        self._name = "standard output" if path in (None, "-") else str(path)
        self._target = ""
        self._part = ""
        if path is None or path == "-":
            self._stream: IO[bytes] = _Whole(1)
            return
        self._target = os.path.realpath(path)
        try:
            self._stream = _compressor(_Whole(self._descriptor()), path)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from error

    def _descriptor(self) -> int:
        if os.path.exists(self._target) and not stat.S_ISREG(os.stat(self._target).st_mode):
            return os.open(self._target, os.O_WRONLY)
        folder, name = os.path.split(self._target)
        part = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._part = part
        return descriptor

    def write(self, data: bytes) -> None:
        """Write all of `data`; to a pipe or terminal it goes at once."""
        try:
            self._stream.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NlpcliError(f"{self._name}: {error.strerror}") from error

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._stream.flush()
                self._keep()
        except BrokenPipeError:
            raise
        except OSError as problem:
            raise NlpcliError(f"{self._name}: {problem.strerror}") from problem
        finally:
            if self._part:
                with suppress(OSError):
                    os.unlink(self._part)

    def _keep(self) -> None:
        """Close the file and give it its name; an existing file's permissions are kept."""
        if not self._target:
            return
        self._stream.close()
        if self._part:
            with suppress(FileNotFoundError):
                os.chmod(self._part, stat.S_IMODE(os.stat(self._target).st_mode))
            os.replace(self._part, self._target)
            self._part = ""


class _Whole(io.FileIO):
    """An unbuffered file whose `write` writes everything; syncs a regular file when closed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=descriptor > 2)

    def write(self, data: Any) -> int:
        view = memoryview(data)
        size = len(view)
        while view:
            view = view[super().write(view) :]
        return size

    def close(self) -> None:
        if not self.closed and stat.S_ISREG(os.fstat(self.fileno()).st_mode):
            os.fsync(self.fileno())
        super().close()


def _compressor(file: IO[bytes], path: str) -> IO[bytes]:
    if path.endswith(".gz"):
        import gzip

        return gzip.GzipFile("", "wb", fileobj=file, mtime=0)  # type: ignore[return-value]
    if path.endswith(".zst"):
        import zstandard

        writer: IO[bytes] = zstandard.ZstdCompressor().stream_writer(file)
        return writer
    return file


class Writer:
    """Formats records with what a task added to them.

    `added` names the fields the task adds, `field` that of a text line turned into an object.
    """

    def __init__(self, output: Output, format: str, field: str, added: Sequence[str]) -> None:
        self._output = output
        self._format = format
        self._field = field
        self._added = tuple(added)
        self._columns: tuple[str, ...] | None = None
        self._lines: list[str] = []

    def add(self, record: Record, values: Mapping[str, Any], line: str) -> None:
        """Format one record; `values` are the added fields, `line` what text output shows."""
        if self._format == "text":
            self._lines.append(one_line(line) + "\n")
        elif self._format == "jsonl":
            self._lines.append(_object(record, self._field, values) + "\n")
        else:
            self._row(record, values)

    def flush(self) -> None:
        """Hand on all that was added."""
        if self._lines:
            self._output.write("".join(self._lines).encode())
            self._lines.clear()

    def finish(self, columns: Sequence[str]) -> None:
        """Hand on what is left; `columns` is the header for a table that had no rows."""
        if self._format in ("csv", "tsv") and self._columns is None and columns:
            self._header(tuple(columns))
        self.flush()

    def _row(self, record: Record, values: Mapping[str, Any]) -> None:
        fields = record.fields(self._field) if not record.error or record.row else {}
        if record.error and record.row is not None:
            fields = dict(zip(record.columns, record.row, strict=False))
        if self._columns is None:
            self._header(record.columns or tuple(fields))
        extra = [name for name in fields if name not in (self._columns or ())]
        if extra and not record.error:
            raise DataError(
                f"{record.where}: column {extra[0]!r} is not in the output's header",
                "inputs with different columns go together only as JSONL: -f jsonl",
            )
        merged = {**fields, **values}
        self._lines.append(
            self._delimited([_cell(merged.get(name)) for name in self._columns or ()])
        )

    def _header(self, columns: tuple[str, ...]) -> None:
        self._columns = (*columns, *(name for name in self._added if name not in columns))
        self._lines.append(self._delimited(list(self._columns)))

    def _delimited(self, cells: list[str]) -> str:
        if self._format == "tsv":
            return "\t".join(_TSV_BREAKS.sub(" ", cell) for cell in cells) + "\n"
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        return line.getvalue()


def one_line(text: str) -> str:
    """`text` with every line break made a space."""
    return _BREAKS.sub(" ", text)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _object(record: Record, field: str, values: Mapping[str, Any]) -> str:
    """The record as one JSON object with `values` added; its own members keep their very text."""
    if record.row is not None or not record.raw:
        own = {} if record.error and record.row is None else record.fields(field)
        return json.dumps({**own, **values}, ensure_ascii=False)
    if record.error:
        return json.dumps(values, ensure_ascii=False)
    new = json.dumps(values, ensure_ascii=False)[1:]
    raw = record.raw.strip()
    if "\\u" in raw or any(f'"{name}"' in raw for name in values):
        kept = [member for name, member in members(raw) if name not in values]
        return "{" + ", ".join([*kept, new])
    return f"{raw[:-1].rstrip()}, {new}"


def members(raw: str) -> list[tuple[str, str]]:
    """The members of a valid JSON object as (name, the member's own text)."""
    decode = json.JSONDecoder().raw_decode
    found = []
    at = _skip(raw, 1)
    while raw[at] != "}":
        start = at
        name, at = scanstring(raw, at + 1, True)
        _, at = decode(raw, _skip(raw, _skip(raw, at) + 1))
        found.append((name, raw[start:at]))
        at = _skip(raw, at)
        if raw[at] == ",":
            at = _skip(raw, at + 1)
    return found


def _skip(raw: str, at: int) -> int:
    """The position of the next character that is not white space."""
    match = _SPACE.match(raw, at)
    return match.end() if match else at
