"""What classify makes of probabilities, whichever model they come from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_encoders
from nlpcli.backends import Hypothesis, Request, Result, Token, choice
from nlpcli.device import Device
from nlpcli.errors import UsageError
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.tasks.classify import Choice, Classify, Head, Scores, sigmoid, softmax
from nlpcli.tasks.labels import Label, from_file, listed
from nlpcli.tasks.prompted import Prompted, shares
from nlpcli.tasks.zero_shot import HYPOTHESIS, Entailment, Similarity, entailment

CPU = Device("cpu", dtype="float32", threads=2)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(bool)
ROWS = st.lists(st.floats(0, 1), min_size=2, max_size=6)
Build = Callable[[str], tuple[Any, Path]]
GOOD = tuple(map(Label, ("good", "bad", "so_so")))


class Lengths:
    """Scores a text by its length, and has a window of 20 characters."""

    window = 20

    def measure(self, text: str) -> int:
        return len(text)


class ByLength:
    def names(self, backend: Any) -> tuple[str, ...]:
        return ("long", "short")

    def room(self, backend: Any) -> int:
        return int(backend.window)

    def score(self, texts: Sequence[str], backend: Any, batch_size: int = 0) -> Scores:
        assert all(len(text) <= backend.window for text in texts)
        share = np.array([len(text) / backend.window for text in texts])
        bad = {index: "no @" for index, text in enumerate(texts) if "@" in text}
        return Scores(np.stack([share, 1 - share], axis=1), bad)


@given(st.lists(NAMES, min_size=1, unique=True))
def test_a_list_of_labels_comes_back(names: list[str]) -> None:
    quoted = ",".join(name.replace("\\", "\\\\").replace(",", "\\,") for name in names)
    assert [label.name for label in listed(quoted)] == names


@given(st.text())
def test_any_list_is_labels_or_one_usage_error(value: str) -> None:
    try:
        labels = listed(value)
    except UsageError:
        return
    names = [label.name for label in labels]
    assert names and all(names) and len(set(names)) == len(names)


@pytest.mark.parametrize("value", ["", ",", "a,", "a,,b", " ,a", "a,a", "a, a", "a,\udc80"])
def test_labels_that_are_none(value: str) -> None:
    with pytest.raises(UsageError, match="--labels"):
        listed(value)


def test_a_file_of_labels_and_descriptions(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(b"\xef\xbb\xbfcard_lost\ta card is gone\r\n\r\nother, all\r\n")
    assert from_file(str(file)) == (Label("card_lost", "a card is gone"), Label("other, all"))
    assert [label.text for label in from_file(str(file))] == ["a card is gone", "other, all"]
    file = tmp_path / "labels.json"
    file.write_text('["a_b", "c"]')
    assert [label.text for label in from_file(str(file))] == ["a b", "c"]
    file.write_text('{"a": "first", "b": ""}')
    assert from_file(str(file)) == (Label("a", "first"), Label("b"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", b"\xff\xfe"),
        ("a.txt", b" \n\n"),
        ("a.txt", b"a\nb\na\n"),
        ("a.txt", b"\twithout a name\n"),
        ("a.json", b"a\nb"),
        ("a.json", b"null"),
        ("a.json", b"5"),
        ("a.json", b'{"a": "one", "a": "two"}'),
        ("a.json", b'"ab"'),
        ("a.json", b"[1, 2]"),
        ("a.json", b'{"a": {}}'),
        ("a.json", b"[" * 100000),
        ("missing", None),
        ("folder", None),
    ],
)
def test_a_file_that_holds_no_labels(tmp_path: Path, name: str, data: bytes | None) -> None:
    (tmp_path / "folder").mkdir()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=name) as caught:
        from_file(str(tmp_path / name))
    assert caught.value.hint and "commas" not in caught.value.hint


@given(ROWS, st.integers(0, 7), st.none() | st.floats(0, 1), st.booleans())
def test_what_is_put_out(row: list[float], top_k: int, least: float | None, multi: bool) -> None:
    names = [f"l{index}" for index in range(len(row))]
    choice = Choice("label", top_k, least, multi)
    answer = choice.answer(names, row)
    assert tuple(answer.values) == choice.fields
    bound = least if least is not None else 0.5 if multi else 0.0
    reach = [name for name, value in zip(names, row, strict=True) if round(value, 4) >= bound]
    best = names[row.index(max(row))]
    assert answer.values["score"] == round(max(row), 4)
    assert answer.values["label"] == (best if best in reach else None)
    if not choice.several:
        assert answer.line == f"{answer.values['label'] or ''}\t{answer.values['score']}"
        return
    found = answer.values["labels"]
    assert [each["score"] for each in found] == sorted((e["score"] for e in found), reverse=True)
    assert {each["label"] for each in found} <= set(reach)
    assert len(found) == min(len(reach), top_k or len(reach))
    told = [f"{each['label']}\t{each['score']}" for each in found] or [
        f"\t{answer.values['score']}"
    ]
    assert answer.line == "\t".join(told)


@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1))
def test_probabilities(rows: list[list[float]]) -> None:
    logits = np.array(rows)
    sums = softmax(logits).sum(1)
    assert np.allclose(sums, 1) and (softmax(logits) >= 0).all()
    assert ((sigmoid(logits) >= 0) & (sigmoid(logits) <= 1)).all()
    best = np.take_along_axis(softmax(logits), logits.argmax(1)[:, None], 1)[:, 0]
    assert (best == softmax(logits).max(1)).all()
    assert np.allclose(sigmoid(np.array([0.0, math.log(3)])), [0.5, 0.75])


@given(st.lists(st.text("ab. @\n", max_size=120), max_size=5))
def test_a_long_text_is_the_mean_of_its_pieces(texts: list[str]) -> None:
    task = Classify(ByLength(), Choice())
    answers = task.run(texts, Lengths())
    assert len(answers) == len(texts)
    for text, answer in zip(texts, answers, strict=True):
        assert answer == task.run([text], Lengths())[0]
        if not text.strip():
            assert answer.values == {"label": None, "score": None} and answer.line == ""
        elif "@" in text:
            assert answer.error == "no @"
        elif len(text) <= 20:
            assert answer.values["score"] == round(max(len(text), 20 - len(text)) / 20, 4)


def test_pieces_weigh_as_much_as_they_are_long() -> None:
    scores = Classify(ByLength(), Choice()).score(["a" * 18 + ". " + "b" * 10], Lengths())
    long, short = 19 / 20, 10 / 20
    assert scores.values[0, 0] == pytest.approx((19 * long + 10 * short) / 29)


def test_labels_that_fill_the_window_are_refused() -> None:
    class Full(ByLength):
        def room(self, backend: Any) -> int:
            return 0

    with pytest.raises(UsageError, match="no room"):
        Classify(Full(), Choice()).run(["a text"], Lengths())


@pytest.mark.parametrize(
    ("labels", "places"),
    [
        (("contradiction", "neutral", "entailment"), (2, 0)),
        (("ENTAILMENT", "NEUTRAL", "CONTRADICTION"), (0, 2)),
        (("entailment", "not_entailment"), (0, 1)),
        (("x", "entails"), (1, 0)),
        (("negative", "positive"), (-1, -1)),
    ],
)
def test_which_labels_mean_entailment(labels: tuple[str, ...], places: tuple[int, int]) -> None:
    assert entailment(labels) == places


def test_shares_of_answers_by_the_tokens_told() -> None:
    tokens = (
        Token('{"', -0.1),
        Token("label", 0.0),
        Token('": "', 0.0),
        Token("card", math.log(0.6), (("card", math.log(0.6)), ("pin", math.log(0.3)))),
        Token("_", 0.0, (("_", 0.0),)),
        Token("lost", math.log(0.75), (("lost", math.log(0.75)), ("stolen", math.log(0.25)))),
        Token('"}', 0.0),
    )
    text = '{"label": "card_lost"}'
    answers = ("card_lost", "card_stolen", "pin", "never")
    found = shares(Hypothesis(text, logprobs=tokens), answers, "card_lost")
    assert found == pytest.approx([0.45 / 0.9, 0.15 / 0.9, 0.3 / 0.9, 0.0])
    assert shares(Hypothesis(text), answers, "card_lost") == [1.0, 0.0, 0.0, 0.0]


def test_one_label_may_begin_another() -> None:
    tokens = (
        Token('{"label": "', 0.0),
        Token("a", 0.0, (("a", 0.0),)),
        Token('"}', math.log(0.8), (('"}', math.log(0.8)), ("b", math.log(0.2)))),
    )
    found = shares(Hypothesis('{"label": "a"}', logprobs=tokens), ("a", "ab"), "a")
    assert found == pytest.approx([0.8, 0.2])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The tiny encoder or classifier of that name, and its folder."""
    root = tmp_path_factory.mktemp("classifiers")
    models = {**tiny_encoders.ENCODERS, **tiny_encoders.CLASSIFIERS}

    @cache
    def build(name: str) -> tuple[Any, Path]:
        models[name](root / name)
        model = LocalModel(ModelSpec(name, (), "transformers", ()), root / name)
        return choice.load("torch", model, CPU), root / name

    return build


TEXTS = ["the cat sat on the mat", "water and bread", "a"]


def test_the_heads_probabilities_and_their_order(made: Build) -> None:
    backend, _ = made("bert-moods")
    answers = Classify(Head(), Choice(top_k=9)).run(TEXTS, backend)
    for text, answer in zip(TEXTS, answers, strict=True):
        row = softmax(backend.classify([Request(text)]))[0]
        told = {each["label"]: each["score"] for each in answer.values["labels"]}
        assert told == {n: round(float(p), 4) for n, p in zip(backend.labels, row, strict=True)}
        assert sum(told.values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("independent", [False, True])
def test_entailment_is_transformers_zero_shot_pipeline(made: Build, independent: bool) -> None:
    from transformers import pipeline

    backend, folder = made("bert-nli")
    theirs = pipeline("zero-shot-classification", model=str(folder), device="cpu")
    labels = tuple(map(Label, ("water", "cats and mats", "time")))
    found = Entailment(labels, independent).score(TEXTS, backend).values
    for text, row in zip(TEXTS, found, strict=True):
        expected = theirs(
            text,
            [label.name for label in labels],
            hypothesis_template=HYPOTHESIS,
            multi_label=independent,
        )
        by_name = dict(zip(expected["labels"], expected["scores"], strict=True))
        assert row == pytest.approx([by_name[label.name] for label in labels], abs=1e-4)


def test_similarity_does_not_depend_on_the_other_texts(made: Build) -> None:
    backend, _ = made(next(iter(tiny_encoders.ENCODERS)))
    for independent in (False, True):
        scorer = Similarity(GOOD, independent)
        together = scorer.score(TEXTS, backend).values
        alone = np.concatenate([scorer.score([text], backend).values for text in TEXTS])
        assert together == pytest.approx(alone, abs=1e-5)
        if not independent:
            assert together.sum(1) == pytest.approx(1)


def test_a_language_model_by_likelihoods() -> None:
    class Model:
        """Finds answers likelier that the text names; prefers `bad` whatever the text."""

        window, chat = 4000, True

        def measure(self, text: str) -> int:
            return len(text.split())

        def likelihoods(
            self, requests: Sequence[Request], continuations: Sequence[str]
        ) -> list[list[float]]:
            return [
                [
                    3.0 * (each.strip() in request.text.partition("Text: ")[2].split("\n")[0])
                    + 9.0 * (each.strip() == "bad")
                    for each in continuations
                ]
                for request in requests
            ]

    answers = Classify(Prompted(GOOD), Choice()).run(["all good", "bad day", ""], Model())
    assert [answer.values["label"] for answer in answers] == ["good", "bad", None]


class Server:
    """Answers like a server that tells no log-probabilities."""

    window, chat = 4000, True

    def __init__(self, *said: str) -> None:
        self._said = said

    def measure(self, text: str) -> int:
        return len(text)

    def run(self, requests: Sequence[Request], decoding: Any) -> list[Any]:
        enum = json.loads(decoding.schema)["properties"]["label"]["enum"]
        assert enum in (["good", "bad", "so_so"], ["yes", "no"])
        return [Result((Hypothesis(said),)) for said in self._said]


def test_a_server_that_tells_no_probabilities() -> None:
    scorer = Prompted(GOOD, constrained=True)
    one, other = Classify(scorer, Choice()).run(
        ["a", "b"], Server('{"label": "so_so"}', '{"label": "odd"}')
    )
    assert one.values == {"label": "so_so", "score": None} and one.line == "so_so\t"
    assert other.error.startswith("the model's answer is no label")


def test_several_labels_are_asked_one_by_one() -> None:
    scorer = Prompted(GOOD, independent=True, constrained=True)
    said = [json.dumps({"label": each}) for each in ("yes", "no", "yes")]
    (answer,) = Classify(scorer, Choice(multi_label=True)).run(["a"], Server(*said))
    assert [each["label"] for each in answer.values["labels"]] == ["good", "so_so"]
