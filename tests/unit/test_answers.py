"""Exact match and token F1 against a computation of their own, step by step."""

from __future__ import annotations

import string

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpcli import __version__
from nlpcli.errors import DataError
from nlpcli.metrics.answers import Answers

words = st.sampled_from(
    ["the", "The", "an", "A", "cat", "Cat!", "theory", "don't", "dont", "a-b", "the.", "«a»", "Ünï"]
)
texts = st.one_of(st.lists(words, max_size=6).map(" ".join), st.text(max_size=12))
records = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1)


def plain_tokens(text: str) -> list[str]:
    """Articles are found as runs of word characters, without an expression."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    pieces, run = [], ""
    for letter in [*kept, ""]:
        if letter and (letter.isalnum() or letter == "_"):
            run += letter
            continue
        pieces.append(" " if run in ("a", "an", "the") else run)
        pieces.append(letter)
        run = ""
    return "".join(pieces).split()


def plain_f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return 1.0 if found == wanted else 0.0
    left = list(wanted)
    common = 0
    for token in found:
        if token in left:
            left.remove(token)
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(found), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


@given(records)
def test_both_figures_equal_a_plain_computation(records: list[tuple[str, list[str]]]) -> None:
    sample = Answers().sample([text for text, _ in records], [some for _, some in records])
    exact = [
        100.0 * any(plain_tokens(text) == plain_tokens(one) for one in some)
        for text, some in records
    ]
    f1 = [
        100 * max(plain_f1(plain_tokens(text), plain_tokens(one)) for one in some)
        for text, some in records
    ]
    by_record = numpy.array(sample.by_record())
    assert by_record == pytest.approx(numpy.column_stack([exact, f1]), abs=1e-9)
    assert sample.scores() == pytest.approx([numpy.mean(exact), numpy.mean(f1)], abs=1e-9)


@pytest.mark.parametrize(
    ("text", "references", "exact", "f1"),
    [
        ("The Eiffel Tower.", ["eiffel  tower"], 100, 100),
        ("in Paris", ["Paris"], 0, 200 / 3),
        ("Paris, France", ["London", "paris"], 0, 200 / 3),
        ("theatre", ["a theatre"], 100, 100),
        ("cat cat dog", ["cat dog dog"], 0, 200 / 3),
        ("the", ["An"], 100, 100),
        ("", ["Paris"], 0, 0),
        ("Paris", ["..."], 0, 0),
        ("it's", ["its"], 100, 100),
        ("1,000", ["1000"], 100, 100),
        ("Lisbon", ["Porto"], 0, 0),
    ],
)
def test_known_answers(text: str, references: list[str], exact: float, f1: float) -> None:
    assert Answers().sample([text], [references]).scores() == pytest.approx([exact, f1])


def test_draws_equal_repeated_records() -> None:
    texts, references = ["a cat", "two dogs", "birds"], [["cat"], ["dogs"], ["fish", "no birds"]]
    drawn = Answers().sample(texts, references).resampled(numpy.array([[2, 0, 1], [0, 1, 2]]))
    for row, picks in zip(drawn, [[0, 0, 2], [1, 2, 2]], strict=True):
        repeated = Answers().sample([texts[i] for i in picks], [references[i] for i in picks])
        assert row == pytest.approx(repeated.scores())


def test_the_signature_tells_the_references() -> None:
    answers = Answers()
    answers.sample(["a"], [["b", "c"]])
    assert answers.signature == f"nrefs:2|norm:squad|version:nlpcli-{__version__}"
    answers.sample(["a", "b"], [["b", "c"], ["d"]])
    assert answers.signature.startswith("nrefs:var|")


def test_a_record_without_references_is_named() -> None:
    with pytest.raises(DataError, match="record 2: no reference"):
        Answers().sample(["a", "b"], [["b"], []])
