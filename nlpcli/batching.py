"""Windows of what has arrived, and batches of similar length: speed without making anyone wait."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

WINDOW = 2048
FIRST_WINDOW = 8
FLUSH_SECONDS = 0.03
_CHUNKS_AHEAD = 4
_LOOK_SECONDS = 0.2  # how often one who waits looks whether to stop


def windows(
    chunks: Iterable[list[T]],
    *,
    limit: int = WINDOW,
    first: int = FIRST_WINDOW,
    flush: float = FLUSH_SECONDS,
    stop: threading.Event | None = None,
) -> Iterator[list[T]]:
    """Regroup `chunks` into windows of at most `limit` items, in order.

    A window is handed on when it is full, or `flush` seconds after its first item came, so a
    slow producer is answered at once. Windows begin at `first` items and double, so a fast one
    sees its first answer at once too. `chunks` is read ahead by a thread, a few chunks at most;
    what it raises is raised here, after the items that came before. Once `stop` is set, no window
    more is given.
    """
    arrivals: queue.Queue[list[T] | BaseException | None] = queue.Queue(_CHUNKS_AHEAD)
    stopped = threading.Event()
    reader = threading.Thread(target=_read, args=(chunks, arrivals, stopped), daemon=True)
    reader.start()
    size = min(first, limit)
    window: list[T] = []
    deadline = 0.0
    try:
        while not (stop and stop.is_set()):
            wait = max(0.0, deadline - time.monotonic()) if window else _LOOK_SECONDS
            arrival = _next(arrivals, wait if window or stop else None)
            if arrival == []:
                if window:
                    yield window
                window = []
            elif isinstance(arrival, list):
                if not window:
                    deadline = time.monotonic() + flush
                window.extend(arrival)
                while len(window) >= size and not (stop and stop.is_set()):
                    full, window = window[:size], window[size:]
                    yield full
                    size = min(size * 2, limit)
                    deadline = time.monotonic() + flush
            else:
                if window:
                    yield window
                if arrival is not None:
                    raise arrival
                return
    finally:
        _stop(arrivals, stopped)


def ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """`items` in order, read by a thread, at most `count` ahead of what was taken.

    What reading raises is raised here, after the items that came before.
    """
    arrivals: queue.Queue[Any] = queue.Queue(count)
    stopped = threading.Event()
    wrapped = ((item,) for item in items)
    threading.Thread(target=_read, args=(wrapped, arrivals, stopped), daemon=True).start()
    try:
        while isinstance(arrival := arrivals.get(), tuple):
            yield arrival[0]
        if arrival is not None:
            raise arrival
    finally:
        _stop(arrivals, stopped)


def _read(items: Iterable[Any], arrivals: queue.Queue[Any], stopped: threading.Event) -> None:
    end: BaseException | None = None
    try:
        for item in items:
            if item and not _put(arrivals, item, stopped):
                return
    except BaseException as error:
        end = error
    _put(arrivals, end, stopped)


def _put(arrivals: queue.Queue[Any], item: Any, stopped: threading.Event) -> bool:
    """Hand `item` over as soon as there is room; False where nobody takes it any more."""
    if not stopped.is_set():
        arrivals.put(item)
    return not stopped.is_set()


def _stop(arrivals: queue.Queue[Any], stopped: threading.Event) -> None:
    """Tell the reading thread that no more is taken, and wake it where it waits for room."""
    stopped.set()
    with suppress(queue.Empty):
        while True:
            arrivals.get_nowait()


def _next(
    arrivals: queue.Queue[list[T] | BaseException | None], timeout: float | None
) -> list[T] | BaseException | None:
    """The next arrival, or [] where none comes in `timeout` seconds."""
    try:
        return arrivals.get(timeout=timeout)
    except queue.Empty:
        return []


def by_length(lengths: Sequence[int], *, batch_size: int = 0, budget: int = 0) -> list[list[int]]:
    """The indices of `lengths` in batches of similar length, longest first.

    A batch holds at most `batch_size` items (0: no limit) and, padded to its longest, at most
    `budget` units (0: no limit); an item longer than `budget` makes a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    for index in order:
        batch = batches[-1] if batches else None
        fits = (
            batch is not None
            and (not batch_size or len(batch) < batch_size)
            and (not budget or (len(batch) + 1) * lengths[batch[0]] <= budget)
        )
        if batch is not None and fits:
            batch.append(index)
        else:
            batches.append([index])
    return batches


def by_equal_length(
    lengths: Sequence[int], *, batch_size: int = 0, budget: int = 0
) -> list[list[int]]:
    """The indices of `lengths` in batches of one length each, longest first: no item is padded, so
    what comes of it does not depend on those beside it. The limits are those of `by_length`."""
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(length, []).append(index)
    batches: list[list[int]] = []
    for length in sorted(groups, reverse=True):
        members = groups[length]
        limit = min(
            batch_size or len(members), budget // max(length, 1) or 1 if budget else len(members)
        )
        count = -(-len(members) // limit)
        size = -(-len(members) // count)  # even ones: a batch of one is slower for its size
        batches += [members[at : at + size] for at in range(0, len(members), size)]
    return batches
