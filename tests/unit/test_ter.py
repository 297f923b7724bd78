"""The edits of TER are sacreBLEU's, for all lists of words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.lib_ter import translation_edit_rate

from nlpcli.metrics.ter import edits

LISTS = st.integers(1, 8).flatmap(lambda size: st.lists(st.integers(1, size).map(str), max_size=40))


def expected(hypothesis: list[str], reference: list[str]) -> int:
    return int(translation_edit_rate(hypothesis, reference)[0])


def drawn(rng: random.Random, length: int, size: int) -> list[str]:
    return [str(rng.randrange(size)) for _ in range(length)]


def altered(rng: random.Random, words: list[str], changes: int) -> list[str]:
    """`words` with blocks moved, and words inserted, deleted and replaced."""
    words = list(words)
    for _ in range(changes):
        start = rng.randrange(len(words) + 1)
        length = rng.randrange(1, 12)
        kind = rng.randrange(4)
        block = words[start : start + length]
        if kind == 0:
            words[start : start + 1] = []
        elif kind == 1:
            words.insert(start, str(rng.randrange(50)))
        elif kind == 2:
            words[start : start + 1] = [str(rng.randrange(50))]
        else:
            words[start : start + length] = []
            to = rng.randrange(len(words) + 1)
            words[to:to] = block
    return words


@given(LISTS, LISTS)
@settings(max_examples=300, deadline=None)
def test_few_words_repeated(hypothesis: list[str], reference: list[str]) -> None:
    assert edits(hypothesis, reference) == expected(hypothesis, reference)


@given(LISTS.flatmap(lambda words: st.tuples(st.permutations(words), st.just(words))))
@settings(max_examples=150, deadline=None)
def test_permutations(pair: tuple[list[str], list[str]]) -> None:
    assert edits(*pair) == expected(*pair)


@given(st.integers(0, 60), st.integers(0, 9), st.sampled_from([3, 8, 30, 1000]), st.randoms())
@settings(max_examples=200, deadline=None)
def test_blocks_moved(length: int, changes: int, size: int, rng: random.Random) -> None:
    reference = drawn(rng, length, size)
    hypothesis = altered(rng, reference, changes)
    assert edits(hypothesis, reference) == expected(hypothesis, reference)


@given(st.integers(0, 90), st.integers(0, 90), st.sampled_from([2, 30, 300]), st.randoms())
@settings(max_examples=60, deadline=None)
def test_unlike_lengths(one: int, other: int, size: int, rng: random.Random) -> None:
    hypothesis, reference = drawn(rng, one, size), drawn(rng, other, size)
    assert edits(hypothesis, reference) == expected(hypothesis, reference)


@pytest.mark.parametrize("seed", range(6))
def test_long_lists_leave_the_beam(seed: int) -> None:
    rng = random.Random(seed)
    reference = drawn(rng, 110, 400)
    turn = 20 + 7 * seed
    hypothesis = altered(rng, reference[turn:] + reference[:turn], seed)
    assert edits(hypothesis, reference) == expected(hypothesis, reference)


@pytest.mark.parametrize(("one", "other"), [(1, 130), (2, 150), (130, 2), (0, 3), (3, 0), (0, 0)])
def test_one_list_far_longer(one: int, other: int) -> None:
    hypothesis, reference = [str(i % 5) for i in range(one)], [str(i % 7) for i in range(other)]
    assert edits(hypothesis, reference) == expected(hypothesis, reference)


def test_a_block_shifted_is_one_edit() -> None:
    assert edits(list("defabc"), list("abcdef")) == 1
