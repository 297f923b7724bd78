"""Extractive summaries: what holds for every text, whatever the embeddings say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpcli.backends.echo import Echo
from nlpcli.device import Device
from nlpcli.errors import UsageError
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.tasks.extract import Extract, embed
from nlpcli.tasks.prose import sentences
from nlpcli.tasks.style import NAMES, Length, Style, parse

ENCODER = Echo(LocalModel(ModelSpec("echo", (), "echo", ()), Path()), Device("cpu"))
WORDS = st.text(alphabet="abcdefg éß日", min_size=1, max_size=60)
SENTENCE = st.builds(
    lambda words, end: (words.strip() or "a").capitalize() + end, WORDS, st.sampled_from(".!?")
)
GAP = st.sampled_from([" ", "  ", "\n", "\n\n", " \t"])
TEXT = st.lists(st.tuples(SENTENCE, GAP), max_size=60).map(lambda rows: "".join(map("".join, rows)))
LENGTH = st.sampled_from([*map(Length, NAMES), Length("share", 0.3), Length("share", 1.0)])


def plain(text: str) -> str:
    return " ".join(text.split())


def summary(text: str, **style: object) -> str:
    (answer,) = Extract(Style(**style)).run([text], ENCODER)  # type: ignore[arg-type]
    return str(answer.values["summary"])


@settings(deadline=None)
@given(st.text(max_size=500))
def test_sentences_are_the_text_but_for_its_white_space(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(each == each.strip() and each for each in found)


@settings(deadline=None)
@given(TEXT, LENGTH)
def test_every_sentence_is_the_sources_in_its_order(text: str, length: Length) -> None:
    rest = plain(text)
    for sentence in filter(str.strip, summary(text, length=length).splitlines()):
        _, found, rest = rest.partition(plain(sentence))
        assert found == plain(sentence)


@settings(deadline=None)
@given(st.lists(TEXT, max_size=6), st.integers(0, 5))
def test_no_answer_depends_on_the_texts_beside_it(texts: list[str], batch_size: int) -> None:
    together = Extract(Style(batch_size=batch_size)).run(texts, ENCODER)
    assert together == [Extract().run([text], ENCODER)[0] for text in texts]


@settings(deadline=None)
@given(TEXT)
def test_lengths_are_in_order_and_never_more_than_the_text(text: str) -> None:
    counts = [len(summary(text, length=Length(name), bullets=True).splitlines()) for name in NAMES]
    assert counts == sorted(counts)
    assert counts[-1] <= len(sentences(text)) or not text.strip()


@pytest.mark.parametrize("length", [*map(Length, NAMES), Length("share", 0.1)])
def test_lengths_grow_with_the_text(length: Length) -> None:
    counts = [length.of(size) for size in range(1, 5000)]
    assert counts == sorted(counts) and counts[0] >= 1


def test_the_default_is_one_sentence_of_an_abstract_three_of_an_article_a_page_of_a_book() -> None:
    assert [Length().of(size) for size in (7, 30, 10**6)] == [1, 3, 20]


def test_a_share_of_the_sentences() -> None:
    text = " ".join(f"This is sentence number {n} of them all." for n in range(40))
    assert len(summary(text, length=parse("25%")).splitlines()) == 10
    assert plain(summary(text, length=parse("100%"))) == text
    many = " ".join(f"This is sentence number {n} of them all." for n in range(1500))
    assert len(summary(many, length=parse("60%")).splitlines()) == 900


@pytest.mark.parametrize("bad", ["", "tiny", "0%", "101%", "-5%", "10", "nan%", "1e3%", "medium "])
def test_other_lengths_are_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        parse(bad)


def test_a_text_shorter_than_its_summary_comes_back_as_it_is() -> None:
    assert summary("One  short\ttext.\n") == "One  short\ttext."
    assert summary("") == "" and summary("  ") == "  "


def test_bullets_and_tokens() -> None:
    text = " ".join(f"Sentence {n} says {'very ' * (n % 5)}little." for n in range(30))
    lines = summary(text, bullets=True).splitlines()
    assert len(lines) == 3 and all(line.startswith("- Sentence") for line in lines)
    short = summary(text, max_tokens=60)
    assert 0 < sum(map(ENCODER.measure, short.splitlines())) <= 60
    (answer,) = Extract(Style(max_tokens=3)).run([text], ENCODER)
    assert answer.warning and answer.line in text


def test_the_focus_decides() -> None:
    text = " ".join(
        ["The cat sat down on the mat again."] * 9 + ["Zzyzx zzz zyx."] + ["It slept."] * 9
    )
    assert "Zzyzx" in summary(text, focus="zzyzx zzz", length=Length("short"))


def test_no_text_beyond_the_window_reaches_an_encoder_that_counts_bytes() -> None:
    class Bytes(Echo):
        def measure(self, text: str) -> int:
            return len(text.encode())

        def embed(self, texts: Sequence[str], batch_size: int = 0) -> Any:
            assert max(map(self.measure, texts)) <= self.window
            return super().embed(texts, batch_size)

    encoder = Bytes(LocalModel(ModelSpec("echo", (), "echo", ()), Path()), Device("cpu"))
    assert embed(["ሰላም " * 30, "short"], encoder).shape == (2, 64)


def test_a_sentence_beyond_the_window_is_weighed_whole() -> None:
    long = "And " + "so on and on and on " * 40 + "it went."
    text = " ".join([long, *(f"Nothing of note was said in part {n}." for n in range(12))])
    assert ENCODER.measure(long) > 2 * ENCODER.window
    lines = summary(text, length=Length("share", 0.9)).splitlines()
    assert len(lines) == 12 and set(lines) < set(sentences(text))
    assert len(summary(text, length=Length("long")).splitlines()) == 4


def test_lines_that_run_on_are_joined_and_others_are_not() -> None:
    wrapped = (
        "It was broken to fit a width of about\nforty characters, as letters often are.\nSo it is."
    )
    assert len(sentences(wrapped)) == 2
    assert sentences("A heading\nThe text below it is a good deal longer than that.") == [
        "A heading",
        "The text below it is a good deal longer than that.",
    ]
    assert sentences("- one thing\n- another thing") == ["- one thing", "- another thing"]
    assert sentences("he said , `` it is so . it was . '' and left .") == [
        "he said , `` it is so .",
        "it was . ''",
        "and left .",
    ]


def test_one_part_or_many_give_the_same_while_all_are_candidates() -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"]
    paragraphs = [
        f"The {words[n % 7]} and the {words[n % 5]} met {words[n % 3]} at {n}.\n\n"
        for n in range(400)
    ]
    (whole,) = Extract().run(["".join(paragraphs)], ENCODER)
    (parted,) = Extract().whole(
        ["".join(paragraphs[n : n + 40]) for n in range(0, 400, 40)], ENCODER
    )
    assert parted == whole and len(whole.line.splitlines()) == 10


def test_a_long_text_is_a_page_and_a_share_of_it_comes_part_by_part() -> None:
    parts = [
        "".join(f"Speaker {n}: the {n * m % 97} horses of {m} came home.\n\n" for n in range(90))
        for m in range(40)
    ]
    (page,) = Extract().whole(parts, ENCODER)
    assert len(page.line.splitlines()) == 20
    found = list(Extract(Style(parse("5%"))).whole(parts, ENCODER))
    assert len(found) > 1
    assert 170 <= sum(len(answer.line.splitlines()) for answer in found) <= 200
    source = "".join(parts)
    assert all(line in source for answer in found for line in answer.line.splitlines())


_MEASURED = """
import resource, sys
from pathlib import Path
from nlpcli.backends.echo import Echo
from nlpcli.device import Device
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.streams import parts
from nlpcli.tasks.extract import Extract
line = b"In year %d the horses of town %d came home and were counted.\\n\\n"
size = int(sys.argv[1])
source = (line % (n, n * n % 9973) for n in range(size // len(line)))
echo = Echo(LocalModel(ModelSpec("echo", (), "echo", ()), Path()), Device("cpu"))
(answer,) = Extract().whole((text for text, _ in parts(source)), echo)
assert len(answer.line.splitlines()) == 20
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_text() -> None:
    """In processes of their own; ru_maxrss counts kilobytes."""
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", _MEASURED, str(size)],
                capture_output=True,
                check=True,
                timeout=100,
            ).stdout
        )
        for size in (500_000, 3_000_000)
    ]
    assert peaks[1] - peaks[0] < 6_000
