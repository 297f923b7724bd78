"""Parquet in and out, through pyarrow, a few thousand rows at a time."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Protocol

from nlpcli.errors import DataError, UsageError

_ROWS = 2048


class Target(Protocol):
    """Takes bytes, one after another."""

    def write(self, data: bytes) -> Any: ...


def rows(name: str, source: Any) -> Iterator[list[bytes]]:
    """The rows of the Parquet in `source` (a path or a binary file) as JSON objects.

    Bytes become base64, dates and decimals the text that Python gives them. Raises DataError where
    it is not Parquet; `name` is what the user calls it.
    """
    pyarrow, parquet = _library()
    try:
        for batch in parquet.ParquetFile(source).iter_batches(_ROWS):
            yield [
                json.dumps(row, ensure_ascii=False, default=_plain).encode(errors="surrogatepass")
                for row in batch.to_pylist()
            ]
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        what = str(error).splitlines()[0]
        raise DataError(f"{name}: not valid Parquet: {what}") from None


def from_jsonl(source: str, target: Target) -> None:
    """Write the JSON objects of the file `source`, one a line, as Parquet to `target`.

    A first pass finds the columns and their types; a column of several types holds JSON texts.
    """
    pyarrow, parquet = _library()
    types: dict[str, Any] = {}
    for some in _objects(source):
        for each in some:
            for column, value in each.items():
                kind = pyarrow.null() if value is None else _type(pyarrow, value)
                types[column] = _common(pyarrow, types.get(column, pyarrow.null()), kind)
    schema = pyarrow.schema(
        [
            (name, pyarrow.string() if pyarrow.types.is_null(kind) else kind)
            for name, kind in types.items()
        ]
    )
    sink = pyarrow.PythonFile(_Sink(target), mode="w")
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for some in _objects(source):
            table = [{name: _as(schema, name, each.get(name)) for name in types} for each in some]
            writer.write_batch(pyarrow.RecordBatch.from_pylist(table, schema=schema))


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


def _type(pyarrow: Any, value: Any) -> Any:
    try:
        return pyarrow.scalar(value).type
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError):
        return pyarrow.large_string()  # what no column holds


def _common(pyarrow: Any, one: Any, other: Any) -> Any:
    if one == other or pyarrow.types.is_null(other):
        return one
    if pyarrow.types.is_null(one):
        return other
    if pyarrow.types.is_list(one) and pyarrow.types.is_list(other):
        inner = _common(pyarrow, one.value_type, other.value_type)
        return inner if str(inner) == "large_string" else pyarrow.list_(inner)
    if {str(one), str(other)} == {"int64", "double"}:
        return pyarrow.float64()
    return pyarrow.large_string()


def _as(schema: Any, name: str, value: Any) -> Any:
    """`value` as the column takes it."""
    if str(schema.field(name).type) == "large_string" and value is not None:
        return json.dumps(value, ensure_ascii=False)
    return value


def _objects(source: str) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    with open(source, encoding="utf-8") as lines:
        for line in lines:
            some.append(json.loads(line))
            if len(some) == _ROWS:
                yield some
                some = []
    if some:
        yield some


def _plain(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _library() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("Parquet needs pyarrow", "pip install 'nlpcli[parquet]'") from None
    return pyarrow, pyarrow.parquet
