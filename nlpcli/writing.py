"""Records out: text, JSONL, CSV and TSV."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from nlpcli.errors import DataError
from nlpcli.output import Sink
from nlpcli.records import Record

# Patterns are compiled at first use: a line of plain text needs none of them.
_BREAKS = r"\r\n|[\r\n]"
_TSV_BREAKS = r"\r\n|[\r\n\t]"
_SURROGATES = "[\ud800-\udfff]"
_PLAIN_NAME = r'"([^"\\]*)"[ \t\r\n]*:[ \t\r\n]*'
_COLON = r"[ \t\r\n]*:[ \t\r\n]*"
_COMMA = r"[ \t\r\n]*,?[ \t\r\n]*"
_ESCAPED_ASCII = r"\\u00[2-7]"
_EARLY = 1000

_encode = json.JSONEncoder(ensure_ascii=False).encode
# Only where a value ends matters here, so numbers of any size and form stay text.
_scan = json.JSONDecoder(parse_int=str, parse_float=str).scan_once  # type: ignore[attr-defined]


class Writer:
    """Formats records with what a task added to them.

    `added` names the fields the task adds, `field` that of a text line turned into an object.
    With `whole`, text output keeps an answer's line breaks; without `heads` a table gets no header,
    as it continues another. `columns` is the header that stands there, or in the part before.
    """

    def __init__(
        self,
        output: Sink,
        format: str,
        field: str,
        added: Sequence[str],
        *,
        whole: bool = False,
        heads: bool = True,
        columns: Sequence[str] = (),
    ) -> None:
        self._output = output
        self._heads = heads
        self._whole = whole
        self._format = format
        self._field = field
        self._added = tuple(added)
        self._columns = tuple(columns) or None
        self._early: list[dict[str, str]] = []
        self._extended: tuple[str, ...] = ()
        self._lines: list[str] = []
        self._cells = self._csv() if format == "csv" else self._tsv

    def add(self, record: Record, values: Mapping[str, Any], line: str) -> None:
        """Format one record; `values` are the added fields, `line` what text output shows.

        Raises DataError for a record that does not fit among those before it."""
        try:
            if self._format == "text":
                self._lines.append((line if self._whole else one_line(line)) + "\n")
            elif self._format == "jsonl":
                self._lines.append(_object(record, self._field, values) + "\n")
            else:
                self._row(record, values)
        except RecursionError:
            raise DataError("nested too deep") from None

    def flush(self) -> None:
        """Hand on all that was added."""
        if not self._lines:
            return
        text = "".join(self._lines)
        self._lines.clear()
        try:
            data = text.encode()
        except UnicodeEncodeError:
            data = re.sub(_SURROGATES, "\ufffd", text).encode()
        self._output.write(data)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The header, () where there is none; None while records wait for it to be known."""
        return None if self._early else self._columns or ()

    def finish(self, columns: Sequence[str]) -> None:
        """Hand on what is left; `columns` is the header for a table that had no rows."""
        if self._columns is None and (columns or self._early) and self._format in ("csv", "tsv"):
            self._header(columns)
        self.flush()

    def _row(self, record: Record, values: Mapping[str, Any]) -> None:
        if record.row and record.columns is self._extended and not record.error:
            self._cells(record.row + [_cell(values.get(name)) for name in self._added])
            return
        own = _own(record, self._field)
        merged = {**own, **{name: _cell(value) for name, value in values.items()}}
        if self._columns is None:
            if record.error and not record.columns and len(self._early) < _EARLY:
                # It does not tell the columns; the next good record will.
                self._early.append(merged)
                return
            self._header(record.columns or own)
        if self._columns == (*record.columns, *self._added):
            self._extended = record.columns
        columns = self._columns or ()
        if not record.error and not own.keys() <= set(columns):
            extra = next(name for name in own if name not in columns)
            raise DataError(
                f"column {extra!r} is not in the output's header",
                "inputs with different columns go together only as JSONL: -f jsonl",
            )
        self._cells([merged.get(name, "") for name in columns])

    def _header(self, columns: Iterable[str]) -> None:
        self._columns = _with(self._added, columns)
        if self._heads:
            self._cells(self._columns)
        for cells in self._early:
            self._cells([cells.get(name, "") for name in self._columns])
        self._early.clear()

    def _csv(self) -> Callable[[Sequence[str]], Any]:
        import csv

        lines = self._lines

        class Rows:
            # The csv module quotes the characters of its line end: so both, and one taken off.
            def write(self, line: str) -> None:
                lines.append(line[:-2] + "\n")

        return csv.writer(Rows(), lineterminator="\r\n").writerow

    def _tsv(self, cells: Sequence[str]) -> None:
        line = "\t".join(cells)
        if "\n" in line or "\r" in line or line.count("\t") >= len(cells):
            line = "\t".join([re.sub(_TSV_BREAKS, " ", cell) for cell in cells])
        self._lines.append(line + "\n")


def header(record: Record, field: str, added: Sequence[str]) -> tuple[str, ...]:
    """The header of a table whose first good record this is."""
    return _with(added, record.columns or _own(record, field))


def _with(added: Sequence[str], columns: Iterable[str]) -> tuple[str, ...]:
    columns = tuple(columns)
    return (*columns, *(name for name in added if name not in columns))


def one_line(text: str) -> str:
    """`text` with every line break made a space."""
    return re.sub(_BREAKS, " ", text) if "\n" in text or "\r" in text else text


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value)


def _own(record: Record, field: str) -> dict[str, str]:
    """The record's own fields as the cells of a table."""
    if record.row is not None:
        cells = dict(zip(record.columns, record.row, strict=False))
        if len(record.row) > len(record.columns):  # a bad row: what is too much ends the last cell
            rest = record.row[len(record.columns) - 1 :]
            cells[record.columns[-1]] = ",".join(rest)
        return cells
    if record.raw:
        return {name: _plain(value) for name, _, value in members(record.raw.strip())}
    return {} if record.error else {field: record.text}


def _plain(value: str) -> str:
    if value.startswith('"'):
        text: str = scanstring(value, 1, True)[0]
        return text
    return "" if value == "null" else value


def _object(record: Record, field: str, values: Mapping[str, Any]) -> str:
    """The record as one JSON object with `values` added; its own members keep their very text."""
    new = ", ".join([f"{_encode(name)}: {_encode(value)}" for name, value in values.items()])
    if record.raw:
        raw = record.raw.strip()
        old = raw[1:-1].rstrip()
        if any(_may_hold(raw, name) for name in values):
            mine = list(members(raw))
            kept = [member for name, member, _ in mine if name not in values]
            old = old if len(kept) == len(mine) else ", ".join(kept)
    else:
        own = _own(record, field)
        old = ", ".join([f"{_encode(x)}: {_encode(own[x])}" for x in own if x not in values])
    return f"{{{old}, {new}}}" if old and new else f"{{{old}{new}}}"


def _may_hold(raw: str, name: str) -> bool:
    """Whether the JSON text may hold a member `name`; a name can be spelt with escapes."""
    if name.isascii() and name.isidentifier():
        return f'"{name}"' in raw or ("\\u" in raw and re.search(_ESCAPED_ASCII, raw) is not None)
    return True


def members(raw: str) -> Iterator[tuple[str, str, str]]:
    """The members of a valid JSON object as (name, the member's own text, its value's own text)."""
    plain, colon, comma = (_match(pattern) for pattern in (_PLAIN_NAME, _COLON, _COMMA))
    at = comma(raw, 1).end()
    while raw[at] != "}":
        start = at
        if match := plain(raw, at):
            name, begin = match[1], match.end()
        else:
            name, at = scanstring(raw, at + 1, True)
            begin = colon(raw, at).end()
        _, at = _scan(raw, begin)
        yield name, raw[start:at], raw[begin:at]
        at = comma(raw, at).end()


def _match(pattern: str) -> Any:
    return re.compile(pattern).match
