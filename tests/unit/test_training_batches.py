"""The steps of an epoch: every record once, whatever the processes, the same for a seed."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from nlpcli.training.batches import Steps

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)
SIZES = st.one_of(
    st.integers(1, 40).map(lambda n: {"size": n}), st.integers(1, 300).map(lambda n: {"tokens": n})
)


def steps(lengths: list[int], limits: dict[str, int], epoch: int = 0, **more: int) -> Steps:
    made = Steps(lengths, **limits, **more)
    made.epoch = epoch
    return made


@given(LENGTHS, SIZES, st.integers(0, 3), st.integers(0, 9))
def test_an_epoch_has_every_record_once(
    lengths: list[int], limits: dict[str, int], epoch: int, seed: int
) -> None:
    made = list(steps(lengths, limits, epoch, seed=seed))
    assert sorted(chain.from_iterable(made)) == list(range(len(lengths)))


@given(LENGTHS, SIZES, st.integers(0, 3))
def test_every_epoch_has_as_many_steps(
    lengths: list[int], limits: dict[str, int], epoch: int
) -> None:
    made = steps(lengths, limits, epoch)
    assert len(list(made)) == len(made) == len(steps(lengths, limits))


@given(LENGTHS, SIZES, st.integers(2, 4), st.integers(0, 3))
def test_processes_share_the_steps_of_one(
    lengths: list[int], limits: dict[str, int], world: int, epoch: int
) -> None:
    alone = list(steps(lengths, limits, epoch))
    shares = [list(steps(lengths, limits, epoch, rank=r, world=world)) for r in range(world)]
    assert [sorted(chain.from_iterable(parts)) for parts in zip(*shares, strict=True)] == [
        sorted(step) for step in alone
    ]


@given(LENGTHS, st.integers(1, 300))
def test_padded_tokens_stay_within_the_budget(lengths: list[int], tokens: int) -> None:
    for step in steps(lengths, {"tokens": tokens}):
        assert len(step) == 1 or len(step) * max(lengths[place] for place in step) <= tokens


def test_a_seed_and_an_epoch_settle_the_order() -> None:
    lengths = [n % 17 + 1 for n in range(300)]
    limits = {"size": 8}
    first = list(steps(lengths, limits, 1, seed=5))
    assert first == list(steps(lengths, limits, 1, seed=5))
    assert first != list(steps(lengths, limits, 2, seed=5))
    assert first != list(steps(lengths, limits, 1, seed=6))


def test_records_of_like_length_go_together() -> None:
    lengths = [n % 50 + 1 for n in range(500)]
    made = list(steps(lengths, {"size": 10}))
    padded = sum(len(step) * max(lengths[place] for place in step) for step in made)
    assert padded < 1.1 * sum(lengths)
