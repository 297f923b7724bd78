"""What is done where the memory of a device does not suffice for a batch: smaller ones."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from nlpcli.errors import DeviceError
from nlpcli.notice import notice

R = TypeVar("R")

# oneDNN, which computes for PyTorch on a CPU, has no other words for it.
_SAID = ("memory", "bad_alloc", "could not create a primitive", "could not execute a primitive")
_SAID_OF_ELSE = "illegal memory access"

# MKL multiplies float32 matrices with buffers of its own, and where it gets none it goes on to a
# wrong product without a word: seen with one thread up to 6 MiB below the limit.
_BUFFERS = 64 << 20


@contextmanager
def of_batch(device: object) -> Iterator[None]:
    """Raise OutOfMemory where what runs inside is, or is the first to grow too near to the
    process's limit (`ulimit -v`) to be trusted; smaller ones after it make do with what it took.
    CTranslate2 and PyTorch raise a RuntimeError whose text says so."""
    limit = _limit()
    before = _peak() if limit else 0
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, MemoryError) or _told(str(error))):
            raise
        enough = False
    else:
        enough = not limit or not before < _peak() > limit - _BUFFERS
    if not enough:
        raise OutOfMemory(
            f"{device}: not enough memory for this batch",
            "use a smaller --batch-size or fewer --threads",
        )


def _told(error: str) -> bool:
    return any(each in error for each in _SAID) and _SAID_OF_ELSE not in error


def _limit() -> int:
    """Of the address space of this process, in bytes; 0 where there is none, or none is seen."""
    if sys.platform != "linux":
        return 0
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return max(limit, 0)


def _peak() -> int:
    """The most that the address space of this process has been, in bytes; it never falls."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmPeak:"))


class OutOfMemory(DeviceError):
    """The batch was too large; a smaller one may fit."""


class Room:
    """Batches no larger than memory has shown to have room for.

    `release` gives back what a failed try leaves behind; threads may share a Room.
    """

    def __init__(self, release: Callable[[], object] = gc.collect) -> None:
        self._most = 0
        self._release = release

    def run(
        self,
        batch: Sequence[int],
        lengths: Sequence[int],
        compute: Callable[[list[int]], Sequence[R]],
    ) -> list[R]:
        """What `compute` makes of the indices in `batch`, in order, in as many parts as it takes;
        `lengths[index]` is the length of that item.

        A part that is out of memory is halved, and its size (items times the longest) remembered:
        no later one will be as large. Raises OutOfMemory where a single item is.
        """
        made: list[R] = []
        rest = list(batch)
        while rest:
            part = self._part(rest, lengths)
            try:
                made += compute(part)
            except OutOfMemory:
                if len(part) == 1:
                    raise
                half = part[: len(part) // 2]
                size = _size(half, lengths)
                self._most = min(size, self._most or size)
            else:
                rest = rest[len(part) :]
                continue
            self._release()  # here, since the frames of the error held what the batch took
            notice(f"not enough memory for {len(part)} texts at once: going on with {len(half)}")
        return made

    def halving(self, size: int, compute: Callable[[int], R], device: object) -> R:
        """What `compute` makes with batches of `size`, or of the half of it that fits, which is
        remembered. Raises OutOfMemory where 1 does not."""
        size = min(size, self._most or size)
        while True:
            try:
                with of_batch(device):
                    return compute(size)
            except OutOfMemory:
                if size == 1:
                    raise
                notice(f"not enough memory for batches of {size}: going on with {size // 2}")
                self._most = size = size // 2
            self._release()  # here, since the frames of the error held what the batch took

    def _part(self, batch: list[int], lengths: Sequence[int]) -> list[int]:
        """The beginning of `batch` that there is room for; one item at least."""
        if not self._most:
            return batch
        count = 1
        while count < len(batch) and _size(batch[: count + 1], lengths) <= self._most:
            count += 1
        return batch[:count]


def _size(part: Sequence[int], lengths: Sequence[int]) -> int:
    return len(part) * max(1, *(lengths[index] for index in part))
