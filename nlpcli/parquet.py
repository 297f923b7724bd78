"""Parquet in and out, through pyarrow, some thousand rows at a time."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any, Protocol

from nlpcli import kinds
from nlpcli.errors import DataError, UsageError

_ROWS = 2048
_BYTES = 1 << 24
_GROUP = 1 << 14  # rows that a reader of what we write has to take together


class Target(Protocol):
    """Takes bytes, one after another."""

    def write(self, data: bytes) -> Any: ...


class Table:
    """The Parquet in `source` (a path or a binary file). `name` is what the user calls it.

    Raises DataError where it is not Parquet.
    """

    def __init__(self, name: str, source: Any) -> None:
        self._arrow, parquet = library()
        self._name = name
        try:
            self._file = parquet.ParquetFile(source)
        except (self._arrow.ArrowInvalid, self._arrow.ArrowNotImplementedError) as error:
            raise self._damaged(error) from None
        self.columns: tuple[str, ...] = tuple(self._file.schema_arrow.names)

    def __len__(self) -> int:
        """The number of rows, which stands in the file."""
        return int(self._file.metadata.num_rows)

    def rows(self) -> Iterator[list[bytes]]:
        """The rows as JSON objects, in lists that are not empty.

        Bytes become base64; dates, times and decimals text; durations the number of their units;
        NaN and the infinities, which JSON lacks, null.
        """
        schema = self._arrow.schema(
            [
                field.with_type(_readable(self._arrow, field.type))
                for field in self._file.schema_arrow
            ]
        )
        try:
            for batch in self._file.iter_batches(self._batch()):
                if batch.num_rows:
                    yield [_json(row) for row in batch.cast(schema).to_pylist()]
        except (ValueError, self._arrow.ArrowException) as error:
            raise self._damaged(error) from None

    def _batch(self) -> int:
        """So many rows as are a few megabytes."""
        metadata = self._file.metadata
        groups = range(metadata.num_row_groups)
        size: int = sum(metadata.row_group(at).total_byte_size for at in groups)
        return max(1, min(_ROWS, _BYTES * len(self) // max(size, 1)))

    def _damaged(self, error: Exception) -> DataError:
        what = (str(error).splitlines() or [type(error).__name__])[0]
        return DataError(f"{self._name}: not valid Parquet: {what}")


def from_jsonl(source: str, target: Target) -> None:
    """Write the JSON objects of the file `source`, one a line, as Parquet to `target`.

    A first pass finds the columns, in order of appearance, and their types; a column of several
    types, or of what no type holds, has JSON texts. Half a surrogate pair becomes U+FFFD. The
    memory needed is that of some thousand rows.
    """
    arrow, parquet = library()
    found: dict[str, kinds.Kind] = {}
    for some in _objects(source):
        for each in some:
            for name, value in each.items():
                found[name] = kinds.common(found.get(name), kinds.of(value))
    columns = {name: kinds.settled(kind) for name, kind in found.items()}
    schema = arrow.schema([(name, _type(arrow, kind)) for name, kind in columns.items()])
    as_json = {name for name, kind in columns.items() if kind == "json"}
    sink = arrow.PythonFile(_Sink(target), mode="w")
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for some in _objects(source):
            for each in some:
                for name in as_json & each.keys():
                    if each[name] is not None:
                        each[name] = json.dumps(each[name], ensure_ascii=False)
            writer.write_batch(arrow.RecordBatch.from_pylist(some, schema=schema))


class _Sink:
    """A file as pyarrow wants it; it asks where it is."""

    closed = False

    def __init__(self, target: Target) -> None:
        self._target = target
        self._at = 0

    def write(self, data: bytes) -> int:
        self._target.write(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _type(arrow: Any, kind: kinds.Kind) -> Any:
    """Arrow's type for a settled kind."""
    if isinstance(kind, kinds.List):
        return arrow.list_(_type(arrow, kind.inner))
    if isinstance(kind, kinds.Struct):
        return arrow.struct([(name, _type(arrow, each)) for name, each in kind.fields.items()])
    if kind == "boolean":
        return arrow.bool_()
    return {"integer": arrow.int64(), "long": arrow.int64(), "float": arrow.float64()}.get(
        str(kind), arrow.string()
    )


def _readable(arrow: Any, kind: Any) -> Any:
    """The type to read `kind` as: Python's dates and times hold less than Arrow's."""
    types = arrow.types
    if types.is_duration(kind):
        return arrow.int64()
    if types.is_temporal(kind) and not types.is_interval(kind):
        return arrow.string()
    if types.is_map(kind):
        return arrow.map_(kind.key_type, _readable(arrow, kind.item_type))
    if types.is_struct(kind):
        return arrow.struct(
            [field.with_type(_readable(arrow, field.type)) for field in kind.fields]
        )
    if types.is_list(kind) or types.is_large_list(kind):
        make = arrow.list_ if types.is_list(kind) else arrow.large_list
        return make(kind.value_field.with_type(_readable(arrow, kind.value_type)))
    return kind


def _json(row: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(row, ensure_ascii=False, default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(row), ensure_ascii=False, default=_plain)
    return text.encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _objects(source: str) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    size = 0
    with open(source, "rb") as lines:
        for line in lines:
            some.append(kinds.loads(line))
            size += len(line)
            if len(some) == _GROUP or size > _BYTES:
                yield some
                some, size = [], 0
    if some:
        yield some


def library() -> tuple[Any, Any]:
    """pyarrow, and its pyarrow.parquet. Raises UsageError where it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("Parquet needs pyarrow", "pip install 'nlpcli[parquet]'") from None
    return pyarrow, pyarrow.parquet
