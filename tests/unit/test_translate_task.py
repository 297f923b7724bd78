"""The translate task over backends that this file makes: guard, n-best, scores, blanks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nlpcli.backends import Decoding, Hypothesis, Request, Result
from nlpcli.tasks.repetition import loops
from nlpcli.tasks.translate import Translate


class Stub:
    """Answers with `reply(text, decoding)` and remembers what it was asked."""

    window = 40

    def __init__(self, reply: object) -> None:
        self.reply = reply
        self.asked: list[tuple[str, int]] = []

    def measure(self, text: str) -> int:
        return len(text)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        self.asked += [(request.text, decoding.no_repeat_ngram) for request in requests]
        return [self.reply(request.text, decoding) for request in requests]  # type: ignore[operator]

    def close(self) -> None:
        pass


def plain(text: str) -> Result:
    return Result((Hypothesis(text.upper(), -0.5, 2),))


LOOP = "the end of " * 12


@pytest.mark.parametrize(
    ("output", "source", "expected"),
    [
        (LOOP, "fim", True),
        ("no " * 20, "não " * 18, False),
        ("ha ha ha ha", "ah", False),
        ("a plain sentence of some words that never come again in it", "x", False),
        ("好" * 30, "good", True),
        ("A list: one, two, three, four, five, six, seven, eight, nine, ten", "x", False),
    ],
)
def test_loops_are_told_from_repetition_that_the_source_has(
    output: str, source: str, expected: bool
) -> None:
    assert loops(output, source) is expected


def test_a_loop_is_tried_again_without_repeated_ngrams() -> None:
    def reply(text: str, decoding: Decoding) -> Result:
        return plain(text) if decoding.no_repeat_ngram else Result((Hypothesis(LOOP),))

    backend = Stub(reply)
    answer = Translate("en", "pt", Decoding()).run(["one two"], backend)[0]
    assert (answer.line, answer.warning) == ("ONE TWO", "")
    assert backend.asked == [("one two", 0), ("one two", 4)]


def test_a_loop_that_stays_is_tried_in_halves_and_reported() -> None:
    def reply(text: str, decoding: Decoding) -> Result:
        return Result((Hypothesis(LOOP),)) if "bad" in text else plain(text)

    answer = Translate("en", "pt", Decoding()).run(["one two bad four"], Stub(reply))[0]
    assert answer.line.startswith("ONE TWO ") and answer.line.endswith(" FOUR")
    assert answer.warning == "repeats itself"
    fine = Translate("en", "pt", Decoding()).run(["one two"], Stub(reply))[0]
    assert fine.warning == ""


def test_alternatives_and_scores_of_several_sentences() -> None:
    def reply(text: str, decoding: Decoding) -> Result:
        return Result((Hypothesis(text + "1", -1.0, 1), Hypothesis(text + "2", -2.0, 3)))

    task = Translate("en", "pt", Decoding(nbest=2, scores=True))
    answer = task.run(["Ab cd. Ef gh."], Stub(reply))[0]
    assert answer.line == "Ab cd.1 Ef gh.1\t-1.0\tAb cd.2 Ef gh.2\t-2.0"
    assert answer.values == {
        "translation": "Ab cd.1 Ef gh.1",
        "score": -1.0,
        "translations": [
            {"translation": "Ab cd.1 Ef gh.1", "score": -1.0},
            {"translation": "Ab cd.2 Ef gh.2", "score": -2.0},
        ],
    }
    assert task.fields == tuple(answer.values)


def test_blank_texts_stay_as_they_are_and_reach_no_backend() -> None:
    backend = Stub(lambda text, decoding: plain(text))
    answers = Translate("en", "pt", Decoding()).run(["", "  ", " a "], backend)
    assert [answer.line for answer in answers] == ["", "  ", " A "]
    assert backend.asked == [("a", 0)]
