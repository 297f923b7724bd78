"""The type that the values of a column have in common. Knows nothing of any file format."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

# Whole numbers from here on are not all floats.
_EXACT = 1 << 53
# An object with more names than this is a table of its own, not a row's field.
_FIELDS = 1000
_DEPTH = 32
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")


class List(NamedTuple):
    """A list of values of the kind `inner`."""

    inner: Kind


class Struct(NamedTuple):
    """An object whose values are of these kinds; any name may be missing."""

    fields: dict[str, Kind]


# One of boolean, integer, long (a whole number that is no float), float, string, json (no kind
# holds it); None is that of null alone.
Kind = str | List | Struct | None


def of(value: Any, depth: int = 0) -> Kind:
    """The kind of a value that json.loads gives, which lies within `depth` others."""
    if value is None:
        return None
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        if -_EXACT <= value <= _EXACT:
            return "integer"
        return "long" if -(1 << 63) <= value < 1 << 63 else "json"
    if isinstance(value, float):
        return "float"
    if depth == _DEPTH:
        return "json"
    if isinstance(value, dict):
        return _struct({name: of(each, depth + 1) for name, each in value.items()})
    inner: Kind = None
    for each in value:
        inner = common(inner, of(each, depth + 1))
    return List(inner)


def common(one: Kind, other: Kind) -> Kind:
    """The kind that holds what either does."""
    if one == other or other is None:
        return one
    if one is None:
        return other
    if isinstance(one, List) and isinstance(other, List):
        return List(common(one.inner, other.inner))
    if isinstance(one, Struct) and isinstance(other, Struct):
        fields = dict(one.fields)
        for name, kind in other.fields.items():
            fields[name] = common(fields.get(name), kind)
        return _struct(fields)
    for wide, narrow in (("float", "integer"), ("long", "integer")):
        if (one, other) in ((wide, narrow), (narrow, wide)):
            return wide
    return "json"


def settled(kind: Kind) -> Kind:
    """The kind for a whole column: `json` where any part of it is, text where all is null."""
    if isinstance(kind, List):
        inner = settled(kind.inner)
        return "json" if inner == "json" else List(inner)
    if isinstance(kind, Struct):
        fields = {name: settled(each) for name, each in kind.fields.items()}
        return Struct(fields) if fields and "json" not in fields.values() else "json"
    return kind or "string"


def loads(line: bytes) -> Any:
    """The JSON in `line`. A number with more digits than Python takes is text; half a surrogate
    pair becomes U+FFFD."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        raise
    except ValueError:
        value = json.loads(line, parse_int=_integer)
    return _whole(value) if _ESCAPED.search(line) else value


def _struct(fields: dict[str, Kind]) -> Kind:
    return Struct(fields) if len(fields) <= _FIELDS else "json"


def _integer(digits: str) -> Any:
    try:
        return int(digits)
    except ValueError:
        return digits


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value
