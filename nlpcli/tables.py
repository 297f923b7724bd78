"""Rows of CSV and TSV, with the lines they begin in, and the column to work on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from nlpcli.errors import DataError, did_you_mean
from nlpcli.streams import lines

_NAMES_SHOWN = 20

# A quote that is never closed makes the rest of the file one field: this many characters of it
# are held before it is called an error.
_CSV_FIELD_LIMIT = 1 << 24

Row = tuple[int, list[str], str]


class _Dry(Exception):
    """The csv module asks for a line that has to be waited for, while rows are ready."""


class _CsvLines:
    """The lines of a CSV stream, for the csv module; `taken` are those of the row it is in."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._lines = lines(source, keep_cr=True)
        self._pending: deque[bytes] = deque()
        self.taken: list[bytes] = []
        self.may_wait = True
        self.error = ""

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        if not self._pending:
            if not self.may_wait:
                raise _Dry
            self._pending.extend(next(self._lines))
        line = self._pending.popleft()
        self.taken.append(line)
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError as error:
            self.error = not_utf8(error)
            return line.decode(errors="replace") + "\n"

    def again(self) -> None:
        """Give the lines of the row once more."""
        self._pending.extendleft(reversed(self.taken))


def csv_rows(source: Iterable[bytes]) -> Iterator[list[Row]]:
    """Rows as (line, fields, error), in lists that are given before waiting for more input."""
    import csv

    csv.field_size_limit(_CSV_FIELD_LIMIT)
    feed = _CsvLines(source)
    reader = csv.reader(feed, strict=True)
    rows: list[Row] = []
    line = 1
    while True:
        feed.taken.clear()
        feed.error = ""
        feed.may_wait = not rows
        try:
            row = next(reader)
            error = feed.error
        except StopIteration:
            return
        except _Dry:
            yield rows
            rows = []
            feed.again()
            continue
        except csv.Error as problem:
            row, error = [], f"not valid CSV: {problem}"
        if row or error:
            rows.append((line, row, error))
        line += len(feed.taken)


def tsv_rows(source: Iterable[bytes]) -> Iterator[list[Row]]:
    """As `csv_rows`: fields are what stands between tabs, quotes and backslashes included
    (the IANA definition of text/tab-separated-values). A blank line is a row only of a table that
    has one column."""
    number = width = 0
    for some in lines(source):
        rows: list[Row] = []
        for number, line in enumerate(some, number + 1):  # noqa: B020
            if not line and width != 1:
                continue
            try:
                row, problem = line.decode().split("\t"), ""
            except UnicodeDecodeError as error:
                row, problem = line.decode(errors="replace").split("\t"), not_utf8(error)
            width = width or len(row)
            rows.append((number, row, problem))
        yield rows


def column(columns: tuple[str, ...], field: str, where: str) -> int:
    """The position of the column to work on. Raises DataError where the header lacks it."""
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        raise DataError(f"{where}: two columns are called {sorted(twice)[0]!r}")
    if field not in columns:
        hint = did_you_mean(field, columns) or "name the column to work on: --field NAME"
        raise DataError(f"{where}: {no_field(field, list(columns))}", hint)
    return columns.index(field)


def no_field(field: str, known: list[str]) -> str:
    """Says that `field` is missing, and which there are."""
    more = ["…"] if len(known) > _NAMES_SHOWN else []
    there = ", ".join([*known[:_NAMES_SHOWN], *more]) or "none"
    return f'no field "{field}"; there are: {there}'


def not_utf8(error: UnicodeDecodeError) -> str:
    """Says which byte is not UTF-8, and its place (from 1) in the line."""
    return f"not valid UTF-8: byte {error.object[error.start]:#04x} at column {error.start + 1}"
