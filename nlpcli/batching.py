"""Windows of what has arrived, and batches of similar length: speed without making anyone wait."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

WINDOW = 2048
FIRST_WINDOW = 8
FLUSH_SECONDS = 0.03
_CHUNKS_AHEAD = 4


def windows(
    chunks: Iterable[list[T]],
    *,
    limit: int = WINDOW,
    first: int = FIRST_WINDOW,
    flush: float = FLUSH_SECONDS,
) -> Iterator[list[T]]:
    """Regroup `chunks` into windows of at most `limit` items, in order.

    A window is handed on when it is full, or `flush` seconds after its first item came, so a
    slow producer is answered at once. Windows begin at `first` items and double, so a fast one
    sees its first answer at once too. `chunks` is read ahead by a thread, a few chunks at most;
    what it raises is raised here, after the items that came before.
    """
    arrivals: queue.Queue[list[T] | BaseException | None] = queue.Queue(_CHUNKS_AHEAD)
    stopped = threading.Event()
    reader = threading.Thread(target=_read, args=(chunks, arrivals, stopped), daemon=True)
    reader.start()
    size = first
    window: list[T] = []
    deadline = 0.0
    try:
        while True:
            arrival = _next(arrivals, max(0.0, deadline - time.monotonic()) if window else None)
            if arrival == []:
                yield window
                window, size = [], min(size * 2, limit)
            elif isinstance(arrival, list):
                if not window:
                    deadline = time.monotonic() + flush
                window.extend(arrival)
                while len(window) >= size:
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
        stopped.set()


def _read(
    chunks: Iterable[list[T]],
    arrivals: queue.Queue[list[T] | BaseException | None],
    stopped: threading.Event,
) -> None:
    end: BaseException | None = None
    try:
        for chunk in chunks:
            if chunk and not _put(arrivals, chunk, stopped):
                return
    except BaseException as error:
        end = error
    _put(arrivals, end, stopped)


def _put(
    arrivals: queue.Queue[list[T] | BaseException | None],
    item: list[T] | BaseException | None,
    stopped: threading.Event,
) -> bool:
    while not stopped.is_set():
        try:
            arrivals.put(item, timeout=0.2)
            return True
        except queue.Full:
            continue
    return False


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
