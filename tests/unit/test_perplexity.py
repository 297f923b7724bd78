"""Perplexity: windows that score every token once, the probabilities of a plain transformers loop,
and lines that add up to the text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_decoders
import tiny_models
from nlpcli.backends import LanguageModel, Scored
from nlpcli.backends.ct2.convert import quiet
from nlpcli.backends.ct2.decoder import Decoder as CTranslate2
from nlpcli.backends.echo import Echo
from nlpcli.backends.sliding import cut
from nlpcli.backends.torch.decoder import Decoder as Torch
from nlpcli.device import Device
from nlpcli.errors import UsageError
from nlpcli.metrics.perplexity import Perplexity
from nlpcli.metrics.significance import bootstrap
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.tasks.likelihood import lines

CPU = Device("cpu", dtype="float32", threads=2)
SIDES = ["ct2", "torch"]
Build = Callable[[str], LocalModel]

PROSE = "\n".join(tiny_models.sentences(12, seed=31)) + "\n"
MIXED = "Äpfel, 日本語 and 😀😀\n\n\n  \tπ ≈ 3.14\r\nكتاب — e\u0301nd \n of 🏳️‍🌈"


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A tiny decoder; the name of one that begins every text itself ends in +."""
    root = tmp_path_factory.mktemp("scorers")

    def build(name: str) -> LocalModel:
        folder: Path = root / name
        if not folder.exists():
            tiny_decoders.FAMILIES[name.removesuffix("+")](folder)
            if name.endswith("+"):
                _begin(folder / "tokenizer.json")
        return LocalModel(ModelSpec(name, (), "transformers", ()), folder)

    return build


def _begin(file: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer.from_file(str(file))
    first = json.loads(file.read_text(encoding="utf-8"))["added_tokens"][0]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first['content']} $A", special_tokens=[(first["content"], first["id"])]
    )
    tokenizer.save(str(file))


@cache
def load(side: str, name: str, build: Build) -> LanguageModel:
    return (CTranslate2 if side == "ct2" else Torch)(build(name), CPU)


@cache
def reference(name: str, build: Build) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        folder = build(name).folder
        model = AutoModelForCausalLM.from_pretrained(folder)
        return AutoTokenizer.from_pretrained(folder), model.eval()


def plain_loop(tokenizer: Any, model: Any, text: str, size: int, stride: int) -> list[float]:
    """The log-probabilities that the usual loop over windows finds, token by token."""
    import torch

    ids = torch.tensor([tokenizer(text)["input_ids"]], dtype=torch.long)
    total, done, found = ids.shape[1], 0, []
    for begin in range(0, total, stride):
        end = min(begin + size, total)
        inputs = ids[:, begin:end]
        targets = inputs.clone()
        targets[:, : done - begin if begin < done else 0] = -100
        with torch.inference_mode():
            logits = model(inputs).logits[0, :-1].double()
        losses = torch.nn.functional.cross_entropy(
            logits, targets[0, 1:], reduction="none", ignore_index=-100
        )
        found += (-losses[targets[0, 1:] != -100]).tolist()
        done = end
        if end == total:
            break
    return found


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["llama+", "qwen2", "gpt2", "mistral+", "gemma3"])
def test_the_probabilities_of_a_plain_loop(
    side: str, name: str, scorer: Build, shared_cache: Any
) -> None:
    tokenizer, model = reference(name, scorer)
    backend = load(side, name, scorer)
    texts = ["", "a", "The", PROSE, MIXED, MIXED + PROSE, "river " * 31, "old house\n" * 40]
    for text in texts:
        length = len(tokenizer(text)["input_ids"])
        shapes = {(256, 128), (32, 16), (16, 16), (16, 1), (7, 3), (2, 1)}
        shapes |= {(max(2, length), 1), (max(2, length // 2), max(1, length // 4))}
        for size, stride in shapes:
            if size > 256:
                continue
            found = backend.logprobs(text, size, stride)
            expected = plain_loop(tokenizer, model, text, size, stride)
            assert [each.logprob for each in found] == pytest.approx(expected, abs=1e-4)
            assert all(0 <= each.start <= each.end <= len(text) for each in found)
            if stride < size:
                assert len(found) == max(length - 1, 0)
        found = backend.logprobs(text)
        expected = plain_loop(tokenizer, model, text, backend.window, backend.window // 2)
        assert [each.logprob for each in found] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("side", SIDES)
def test_the_first_token_has_a_probability_behind_a_beginning(
    side: str, scorer: Build, shared_cache: Any
) -> None:
    text = "river"
    without = load(side, "llama", scorer).logprobs(text)
    behind = load(side, "llama+", scorer).logprobs(text)
    assert behind[0].start == 0 < without[0].start
    assert "".join(text[each.start : each.end] for each in behind) == text
    assert len(behind) == len(without) + 1


@pytest.mark.parametrize("side", SIDES)
def test_what_cannot_be(side: str, scorer: Build, shared_cache: Any) -> None:
    backend = load(side, "gpt2", scorer)
    for window, stride, word in [
        (257, 0, "2 to 256"),
        (1, 0, "window"),
        (8, 9, "1 to 8"),
        (8, -1, ""),
    ]:
        with pytest.raises(UsageError, match="stride" if stride else "window") as raised:
            backend.logprobs(PROSE, window, stride)
        assert word in f"{raised.value.message} {raised.value.hint}"


def test_a_great_window_is_scored_by_fewer_workers(
    scorer: Build, shared_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpcli.backends.ct2 import decoder

    backend = CTranslate2(scorer("qwen2"), CPU)
    many = backend.logprobs(PROSE, 32, 16)
    assert backend._loaded == 2
    monkeypatch.setattr(decoder, "_SCORED_BYTES", 1)
    few = backend.logprobs(PROSE, 32, 16)
    assert backend._loaded == 1
    assert [each[:2] for each in few] == [each[:2] for each in many]
    assert [each[2] for each in few] == pytest.approx([each[2] for each in many], abs=1e-5)


def test_echo_scores_characters() -> None:
    echo = Echo(LocalModel(ModelSpec("echo", (), "echo", ()), Path()), CPU)
    assert echo.logprobs("añb") == [Scored(1, 2, -1.0), Scored(2, 3, -1.0)]
    assert len(echo.logprobs("x" * 1000)) == 999


@given(count=st.integers(0, 200), size=st.integers(2, 60), data=st.data())
def test_every_token_is_scored_once(count: int, size: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, size))
    windows = cut(count, size, stride)
    scored = [token for each in windows for token in range(each.first, each.end)]
    expected = range(1, count) if stride < size else [t for t in range(count) if t % size]
    assert scored == list(expected)
    for place, each in enumerate(windows):
        assert each.begin == place * stride < each.first < each.end <= min(each.begin + size, count)
        if place + 1 < len(windows):
            assert each.end == each.begin + size


TOKENS = st.lists(st.tuples(st.integers(0, 40), st.floats(-30, 0)), max_size=40)


@given(text=st.text(st.sampled_from("ab\n\r\u2028é日😀"), max_size=40), made=TOKENS)
def test_lines_add_up_to_the_text(text: str, made: list[tuple[int, float]]) -> None:
    scored = [Scored(min(at, len(text)), len(text), value) for at, value in sorted(made) if text]
    rows = lines(text, scored)
    assert len(rows) == text.count("\n") + (text[-1:] not in ("", "\n"))
    assert sum(row.size for row in rows) == len(text.encode())
    assert sum(row.tokens for row in rows) == len(scored)
    assert math.fsum(row.logprob for row in rows) == pytest.approx(
        math.fsum(each.logprob for each in scored), abs=1e-9
    )
    for at, row in enumerate(rows):
        begin = sum(map(len, text.split("\n")[:at])) + at
        end = begin + len(text.split("\n")[at]) + 1
        last = at == len(rows) - 1
        own = [each for each in scored if begin <= each.start and (each.start < end or last)]
        assert row.tokens == len(own)


def test_a_token_counts_where_it_begins() -> None:
    text = "ab\n\nçd"
    scored = [Scored(1, 4, -1.0), Scored(3, 5, -2.0), Scored(4, 5, -4.0), Scored(6, 6, -8.0)]
    assert lines(text, scored) == [(-1.0, 1, 3), (-2.0, 1, 1), (-12.0, 2, 3)]
    assert lines("", []) == []
    assert lines("\n", []) == [(0.0, 0, 1)]


def test_figures() -> None:
    metric = Perplexity("64", "32", "tiny")
    rows = lines("one\ntwo\n", [Scored(1, 3, -math.log(8)), Scored(4, 8, -math.log(2))])
    sample = metric.sample(rows)
    assert sample.scores() == pytest.approx([4.0, 0.5, -math.log(16), 2])
    assert sample.by_record() == [
        pytest.approx([8.0, 0.75, -math.log(8), 1]),
        pytest.approx([2.0, 0.25, -math.log(2), 1]),
    ]
    drawn = bootstrap(sample, 64)
    assert drawn.shape == (64, 4)
    assert set(drawn[:, 0].round(6).tolist()) == {2.0, 4.0, 8.0}
    assert metric.signature.startswith("window:64|stride:32|tok:tiny|version:nlpcli-")
    assert [figure.higher for figure in metric.figures[:3]] == [False, False, True]


def test_figures_of_nothing_and_of_the_impossible() -> None:
    metric = Perplexity("64", "32", "tiny")
    nothing = metric.sample(lines("", []))
    assert [math.isnan(value) for value in nothing.scores()] == [True, True, False, False]
    unscored = metric.sample(lines("a\n", []))
    assert math.isnan(unscored.by_record()[0][0])
    impossible = metric.sample(lines("ab", [Scored(1, 2, -1e6)]))
    assert impossible.scores()[0] == math.inf
