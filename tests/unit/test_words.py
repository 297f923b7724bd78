"""Words in many scripts, and a text without one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpcli.tasks.words import Span, without, words


def said(text: str) -> list[str]:
    return [text[start:end] for start, end in words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I loved this film.", ["I", "loved", "this", "film", "."]),
        ("don't well-made 3.14 1,000!", ["don't", "well-made", "3.14", "1,000", "!"]),
        ("wow!!! ... ok", ["wow", "!!!", "...", "ok"]),
        ("a--b x-", ["a", "--", "b", "x", "-"]),
        ("とても良いカメラ", ["と", "て", "も", "良", "い", "カメラ"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("cafe\u0301 au lait", ["cafe\u0301", "au", "lait"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("ok 👩‍👩‍👧👍🏽👍 ❤️ 🇵🇹", ["ok", "👩‍👩‍👧", "👍🏽", "👍", "❤️", "🇵🇹"]),
        ("\u0301x", ["\u0301x"]),
        (" \t\n", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert said(text) == expected


@given(st.text())
def test_every_character_but_white_space_is_in_one_word(text: str) -> None:
    covered = [at for start, end in words(text) for at in range(start, end)]
    assert covered == sorted(set(covered))
    assert [at for at in covered if text[at].isspace()] == []
    assert len(covered) == sum(not character.isspace() for character in text)


@pytest.mark.parametrize(
    ("span", "left"),
    [
        (Span(0, 1), "loved it, I"),
        (Span(2, 7), "I it, I"),
        (Span(10, 11), "I loved it I"),
        (Span(12, 13), "I loved it,"),
    ],
)
def test_a_word_leaves_no_gap(span: Span, left: str) -> None:
    assert without("I loved it, I", span) == left


@given(st.text(alphabet="ab ,.é良", max_size=30))
def test_what_is_left_are_the_other_words(text: str) -> None:
    for span in words(text):
        left = without(text, span)
        gone = text[span.start : span.end]
        assert "".join(left.split()) == "".join((text[: span.start] + text[span.end :]).split())
        assert len(text) - len(left) - len(gone) in (0, 1)


def test_the_only_word_leaves_nothing() -> None:
    assert without("  well ", Span(2, 6)).strip() == ""
