"""Summaries that a model writes: what it is asked, texts in parts, and the models' own style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_models
from nlpcli.backends import Decoding, Hypothesis, Request, Result
from nlpcli.backends.ct2.seq2seq import CTranslate2
from nlpcli.device import Device
from nlpcli.registry import LocalModel
from nlpcli.tasks.abstract import Abstract
from nlpcli.tasks.prompted_translation import PromptedTranslation
from nlpcli.tasks.style import Length, Style

SENTENCE = "In the year {} the council of the old town built a bridge over the river."


class Shortener:
    """A language model that answers with the first `words` words of what it is asked about, and
    remembers every request."""

    chat = True

    def __init__(self, window: int = 1200, words: int = 12, finish: str = "stop") -> None:
        self.window = window
        self.words = words
        self.finish = finish
        self.asked: list[tuple[Request, Decoding]] = []

    def measure(self, text: str) -> int:
        return len(text)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        self.asked += [(request, decoding) for request in requests]
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Result:
        said = request.messages[-1].content if request.messages else request.text
        if "unanswerable" in said:
            return Result((), "no answer to this")
        text = " ".join(said.split()[: self.words])
        return Result((Hypothesis(text, tokens=self.words, finish=self.finish),))

    def close(self) -> None:
        pass


class CutOff(Shortener):
    """Cuts its answers off, but not those about summaries."""

    def _answer(self, request: Request) -> Result:
        self.finish = "length" if request.messages[-1].content.count(".") > 3 else "stop"
        return super()._answer(request)


def text(count: int) -> str:
    return " ".join(SENTENCE.format(1000 + n) for n in range(count))


def test_a_text_within_the_window_is_one_request_that_tells_the_length() -> None:
    model = Shortener(window=20_000)
    (answer,) = Abstract().run([text(30)], model)
    ((request, decoding),) = model.asked
    assert [message.role for message in request.messages] == ["system", "user"]
    assert text(30) in request.messages[1].content
    assert "about 60 words" in request.messages[1].content
    assert decoding.max_tokens and decoding.max_tokens > 60
    assert answer.values["summary"] == answer.line == " ".join(text(30).split()[:12])


def test_focus_bullets_and_length_are_asked_for() -> None:
    asked = {}
    for name in ("short", "long"):
        model = Shortener(window=20_000)
        style = Style(Length(name), focus="the river", bullets=True)
        (answer,) = Abstract(style).run([text(30)], model)
        asked[name] = model.asked[0][0].messages[1].content
        assert "the river" in asked[name] and answer.line.startswith("- In the year")
    assert "about 2 short points" in asked["short"] and "about 6 short points" in asked["long"]


def test_a_long_text_is_summed_up_in_parts_that_hold_all_of_it() -> None:
    model = Shortener()
    (answer,) = Abstract().run([text(200)], model)
    whole = " ".join(request.messages[1].content for request, _ in model.asked)
    assert all(SENTENCE.format(1000 + n) in whole for n in range(200))
    longest = max(
        sum(len(message.content) for message in request.messages) + (decoding.max_tokens or 0)
        for request, decoding in model.asked
    )
    assert longest <= model.window and len(model.asked) > 20
    assert answer.line.startswith("In the year 1000") and not answer.warning


def test_parts_that_come_one_by_one_are_all_summed_up() -> None:
    model = Shortener()
    parts = [text(200)[at : at + 700] for at in range(0, len(text(200)), 700)]
    (answer,) = Abstract().whole(parts, model)
    whole = " ".join(request.messages[1].content for request, _ in model.asked)
    assert all(f"year {1000 + n} the" in whole for n in range(200))
    assert answer.line and answer.line.startswith("In the year 1000")
    one = Shortener(window=20_000)
    assert list(Abstract().whole([text(30)], one)) == Abstract().run([text(30)], one)


def test_what_is_odd_is_told() -> None:
    (answer,) = Abstract().run([text(30)], Shortener(20_000, finish="length"))
    assert "cut off" in answer.warning
    (answer,) = Abstract().run([text(60)], Shortener(words=10_000))
    assert "as long as" in answer.warning
    for long in (Abstract().run([text(200)], CutOff()), Abstract().whole([text(200)], CutOff())):
        assert [each.warning for each in long] == ["was cut off at 12 tokens"]
    good, bad = Abstract().run([text(30), text(30) + " unanswerable"], Shortener(20_000))
    assert good.line and not good.error and bad.error == "no answer to this"
    (answer,) = Abstract().whole([text(100), " unanswerable." + text(100)], Shortener())
    assert answer.error


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 90), max_size=5))
def test_one_answer_for_each_text_whatever_is_beside_it(sizes: list[int]) -> None:
    texts = [text(size) for size in sizes]
    model = Shortener()
    assert Abstract().run(texts, model) == [Abstract().run([each], model)[0] for each in texts]


def test_short_and_blank_texts_come_back_unasked() -> None:
    model = Shortener()
    answers = Abstract().run(["", "  ", "Just a few words.\n"], model)
    assert [answer.line for answer in answers] == ["", "  ", "Just a few words."]
    assert model.asked == []


@pytest.mark.parametrize(
    ("family", "prefix"), [("t5", "summarize: "), ("bart", ""), ("pegasus", "")]
)
def test_each_family_gets_its_prefix_and_real_models_answer(
    family: str, prefix: str, tiny: Callable[[str], LocalModel], shared_cache: Any
) -> None:
    model = Shortener(window=20_000)
    Abstract(Style(), family).run([text(30)], model)
    assert model.asked[0][0].text.startswith(f"{prefix}In the year 1000")
    long = " ".join(tiny_models.sentences(300, seed=9))
    backend = CTranslate2(tiny(family), Device("cpu", dtype="float32", threads=1))
    assert backend.measure(long) > 3 * backend.window
    style = Style(max_tokens=12, length=Length("short"))
    one, other = Abstract(style, family).run([long, long[:2000]], backend)
    assert not one.error and not other.error
    assert Abstract(style, family).run([long[:2000]], backend) == [other]
    backend.close()


def test_the_least_length_of_an_output(
    tiny: Callable[[str], LocalModel], shared_cache: Any
) -> None:
    backend = CTranslate2(tiny("bart"), Device("cpu", dtype="float32", threads=1))
    request = Request(" ".join(tiny_models.sentences(1, seed=4)))
    free, least = (
        backend.run([request], Decoding(min_tokens=count, max_tokens=60))[0].hypotheses[0].tokens
        for count in (0, 50)
    )
    assert least >= 50 > free
    backend.close()


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=120), max_size=5)


def test_translation_asks_for_the_languages_line_by_line() -> None:
    model = Shortener(window=20_000, words=10_000)
    task = PromptedTranslation("en", "pt-BR", Decoding())
    answers = task.run(["Good night.\n\n  See you. 12\n", "", "42"], model)
    asked = [request.messages[1].content for request, _ in model.asked]
    assert len(asked) == 2 and all("English" in each and "pt-BR" in each for each in asked)
    assert asked[0].endswith("Good night.") and asked[1].endswith("See you. 12")
    assert answers[0].line.count("\n") == 3 and answers[0].line.endswith("\n")
    assert [answer.line for answer in answers[1:]] == ["", "42"]


@settings(deadline=None)
@given(TEXTS)
def test_translation_keeps_what_stands_between(texts: list[str]) -> None:
    """An echo says the prompt; cut to its text, the whole must be there again."""

    class Parrot(Shortener):
        def _answer(self, request: Request) -> Result:
            said = request.messages[-1].content.partition("\n\n")[2]
            return Result((Hypothesis(said),))

    answers = PromptedTranslation("en", "pt", Decoding()).run(texts, Parrot(window=200))
    for source, answer in zip(texts, answers, strict=True):
        assert "".join(answer.line.split()) == "".join(source.split())


def test_a_translation_that_is_cut_off_or_loops_is_told() -> None:
    task = PromptedTranslation("en", "pt", Decoding())
    assert "cut" in task.run(["Hello."], Shortener(finish="length"))[0].warning
    assert task.run(["unanswerable"], Shortener())[0].error
