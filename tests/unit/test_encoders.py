"""Encoders and classifiers on ct2 and torch: the answers of transformers, whatever the batch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

import tiny_encoders
import tiny_models
from nlpcli import registry, store
from nlpcli.backends import Request, choice
from nlpcli.backends.ct2 import convert, make_encoder
from nlpcli.backends.ct2.convert import quiet
from nlpcli.backends.ct2.encoder import Encoder as CTranslate2
from nlpcli.backends.torch.encoder import Encoder as Torch
from nlpcli.device import Device
from nlpcli.errors import DataError, DeviceError, ModelError
from nlpcli.registry import LocalModel, ModelSpec

CPU = Device("cpu", dtype="float32", threads=2)
MADE = {**tiny_encoders.ENCODERS, **tiny_encoders.CLASSIFIERS}
TEXTS = [*tiny_models.sentences(30, seed=5), "", " ", "a\nb", "日本 नमस्ते 🎉 água", "[SEP] </s> x"]
SHORT = sorted(TEXTS, key=len)[:9]
REQUESTS = [
    Request(text, pair=SHORT[index % 9] if index % 3 == 1 else None)
    for index, text in enumerate(TEXTS)
]
Build = Callable[[str], LocalModel]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The tiny encoder or classifier of that name, built when first asked for."""
    root = tmp_path_factory.mktemp("encoders")

    def build(name: str) -> LocalModel:
        if not (root / name).exists():
            MADE[name](root / name)
        architecture = {"deberta": "deberta-v2"}.get(name, name.removesuffix("-nli"))
        spec = ModelSpec(name, ("classify",), "transformers", (), architecture=architecture)
        return LocalModel(spec, root / name)

    return build


def runs(names: list[str]) -> Any:
    """Each of the models `names` on each backend that takes it."""
    return pytest.mark.parametrize(
        ("name", "make"),
        [
            pytest.param(name, make, id=f"{name}-{make.__module__.split('.')[2]}")
            for name in names
            for make in (CTranslate2, Torch)
            if make is Torch or not name.startswith(tiny_encoders.TORCH_ONLY)
        ],
    )


@cache
def loaded(make: Any, made: Build, name: str, dtype: str = "float32", threads: int = 2) -> Any:
    return make(made(name), Device("cpu", dtype=dtype, threads=threads))


@cache
def logits_of_transformers(made: Build, name: str) -> Any:
    with quiet(), torch.inference_mode():
        tokenizer = AutoTokenizer.from_pretrained(made(name).folder)
        model = AutoModelForSequenceClassification.from_pretrained(made(name).folder).eval()
        rows = [
            model(**tokenizer(request.text, request.pair, return_tensors="pt")).logits[0]
            for request in REQUESTS
        ]
    return torch.stack(rows).numpy()


def probabilities(logits: Any, multi_label: bool) -> Any:
    found = torch.tensor(logits)
    return (found.sigmoid() if multi_label else found.softmax(-1)).numpy()


@runs(list(tiny_encoders.CLASSIFIERS))
def test_the_probabilities_of_transformers(
    name: str, make: Any, made: Build, shared_cache: Any
) -> None:
    ours = loaded(make, made, name)
    expected = probabilities(logits_of_transformers(made, name), ours.multi_label)
    assert np.ptp(expected, axis=0).min() > 0.02  # they depend on the text
    for size in (0, 1, 3, 32):
        found = ours.classify(REQUESTS, batch_size=size)
        assert found.dtype == np.float32
        assert np.abs(probabilities(found, ours.multi_label) - expected).max() < 1e-4


@runs(list(tiny_encoders.CLASSIFIERS))
def test_the_labels_of_the_head(name: str, make: Any, made: Build, shared_cache: Any) -> None:
    ours = loaded(make, made, name)
    labels = {"nli": tiny_encoders.NLI, "moods": tiny_encoders.MOODS, "single": ("toxic",)}
    assert ours.labels == labels.get(name.split("-")[-1], tiny_encoders.TOPICS)
    assert ours.multi_label == (name in ("distilbert-topics", "bert-single"))
    assert ours.classify([]).shape == (0, len(ours.labels))


@runs(list(tiny_encoders.ENCODERS))
def test_embeddings_are_means_of_length_one(
    name: str, make: Any, made: Build, shared_cache: Any
) -> None:
    ours = loaded(make, made, name)
    with quiet(), torch.inference_mode():
        tokenizer = AutoTokenizer.from_pretrained(made(name).folder)
        model = AutoModel.from_pretrained(made(name).folder).eval()
        means = [
            model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            for text in TEXTS
        ]
    expected = torch.stack([mean / mean.norm() for mean in means]).numpy()
    for size in (0, 1, 3, 32):
        found = ours.embed(TEXTS, batch_size=size)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < 1e-5
    assert (ours.labels, ours.embed([]).shape) == ((), (0, 32))
    with pytest.raises(ModelError, match="no classification head"):
        ours.classify(REQUESTS)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", ["bert-nli", "roberta-nli", "distilbert"])
def test_ct2_gives_the_same_bits_whatever_the_batch(
    name: str, dtype: str, made: Build, shared_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_encoder, "GREATEST_TURN", 1)
    monkeypatch.setattr(make_encoder, "GREATEST_MOVE", 1)

    def answers(size: int, threads: int) -> Any:
        ours = loaded(CTranslate2, made, name, dtype, threads)
        return ours.classify(REQUESTS, size) if ours.labels else ours.embed(TEXTS, size)

    expected = answers(1, 1)
    for size, threads in ((0, 1), (7, 1), (32, 1), (128, 1), (1, 2), (7, 2), (128, 2)):
        assert np.array_equal(answers(size, threads), expected)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.text(max_size=20), max_size=5), size=st.integers(0, 4))
@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta"])
def test_any_text(name: str, made: Build, shared_cache: Any, texts: list[str], size: int) -> None:
    texts = [text for text in texts if text.isprintable()]
    one, other = (loaded(make, made, name) for make in (CTranslate2, Torch))
    assert [one.measure(text) for text in texts] == [other.measure(text) for text in texts]
    assert np.abs(one.embed(texts, size) - other.embed(texts, size)).max(initial=0) < 1e-5


@runs(["bert", "distilbert", "roberta", "xlm-roberta", "deberta", "bart-nli"])
def test_nothing_is_cut(name: str, make: Any, made: Build, shared_cache: Any) -> None:
    ours = loaded(make, made, name)
    assert ours.window == 254
    low, high = 1, 600  # the most words that still fit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if ours.measure("a " * middle) <= 254 else (low, middle)
    assert ours.measure("a " * low) <= ours.window < ours.measure("a " * high)
    assert np.isfinite(ours.embed(["a " * low])).all()
    with pytest.raises(DataError, match="window of 254"):
        ours.embed(["short", "a " * high])
    if ours.labels:
        with pytest.raises(DataError, match="window of 254"):
            ours.classify([Request("a " * low, pair="b")])


def by_hand(hidden: Any, query: Any, key: Any, heads: int) -> Any:
    """softmax(QKᵀ/√d) of one layer: (heads, tokens, tokens)."""
    shape = hidden.shape[0], heads, -1
    q, k = (layer(hidden).reshape(shape).transpose(0, 1) for layer in (query, key))
    return (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)


def check_attention(model: LocalModel, dtype: str, request: Request) -> Any:
    """The attention, after it was held against the model's own weights."""
    found = Torch(model, CPU._replace(dtype=dtype)).attend(request)
    with quiet(), torch.inference_mode():
        tokenizer = AutoTokenizer.from_pretrained(model.folder)
        inputs = tokenizer(request.text, request.pair, return_tensors="pt")
        original = AutoModel.from_pretrained(model.folder).eval()
        states = original(**inputs, output_hidden_states=True).hidden_states
        layers = getattr(original, "encoder", None) or original.transformer
        for index, layer in enumerate(layers.layer):
            part = getattr(layer.attention, "self", layer.attention)
            query = getattr(part, "query", None) or part.q_lin
            key = getattr(part, "key", None) or part.k_lin
            heads = original.config.num_attention_heads
            expected = by_hand(states[index][0], query, key, heads).numpy()
            assert np.abs(found.weights[index] - expected).max() < 1e-5
    assert found.weights.shape[0] == original.config.num_hidden_layers
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["bert-nli", "distilbert", "roberta-nli"])
def test_attention_is_that_of_the_weights(name: str, dtype: str, made: Build) -> None:
    request = Request("The old house, naïve 42!", pair="água never")
    found = check_attention(made(name), dtype, request)
    assert found.weights.dtype == np.float32
    assert np.abs(found.weights.sum(-1) - 1).max() < 1e-5
    assert len(found.tokens) == len(found.offsets) == found.weights.shape[-1]


def test_minilm(weights: Path) -> None:
    model = store.fetch(registry.find("minilm-l6").spec)
    found = check_attention(model, "float32", Request("The committee will meet again in March."))
    assert found.weights.shape[:2] == (6, 12)
    assert np.abs(found.weights.sum(-1) - 1).max() < 1e-5
    exact = Torch(model, CPU).embed(TEXTS)
    same, int8 = (CTranslate2(model, CPU._replace(dtype=d)) for d in ("float32", "int8"))
    assert same.window == int8.window == 510
    assert np.abs(same.embed(TEXTS) - exact).max() < 1e-5
    assert (int8.embed(TEXTS) * exact).sum(1).mean() > 0.99


@pytest.mark.parametrize("name", ["deberta-nli", "bart-nli"])
def test_attention_of_other_architectures(name: str, made: Build) -> None:
    found = loaded(Torch, made, name).attend(Request("The old house."))
    assert found.weights.shape == (2, 4, len(found.tokens), len(found.tokens))
    assert np.abs(found.weights.sum(-1) - 1).max() < 1e-5
    with pytest.raises(DataError):
        loaded(Torch, made, name).attend(Request("house " * 299))


@pytest.mark.parametrize("name", ["bert-nli", "xlm-roberta-moods"])
def test_offsets_are_places_in_the_text(name: str, made: Build) -> None:
    request = Request("The old São house", pair="bridge 42")
    found = loaded(Torch, made, name).attend(request)
    assert found.offsets[0] is None and found.offsets[-1] is None
    places = [place for place in found.offsets if place]
    second = next(i for i in range(1, len(places)) if places[i][0] < places[i - 1][0])
    for text, part in ((request.text, places[:second]), (request.pair, places[second:])):
        covered = {index for start, end in part for index in range(start, end)}
        assert {i for i, letter in enumerate(text or "") if letter != " "} <= covered


def test_bfloat16_is_close(made: Build) -> None:
    exact = loaded(Torch, made, "bert-nli").classify(REQUESTS)
    rough = loaded(Torch, made, "bert-nli", "bfloat16")
    assert np.abs(rough.classify(REQUESTS) - exact).mean() < 0.1
    assert rough.embed(TEXTS).dtype == np.float32


def test_int8_that_changes_the_answers_is_refused(
    made: Build, shared_cache: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(make_encoder, "GREATEST_MOVE", 1e-9)
    name = "roberta-nli"
    monkeypatch.setattr(convert, "LAYOUT", -1)
    ours = CTranslate2(made(name), CPU._replace(dtype="int8"))
    assert "int8 would change its answers" in capfd.readouterr().err
    exact = loaded(CTranslate2, made, name).classify(REQUESTS)
    assert np.array_equal(ours.classify(REQUESTS), exact)


def test_a_head_that_is_missing_or_no_classifier(tmp_path: Path, shared_cache: Any) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_encoders.build(tmp_path / "cut", "distilbert", tiny_encoders.MOODS)
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    numbers = tiny_encoders.build(tmp_path / "numbers", "bert", ("score",), problem="regression")
    for path, words in ((folder, r"lack classifier\.weight"), (numbers, "a number, not labels")):
        spec = ModelSpec(path.name, (), "transformers", ())
        for make in (CTranslate2, Torch):
            with pytest.raises(ModelError, match=words):
                make(LocalModel(spec, path), CPU)


def test_too_little_memory(made: Build, shared_cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    theirs = Torch(made("bert-nli"), CPU)
    monkeypatch.setattr(theirs._model, "forward", fail)
    with pytest.raises(DeviceError, match="memory"):
        theirs.classify(REQUESTS)


def test_ct2_is_chosen_for_what_it_runs(made: Build) -> None:
    chosen = {name: choice.choose(made(name)) for name in ("bert", "roberta-nli", "bart-nli")}
    assert chosen == {"bert": "ct2", "roberta-nli": "ct2", "bart-nli": "torch"}
    assert choice.choose(made("deberta")) == "torch"


def test_runs_without_torch(made: Build, shared_cache: Any) -> None:
    folder = made("roberta-nli").folder
    loaded(CTranslate2, made, "roberta-nli")
    code = (
        "import sys; from pathlib import Path\n"
        "from nlpcli.backends import Request\n"
        "from nlpcli.backends.choice import load; from nlpcli.device import Device\n"
        "from nlpcli.registry import *\n"
        "spec = ModelSpec('roberta-nli', (), 'transformers', ())\n"
        f"ct2 = load('ct2', LocalModel(spec, Path({str(folder)!r})), Device('cpu'))\n"
        "print(ct2.classify([Request('The house.', pair='A bridge.')]).shape)\n"
        "print([m for m in ('torch', 'transformers', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("(1, 3)\n[]\n", "")
