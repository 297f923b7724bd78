"""Windows keep order and make nobody wait; batches hold their limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpcli.batching import ahead, by_equal_length, by_length, windows

CHUNKS = st.lists(st.lists(st.integers(), max_size=40), max_size=12)
quick = settings(deadline=None, max_examples=60)


def gone(name: str) -> bool:
    """Whether the threads called `name` end soon."""
    deadline = time.monotonic() + 2
    while any(thread.name == name for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


@quick
@given(CHUNKS, st.integers(1, 50), st.integers(1, 50))
def test_windows_keep_every_item_in_order(chunks: list[list[int]], limit: int, first: int) -> None:
    found = list(windows(chunks, limit=limit, first=first))
    assert [item for window in found for item in window] == [x for chunk in chunks for x in chunk]
    assert all(1 <= len(window) <= limit for window in found)


def test_windows_double_up_to_the_limit() -> None:
    found = windows([list(range(100)), list(range(100))], limit=50, flush=60)
    assert [len(window) for window in found] == [8, 16, 32, 50, 50, 44]


@quick
@given(CHUNKS)
def test_a_failure_comes_after_the_items_before_it(chunks: list[list[int]]) -> None:
    def failing() -> Iterator[list[int]]:
        yield from chunks
        raise OSError("gone")

    found: list[int] = []
    with pytest.raises(OSError, match="gone"):
        for window in windows(failing()):
            found.extend(window)
    assert found == [item for chunk in chunks for item in chunk]


def test_a_producer_that_waits_for_each_answer_gets_it() -> None:
    answered = threading.Semaphore(0)

    def asking() -> Iterator[list[int]]:
        for number in range(10):
            yield [number]
            # Held back until it were full, the window would never come.
            assert answered.acquire(timeout=5)

    sizes = []
    for window in windows(asking(), flush=0.001):
        sizes.append(len(window))
        answered.release(len(window))
    assert sizes == [1] * 10


def test_a_slow_producer_is_answered_in_small_windows() -> None:
    def slowly() -> Iterator[list[float]]:
        for _ in range(50):
            time.sleep(0.01)
            yield [time.monotonic()]

    found, waits = [], []
    for window in windows(slowly()):
        waits.append(time.monotonic() - window[0])
        found.append(window)
    assert sum(map(len, found)) == 50
    assert len(found) >= 10
    assert sorted(waits)[len(waits) // 2] < 0.1


def test_the_first_item_does_not_wait_for_the_input_to_end() -> None:
    more = threading.Event()

    def chunks() -> Iterator[list[str]]:
        yield ["first"]
        more.wait(5)
        yield ["second"]

    got = windows(chunks())
    assert next(got) == ["first"]
    more.set()
    assert list(got) == [["second"]]


def test_what_comes_within_the_flush_time_goes_together() -> None:
    def steadily() -> Iterator[list[int]]:
        for number in range(20):
            time.sleep(0.002)
            yield [number]

    assert [len(window) for window in windows(steadily(), flush=5)] == [8, 12]


@pytest.mark.parametrize(
    ("take", "most"), [(windows, 6), (lambda chunks: ahead(chunks, 2), 4)], ids=["windows", "ahead"]
)
def test_reading_ahead_is_bounded_and_stops_with_the_consumer(take, most: int) -> None:
    name = f"reader at most {most} ahead"
    taken = []

    def endless() -> Iterator[list[int]]:
        threading.current_thread().name = name
        while True:
            taken.append(1)
            yield [1] * 100

    got = take(endless())
    next(got)
    deadline = time.monotonic() + 2
    while len(taken) < most and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    # One is used, some wait, and one is in the reader's hand, which waits for room.
    assert len(taken) == most
    got.close()
    assert gone(name)
    assert len(taken) <= most + 1


@quick
@given(st.lists(st.integers()), st.integers(1, 9))
def test_ahead_keeps_every_item_in_order(items: list[int], count: int) -> None:
    assert list(ahead(items, count)) == items


def test_ahead_raises_after_the_items_before_and_reads_no_further_than_asked() -> None:
    taken = []

    def items() -> Iterator[object]:
        for item in (None, [], 0, "last"):
            taken.append(item)
            yield item
        raise KeyError("gone")

    got = ahead(items(), 1)
    assert next(got) is None
    time.sleep(0.02)
    assert len(taken) <= 3
    found = []
    with pytest.raises(KeyError, match="gone"):
        for item in got:
            found.append(item)
    assert found == [[], 0, "last"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 300)), st.integers(0, 8), st.integers(0, 500))
def test_batches_hold_their_limits(lengths: list[int], batch_size: int, budget: int) -> None:
    batches = by_length(lengths, batch_size=batch_size, budget=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    ordered = [lengths[index] for batch in batches for index in batch]
    assert ordered == sorted(lengths, reverse=True)
    for batch in batches:
        assert not batch_size or len(batch) <= batch_size
        longest = max(lengths[index] for index in batch)
        assert not budget or len(batch) == 1 or len(batch) * longest <= budget


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1), st.integers(1, 8), st.integers(1, 500))
def test_batches_are_as_full_as_their_limits_let_them(
    lengths: list[int], batch_size: int, budget: int
) -> None:
    batches = by_length(lengths, batch_size=batch_size, budget=budget)
    for batch, following in pairwise(batches):
        assert following
        more = len(batch) + 1
        assert more > batch_size or more * lengths[batch[0]] > budget


def test_equal_lengths_keep_their_order_and_no_limit_means_one_batch() -> None:
    assert by_length([2, 3, 2, 3]) == [[1, 3, 0, 2]]
    assert by_length([]) == []


@given(
    lengths=st.lists(st.integers(0, 40), max_size=60),
    batch_size=st.integers(0, 9),
    budget=st.integers(0, 90),
)
def test_batches_of_one_length(lengths: list[int], batch_size: int, budget: int) -> None:
    batches = by_equal_length(lengths, batch_size=batch_size, budget=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len({lengths[index] for index in batch}) == 1
        assert not batch_size or len(batch) <= batch_size
        assert not budget or len(batch) == 1 or len(batch) * lengths[batch[0]] <= budget
    longest = [lengths[batch[0]] for batch in batches]
    assert longest == sorted(longest, reverse=True)
