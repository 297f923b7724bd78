"""The n-grams that hypotheses have in common with their references, of many records at once.

An n-gram is told from the others of its record by a number, made of that of its first n-1 symbols
and its last symbol: no n-gram is ever cut out or hashed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray


def matches(
    given: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]], orders: int
) -> Iterator[ndarray]:
    """For each order up to `orders` an array (records,): how many n-grams a record's two sides have
    in common, each as often as the side that has it less. Strings are sequences of characters."""
    import numpy

    sequences = [*given, *references]
    lengths = numpy.array([len(each) for each in sequences])
    symbols = _symbols(sequences)
    ends = numpy.repeat(lengths.cumsum(), lengths)
    record = numpy.repeat(numpy.tile(numpy.arange(len(given)), 2), lengths)
    middle = lengths[: len(given)].sum()  # where the references begin
    kinds = int(symbols.max(initial=0)) + 1
    places, keys = numpy.arange(len(symbols)), record
    for order in range(1, orders + 1):
        fits = places + order <= ends[places]
        places, keys = places[fits], keys[fits]
        keys, one_of_each = _numbered(keys * kinds + symbols[places + order - 1])
        owner = record[places[one_of_each]]
        here = numpy.searchsorted(places, middle)
        counts = [numpy.bincount(side, minlength=len(owner)) for side in (keys[:here], keys[here:])]
        yield numpy.bincount(owner, numpy.minimum(*counts), minlength=len(given))


def _numbered(keys: ndarray) -> tuple[ndarray, ndarray]:
    """The different values of `keys` as numbers from 0 on, and where each is once."""
    import numpy

    sort = keys.argsort()
    ranked = keys[sort]
    new = numpy.ones(len(keys), bool)
    new[1:] = ranked[1:] != ranked[:-1]
    numbers = numpy.empty_like(keys)
    numbers[sort] = new.cumsum() - 1
    return numbers, sort[new]


def _symbols(sequences: list[Sequence[Any]]) -> ndarray:
    """All symbols of all sequences as small numbers."""
    import numpy

    if all(isinstance(each, str) for each in sequences):
        joined = "".join(sequences).encode("utf-32-le", "surrogatepass")  # type: ignore[arg-type]
        points = numpy.frombuffer(joined, "<u4")
        dense = numpy.zeros(int(points.max(initial=0)) + 1, numpy.int64)
        dense[points] = 1
        found: ndarray = (dense.cumsum() - 1)[points]
        return found
    known: dict[Any, int] = {}
    symbols = chain.from_iterable(sequences)
    return numpy.fromiter((known.setdefault(each, len(known)) for each in symbols), numpy.int64)
