"""Parts of a stream of records: the shard asked for, less what an earlier run has done."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nlpcli.errors import UsageError
from nlpcli.records import Record
from nlpcli.runners.stream import Summary


class Shard(NamedTuple):
    """The `number`-th (from 1) of `parts` parts of equal size, one after another."""

    number: int
    parts: int

    def of(self, total: int) -> tuple[int, int]:
        """Where the part begins and ends among `total` records."""
        return total * (self.number - 1) // self.parts, total * self.number // self.parts


def shard(text: str) -> Shard | None:
    """`2/3` as a Shard; None for nothing. Raises UsageError."""
    number, slash, count = text.partition("/")
    if not text:
        return None
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(
            f"--shard {text}: no such part", "give K/N with K from 1 to N, such as 1/3"
        )
    return Shard(int(number), int(count))


def between(
    chunks: Iterable[list[Record]], begin: int, end: int | None, done: Summary
) -> Iterator[list[Record]]:
    """The records from `begin` to `end` (None: all), without those that are `done`.

    Raises UsageError where these are not the ones that were done.
    """
    at, skip = 0, begin + done.read
    seen = Summary()
    for chunk in chunks:
        if at < skip and done.read:
            for record in chunk[max(begin - at, 0) : skip - at]:
                seen.see(record)
            if at + len(chunk) >= skip and seen.seen != done.seen:
                raise _changed(done)
        part = chunk[max(skip - at, 0) : None if end is None else max(end - at, 0)]
        at += len(chunk)
        if part:
            yield part
        if end is not None and at >= end:
            return
    if at < skip:
        raise _changed(done)


def _changed(done: Summary) -> UsageError:
    return UsageError(
        f"--resume: the input has changed: its first {done.read:,} records were others",
        "give what it was begun with, or --restart begins again",
    )
