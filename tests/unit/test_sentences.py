"""Splitting loses nothing, respects the window, and joins as the languages are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpcli.tasks.sentences import halves, join, split

TEXTS = st.text(st.sampled_from("ab. ,!?;\n\t\r\u2028。、，é😀\"')\u00a0")) | st.text()
LANGUAGES = st.sampled_from(["en", "pt-BR", "zh", "th", "xx"])


@given(TEXTS, LANGUAGES, st.integers(1, 40))
def test_pieces_and_gaps_are_the_text(text: str, language: str, window: int) -> None:
    pieces = split(text, language, len, window)
    assert "".join(piece.text + piece.gap for piece in pieces) == text
    assert all(len(piece.text) <= window for piece in pieces)
    assert all(piece.text == piece.text.strip() for piece in pieces)
    joined = join(pieces, [piece.text for piece in pieces], language="en")
    assert "".join(joined.split()) == "".join(text.split())


@given(TEXTS)
def test_halves_are_the_text(text: str) -> None:
    text = text.strip()
    parts = halves(text)
    if parts:
        assert "".join(parts) == text and all(parts)
    else:
        assert not any(character.isspace() for character in text)


def test_abbreviations_do_not_end_a_sentence() -> None:
    pieces = split("Dr. Smith left. He was late.", "en", len, 300)
    assert [(p.text, p.gap) for p in pieces] == [("Dr. Smith left.", " "), ("He was late.", "")]


def test_a_long_sentence_breaks_at_its_clauses() -> None:
    pieces = split("When it rains, we stay at home; else we go out.", "en", len, 20)
    assert [p.text for p in pieces] == ["When it rains,", "we stay at home;", "else we go out."]


@pytest.mark.parametrize(
    ("text", "source", "target", "expected"),
    [
        ("你好。我们走吧！", "zh", "en", "A B"),
        ("Hello. Go!", "en", "zh", "AB"),
        ("Hello.\n\nGo!", "en", "zh", "A\n\nB"),
        ("Hello.   Go!", "en", "pt", "A   B"),
    ],
)
def test_gaps_follow_the_target_language(
    text: str, source: str, target: str, expected: str
) -> None:
    outputs = iter("AB")
    pieces = split(text, source, len, 300)
    assert join(pieces, [next(outputs) if p.text else "" for p in pieces], target) == expected


def test_a_word_that_is_cut_is_joined_without_a_space() -> None:
    pieces = split("a" * 50, "en", len, 20)
    assert len(pieces) > 1
    assert join(pieces, [piece.text for piece in pieces], "pt") == "a" * 50
