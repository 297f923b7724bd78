"""Explanations of tiny classifiers: the words left out by hand, and attention by its formula."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_encoders
from nlpcli.backends import Request, choice
from nlpcli.backends.echo import Echo
from nlpcli.device import Device
from nlpcli.errors import UsageError
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.tasks.classify import Choice, Classify, Head, softmax
from nlpcli.tasks.explain import Explain, chosen
from nlpcli.tasks.labels import Label
from nlpcli.tasks.zero_shot import Entailment, Similarity

CPU = Device("cpu", dtype="float32", threads=2)
TEXT = "The old house, a new river: 1984 & São naïve!"
LABELS = (Label("water"), Label("old houses"), Label("time"))
Build = Callable[[str], Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The tiny encoder or classifier of that name on torch."""
    root = tmp_path_factory.mktemp("explained")
    models = {**tiny_encoders.ENCODERS, **tiny_encoders.CLASSIFIERS}

    @cache
    def build(name: str) -> Any:
        models[name](root / name)
        spec = ModelSpec(name, (), "transformers", ())
        return choice.load("torch", LocalModel(spec, root / name), CPU)

    return build


def explained(task: Any, text: str, backend: Any, layer: int = 0, head: int = 0) -> Any:
    (answer,) = Explain(Classify(task, Choice()), layer, head).run([text], backend)
    assert answer.values["label"] == answer.values["explanation"]["label"]
    assert answer.values["score"] == round(answer.values["explanation"]["score"], 4)
    return answer.values["explanation"]


def test_weights_are_those_of_leaving_out_by_hand(made: Build) -> None:
    backend = made("bert-moods")
    found = explained(Head(), TEXT, backend)
    best = backend.labels.index(found["label"])

    def probability(text: str) -> float:
        return float(softmax(backend.classify([Request(text)]))[0][best])

    said = " ".join(word["word"] for word in found["words"])
    assert said == "The old house , a new river : 1984 & São naïve !"
    for word in found["words"]:
        assert TEXT[word["start"] : word["end"]] == word["word"]
        left = TEXT[: word["start"]] + TEXT[word["end"] :]
        expected = probability(TEXT) - probability(left)
        assert word["weight"] == pytest.approx(expected, abs=1e-6)
    assert max(abs(word["weight"]) for word in found["words"]) > 0.01


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("bert", Similarity(LABELS)),
        ("bert", Similarity(LABELS, True)),
        ("bert-nli", Entailment(LABELS)),
        ("roberta-nli", Entailment(LABELS, True)),
        ("distilbert-topics", Head(True)),
    ],
)
def test_every_way_to_choose(made: Build, name: str, task: Any) -> None:
    backend = made(name)
    found = explained(task, TEXT, backend)
    scores = task.score([TEXT, TEXT.replace("river", "")], backend).values
    best = int(scores[0].argmax())
    river = next(word for word in found["words"] if word["word"] == "river")
    assert river["weight"] == pytest.approx(float(scores[0][best] - scores[1][best]), abs=1e-6)
    rows = np.array(found["attention"]["weights"])
    assert rows.shape == (len(found["attention"]["tokens"]),) * 2
    assert rows.sum(1) == pytest.approx(1, abs=1e-6)


def test_entailment_attends_to_the_hypothesis_of_the_label(made: Build) -> None:
    backend = made("bert-nli")
    task = Entailment(LABELS)
    found = explained(task, "the old house", backend)
    number = [label.name for label in LABELS].index(found["label"])
    expected = backend.attend(Request("the old house", pair=task.hypotheses[number]))
    assert found["attention"]["tokens"] == list(expected.tokens)
    assert found["attention"]["tokens"].count("[SEP]") == 2


def by_formula(model: Any, tokens: list[int]) -> Any:
    """softmax(QKᵀ/√d) for each layer and head of a BERT, from its weights and hidden states."""
    bert = model.base_model
    with torch.inference_mode():
        states = bert(torch.tensor([tokens]), output_hidden_states=True).hidden_states
        found = []
        for layer, hidden in zip(bert.encoder.layer, states, strict=False):
            own, heads = layer.attention.self, bert.config.num_attention_heads
            size = bert.config.hidden_size // heads
            query, key = (
                (hidden[0] @ part.weight.T + part.bias).reshape(-1, heads, size).transpose(0, 1)
                for part in (own.query, own.key)
            )
            logits = query.double() @ key.double().transpose(1, 2) / math.sqrt(size)
            powers = (logits - logits.amax(-1, keepdim=True)).exp()
            found.append(powers / powers.sum(-1, keepdim=True))
    return torch.stack(found).numpy()


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (1, 0), (0, 4), (2, 3)])
def test_attention_is_the_formula(made: Build, layer: int, head: int) -> None:
    backend = made("bert-moods")
    found = explained(Head(), TEXT, backend, layer, head)["attention"]
    ids = backend._tokenizer.convert_tokens_to_ids(found["tokens"])
    expected = by_formula(backend._model, ids)
    assert expected.shape[:2] == (2, 4)
    layers = expected[layer - 1 :][:1] if layer else expected
    mean = (layers[:, head - 1 :][:, :1] if head else layers).mean((0, 1))
    assert np.array(found["weights"]) == pytest.approx(mean, abs=1e-5)
    assert (found["layer"], found["head"]) == (layer or "mean", head or "mean")


@pytest.mark.parametrize(
    ("layer", "head", "said"),
    [(3, 0, "--layer 3: the model has 2 layers"), (1, 5, "--head 5: the model has 4 heads")],
)
def test_out_of_range(made: Build, layer: int, head: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        explained(Head(), TEXT, made("bert-moods"), layer, head)


def test_chosen() -> None:
    weights = np.arange(24, dtype="float32").reshape(2, 3, 2, 2)
    assert (chosen(weights, 2, 3) == weights[1, 2]).all()
    assert (chosen(weights, 0, 0) == weights.reshape(6, 2, 2).mean(0)).all()
    assert (chosen(weights, 1, 0) == weights[0].mean(0)).all()
    assert (chosen(weights, 0, 2) == weights[:, 1].mean(0)).all()


def test_one_word_and_none(made: Build) -> None:
    backend = made("bert-moods")
    (word,) = explained(Head(), "river", backend)["words"]
    assert (word["start"], word["end"]) == (0, 5)
    answers = Explain(Classify(Head(), Choice())).run(["", " \t", "river"], backend)
    assert [answer.values["explanation"] is None for answer in answers] == [True, True, False]
    assert [answer.warning for answer in answers] == ["", "", ""]


def test_a_text_beyond_the_window_has_weights_and_a_warning(made: Build) -> None:
    backend = made("bert-moods")
    text = "The old house. " * 80
    assert backend.measure(text) > backend.window
    (answer,) = Explain(Classify(Head(), Choice())).run([text], backend)
    explanation = answer.values["explanation"]
    assert len(explanation["words"]) == 320
    assert explanation["attention"] is None
    assert answer.warning == "lacks attention: the text is longer than the model's window"
    scores = Classify(Head(), Choice()).score([text, text[4:]], backend).values
    best = int(scores[0].argmax())
    expected = float(scores[0][best] - scores[1][best])
    assert explanation["words"][0]["weight"] == pytest.approx(expected, abs=1e-6)


def test_without_attention() -> None:
    found = explained(Head(), "odd or even", Echo(None, None))  # type: ignore[arg-type]
    assert found["attention"] is None
    # Leaving out `or ` and ` even` keeps or changes whether the count of characters is odd.
    assert [word["weight"] != 0 for word in found["words"]] == [False, True, True]


def test_as_json(made: Build, tmp_path: Path) -> None:
    found = explained(Head(), TEXT, made("bert-moods"))
    assert json.loads(json.dumps(found)) == found
