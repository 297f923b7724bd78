"""Batches that memory has no room for are halved, and what fits is remembered."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpcli.backends.memory import OutOfMemory, Room, of_batch


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    room=st.integers(50, 400),
)
def test_every_item_is_computed_once_and_in_order(lengths: list[int], room: int) -> None:
    tried: list[int] = []

    def compute(part: list[int]) -> list[int]:
        size = len(part) * max(lengths[index] for index in part)
        tried.append(size)
        with of_batch("cpu"):
            if size > room:
                raise RuntimeError("CUDA out of memory")
        return [index * 10 for index in part]

    memory = Room(release=lambda: None)
    order = list(range(len(lengths)))
    assert memory.run(order, lengths, compute) == [index * 10 for index in order]
    failed = sum(size > room for size in tried)
    tried.clear()
    assert memory.run(order, lengths, compute) == [index * 10 for index in order]
    if failed:
        assert all(size <= room or size < 2 * room for size in tried)
        assert sum(size > room for size in tried) <= failed


def test_a_size_is_halved_until_it_fits_and_kept() -> None:
    tried: list[int] = []

    def compute(size: int) -> int:
        tried.append(size)
        if size > 10:
            raise MemoryError
        return size

    memory = Room()
    assert memory.halving(64, compute, "cpu") == 8
    assert memory.halving(64, compute, "cpu") == 8
    assert tried == [64, 32, 16, 8, 8]


def test_one_item_that_does_not_fit_is_an_error() -> None:
    def compute(part: list[int]) -> list[int]:
        with of_batch("cuda:0"):
            raise MemoryError

    with pytest.raises(OutOfMemory, match="cuda:0: not enough memory"):
        Room().run([0, 1], [5, 5], compute)
    with pytest.raises(RuntimeError, match="another"), of_batch("cpu"):
        raise RuntimeError("another")


NEAR = """
import resource, sys
from nlpcli.backends.memory import OutOfMemory, _peak, of_batch
limit = _peak() + (400 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for megabytes in map(int, sys.argv[1:]):
    try:
        with of_batch("cpu"):
            bytearray(megabytes << 20)
        print("trusted")
    except OutOfMemory:
        print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_batch_that_grows_near_to_the_limit_is_not_trusted() -> None:
    command = [sys.executable, "-c", NEAR, "200", "300", "370", "185", "500"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["trusted", "trusted", "refused", "trusted", "refused"]


def test_an_illegal_access_is_not_a_lack() -> None:
    with pytest.raises(RuntimeError, match="illegal"), of_batch("cuda:0"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
