"""What is learnt: the losses are transformers' own, and what is asked is what the backends ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

import tiny_decoders
import tiny_encoders
import tiny_models
from nlpcli.backends import Decoding, Request
from nlpcli.backends.ct2.convert import quiet
from nlpcli.backends.torch.seq2seq import Torch
from nlpcli.device import Device
from nlpcli.errors import DataError
from nlpcli.registry import LocalModel, ModelSpec, Source
from nlpcli.training import base as bases
from nlpcli.training.base import Base
from nlpcli.training.data import Data, Example
from nlpcli.training.fit import objective_of
from nlpcli.training.objective import IGNORED, Objective, blank, fitted, items
from nlpcli.training.recipe import Recipe

CPU = Device("cpu", dtype="float32", threads=2)
LANGUAGES = {
    "m2m100": ("en", "pt"),
    "nllb": ("eng_Latn", "por_Latn"),
    "mbart": ("en_XX", "pt_XX"),
}
SOURCES = tiny_models.sentences(6, seed=11)
TARGETS = tiny_models.sentences(6, seed=12)
Build = Callable[[str], LocalModel]


def pairs(sources: Sequence[str] = SOURCES, targets: Sequence[str] = TARGETS) -> list[Example]:
    both = zip(sources, targets, strict=True)
    return [Example(f"a:{n}", source, (target,)) for n, (source, target) in enumerate(both, 1)]


def ready(
    folder: Path, recipe: Recipe, examples: Sequence[Example], labels: tuple[str, ...] = ()
) -> tuple[Base, Objective, Any]:
    """The base in `folder`, its objective, and the model with its weights."""
    spec = ModelSpec(folder.name, (), "transformers", (Source("path", str(folder)),))
    data = Data(list(examples), [], labels, recipe.multi_label, {}, {}, False)
    base = bases.prepare(spec, recipe, data, folder / "new", offline=True)
    model = bases.load(base, recipe, torch.float32).eval()
    return base, objective_of(base, recipe, data), model


def loss(objective: Objective, model: Any, features: Sequence[Any]) -> tuple[float, int]:
    inputs = objective.collate(features, 0)
    with torch.inference_mode():
        return float(objective.loss(model, inputs)[0]), items(inputs)


@pytest.mark.parametrize("name", list(tiny_models.FAMILIES))
def test_encoder_decoders_learn_what_transformers_learns(name: str, tiny: Build) -> None:
    """Padded together they have the loss that transformers gives them one by one."""
    task = "summarize" if name in ("bart", "pegasus") else "translate"
    recipe = Recipe(task, source_language="en", target_language="pt")
    folder = tiny(name).folder
    _, objective, model = ready(folder, recipe, pairs())
    found, count = loss(objective, model, objective.features(pairs()))
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder)
    if name in LANGUAGES:
        tokenizer.src_lang, tokenizer.tgt_lang = LANGUAGES[name]
    prefix = "translate English to Portuguese: " if name == "t5" else ""
    expected, tokens = 0.0, 0
    for source, target in zip(SOURCES, TARGETS, strict=True):
        inputs = tokenizer(prefix + source, text_target=target, return_tensors="pt")
        with torch.inference_mode():
            expected += float(model(**inputs).loss) * inputs["labels"].numel()
        tokens += inputs["labels"].numel()
    assert count == tokens
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["marian", "m2m100", "nllb", "mbart", "t5"])
def test_what_is_written_is_what_the_backends_write(name: str, tiny: Build) -> None:
    recipe = Recipe("translate", source_language="en", target_language="pt")
    _, objective, model = ready(tiny(name).folder, recipe, pairs())
    written = objective.write(model, pairs())
    backend = Torch(tiny(name), CPU)
    results = backend.run([Request(text, "en", "pt") for text in SOURCES], Decoding(beam=1))
    assert any(written)
    for ours, result in zip(written, results, strict=True):
        # Each ends a text that goes on for ever at a length of its own.
        theirs = result.hypotheses[0].text
        assert theirs.startswith(ours) or ours.startswith(theirs)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2"])
def test_of_a_dialogue_the_answers_are_learnt(name: str, tmp_path: Path) -> None:
    folder = tiny_decoders.FAMILIES[name](tmp_path / name)
    turns = [("user", SOURCES[0]), ("assistant", TARGETS[0]), ("user", "so"), ("assistant", "yes")]
    example = Example("a:1", "", (), tuple(turns))
    base, objective, _ = ready(folder, Recipe("generate"), [example])
    (feature,) = objective.features([example])
    said = [{"role": role, "content": content} for role, content in turns]
    template = base.tokenizer.apply_chat_template(said, tokenize=False)
    whole = base.tokenizer(template, add_special_tokens=False)["input_ids"]
    assert whole[: len(feature.ids)] == feature.ids
    assert not base.tokenizer.decode(whole[len(feature.ids) :]).strip()
    learnt = [label for label in feature.labels if label != IGNORED]
    assert [a for a, b in zip(feature.ids, feature.labels, strict=True) if b != IGNORED] == learnt
    end = base.tokenizer.convert_ids_to_tokens(feature.ids[-1])
    text = base.tokenizer.decode(learnt)
    assert [part.strip() for part in text.split(end)] == [TARGETS[0], "yes", ""]
    assert objective.features([example._replace(messages=tuple(turns[:2]))])[0].labels[-1] >= 0


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("task", ["generate", "summarize"])
def test_decoders_learn_what_transformers_learns(name: str, task: str, tmp_path: Path) -> None:
    """Padded on the left, with the logits of the answers alone."""
    folder = tiny_decoders.FAMILIES[name](tmp_path / name)
    _, objective, model = ready(folder, Recipe(task), pairs())
    features = objective.features(pairs())
    found, count = loss(objective, model, features)
    expected, tokens = 0.0, 0
    for each in features:
        ids, labels = torch.tensor([each.ids]), torch.tensor([each.labels])
        with torch.inference_mode():
            learnt = int((labels != IGNORED).sum())
            expected += float(model(input_ids=ids, labels=labels).loss) * learnt
        tokens += learnt
    assert count == tokens
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_completion_is_encoded_as_it_will_be_asked(tmp_path: Path) -> None:
    """Without a chat template the answer goes on behind the prompt, a space between them."""
    folder = tiny_decoders.gpt2(tmp_path / "gpt2")
    examples = [Example("a:1", "the old", ("house",)), Example("a:2", "", ("the whole text",))]
    base, objective, _ = ready(folder, Recipe("generate"), examples)
    asked, alone = objective.features(examples)
    end = base.tokenizer.eos_token
    assert base.tokenizer.decode(asked.ids) == f"the old house{end}"
    assert base.tokenizer.decode([i for i in asked.labels if i != IGNORED]) == f" house{end}"
    assert alone.labels[1:] == alone.ids[1:]


def test_running_text_is_cut_into_blocks(tmp_path: Path) -> None:
    folder = tiny_decoders.gpt2(tmp_path / "gpt2")
    lines = [Example(f"a:{n}", text) for n, text in enumerate(["one two", "", "\tthree"], 1)]
    base, objective, _ = ready(folder, Recipe("pretrain", max_length=4), lines)
    features = objective.features(lines)
    ids = [each for feature in features for each in feature.ids]
    assert "one two\n\n\tthree\n".startswith(base.tokenizer.decode(ids))
    assert {len(feature.ids) for feature in features[:-1]} == {4}
    assert all(feature.labels == [IGNORED, *feature.ids[1:]] for feature in features)


def test_tokens_are_masked_anew_each_epoch(tmp_path: Path) -> None:
    tiny_encoders.build(tmp_path / "bert", "bert")
    lines = [Example(f"a:{n}", text) for n, text in enumerate(tiny_models.sentences(200), 1)]
    recipe = Recipe("pretrain", max_length=64)
    base, objective, model = ready(tmp_path / "bert", recipe, lines)
    features = objective.features(lines)
    first, again, second = (objective.collate(features, epoch) for epoch in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["labels"], second["labels"])
    alone = objective.collate(features[3:4], 0)["labels"][0]
    assert torch.equal(first["labels"][3][: len(alone)], alone), "whatever batch it is in"
    labels, ids = first["labels"], first["input_ids"]
    asked = labels != IGNORED
    original = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(each.ids) for each in features], batch_first=True, padding_value=0
    )
    assert torch.equal(labels[asked], original[asked])
    assert torch.equal(ids[~asked], original[~asked])
    specials = torch.tensor(base.tokenizer.all_special_ids)
    assert not torch.isin(original[asked], specials).any()
    inner = int((~torch.isin(original, specials)).sum())
    assert 0.14 < int(asked.sum()) / inner < 0.16
    masked = float((ids[asked] == base.tokenizer.mask_token_id).float().mean())
    assert 0.75 < masked < 0.85
    found, count = loss(objective, model, features[:3])
    inputs = objective.collate(features[:3], 0)
    with torch.inference_mode():
        assert found == pytest.approx(float(model(**inputs).loss) * count, rel=1e-5)


LABELLED = [
    Example(f"a:{n}", text, (label,))
    for n, (text, label) in enumerate(zip(SOURCES, ["b", "a", "a", "a", "c", "a"], strict=True), 1)
]


def test_a_step_in_parts_is_the_step(tmp_path: Path) -> None:
    tiny_encoders.build(tmp_path / "bert", "bert")
    _, objective, model = ready(tmp_path / "bert", Recipe("classify"), LABELLED, ("a", "b", "c"))
    features = objective.features(LABELLED)
    whole, count = loss(objective, model, features)
    parts = [loss(objective, model, features[at : at + 2]) for at in (0, 2, 4)]
    assert (sum(part for part, _ in parts), count) == (pytest.approx(whole, rel=1e-5), 6)
    inputs = objective.collate(features, 0)
    with torch.inference_mode():
        assert float(model(**inputs).loss) * 6 == pytest.approx(whole, rel=1e-5)
        assert float(objective.loss(model, blank(inputs))[0]) == 0
    assert items(blank(inputs)) == 0


def test_rare_labels_weigh_as_much_as_frequent_ones(tmp_path: Path) -> None:
    tiny_encoders.build(tmp_path / "bert", "bert")
    recipe = Recipe("classify", class_weights="balanced")
    _, objective, model = ready(tmp_path / "bert", recipe, LABELLED, ("a", "b", "c"))
    _, plain, _ = ready(tmp_path / "bert", Recipe("classify"), LABELLED, ("a", "b", "c"))
    features = objective.features(LABELLED)
    for feature, example in zip(features, LABELLED, strict=True):
        weight = {"a": 6 / 3 / 4, "b": 6 / 3 / 1, "c": 6 / 3 / 1}[example.targets[0]]
        alone = loss(plain, model, [feature])[0]
        assert loss(objective, model, [feature])[0] == pytest.approx(weight * alone, rel=1e-5)


def test_several_labels_a_record(tmp_path: Path) -> None:
    tiny_encoders.build(tmp_path / "bert", "bert")
    examples = [
        example._replace(targets=targets)
        for example, targets in zip(
            LABELLED, [("a",), (), ("a", "b"), ("b",), ("a",), ()], strict=True
        )
    ]
    recipe = Recipe("classify", multi_label=True)
    _, objective, model = ready(tmp_path / "bert", recipe, examples, ("a", "b"))
    features = objective.features(examples)
    assert [each.labels for each in features[:3]] == [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    whole, count = loss(objective, model, features)
    assert count == 12
    inputs = objective.collate(features, 0)
    with torch.inference_mode():
        assert float(model(**inputs).loss) * 12 == pytest.approx(whole, rel=1e-5)
    sure = [[0.9 if label in each.targets else 0.1 for label in "ab"] for each in examples]
    assert objective.scores(sure, examples) == {"accuracy": 1, "f1": 1, "micro-f1": 1}


def test_what_is_too_long_is_cut_or_left_out(tiny: Build, tmp_path: Path) -> None:
    tiny_encoders.build(tmp_path / "bert", "bert")
    long = [*LABELLED[:2], LABELLED[2]._replace(source="house " * 40)]
    base, objective, _ = ready(tmp_path / "bert", Recipe("classify"), long, ("a", "b"))
    cut, count = fitted(objective, long, 24, "cut")
    assert (count, cut[2].window, len(cut[2].ids)) == (1, 24, 24)
    assert cut[2].ids[-1] == base.tokenizer.sep_token_id
    left, count = fitted(objective, long, 24, "skip")
    assert (count, [each.place for each in left]) == (1, [0, 1])
    with pytest.raises(DataError, match=r"1 of 3 records is longer .* a:3, has 4\d"):
        fitted(objective, long, 24, "fail")
    assert fitted(objective, [], 24, "fail") == ([], 0)

    recipe = Recipe("translate", source_language="en", target_language="pt")
    sources = [Example("a:1", "house " * 40, ("the",)), Example("a:2", "the", ("river " * 40,))]
    base, objective, _ = ready(tiny("nllb").folder, recipe, sources)
    whole, (cut, count) = objective.features(sources), fitted(objective, sources, 16, "cut")
    assert count == 2
    for one, other in zip(whole, cut, strict=True):
        assert max(len(other.ids), len(other.labels)) == 16 == other.window
        assert (one.ids[:3], one.ids[-1]) == (other.ids[:3], other.ids[-1])
        assert (one.labels[0], one.labels[-1]) == (other.labels[0], other.labels[-1])

    asked = [Example("a:1", "house " * 40, ("the river",))]
    _, objective, _ = ready(tiny_decoders.gpt2(tmp_path / "gpt2"), Recipe("generate"), asked)
    (whole,), ((kept,), _) = objective.features(asked), fitted(objective, asked, 16, "cut")
    assert (kept.ids, kept.labels) == (whole.ids[-16:], whole.labels[-16:])
    assert kept.labels[-1] == whole.ids[-1]
