"""New vocabularies and models: laid out as published, and run by every backend as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

import tiny_models
from nlpcli.backends import Decoding, Request, choice
from nlpcli.backends.ct2.convert import quiet
from nlpcli.device import Device
from nlpcli.errors import DataError, ExitCode
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.training import scratch
from nlpcli.training import vocabulary as vocabularies
from nlpcli.training.scratch import SIZES, Size, build
from nlpcli.training.vocabulary import KINDS, vocabulary

CPU = Device("cpu", dtype="float32", threads=2)
WINDOW = 64
CODE = ["def f(x):", "\tif x:", "\t\treturn x", "        pass  # eight", "x = [1,  2]"]
SPELT_OUT = ["x<pad>y", "<pad>", "x<mask>y", "<mask>", "a</s>b <s> <unk>", "</s>", "<0x41>"]
CORPUS = [*tiny_models.sentences(), *(CODE * 20), *(SPELT_OUT * 20), "two lines\nin one text"]
TEXTS = [*tiny_models.sentences(6, seed=9), "Verse\n\tand  code", "日本 🎉 ▁ <0x41>"]
AUTO = {
    "seq2seq": "AutoModelForSeq2SeqLM",
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
}
ARCHITECTURES = {"seq2seq": "marian", "causal": "llama", "masked": "xlm-roberta"}
Made = Callable[[str], LocalModel]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The tiny model of a kind, built when first asked for."""
    root = tmp_path_factory.mktemp("scratch")

    def get(kind: str) -> LocalModel:
        if not (root / kind).exists():
            torch.manual_seed(7)
            build(kind, SIZES["tiny"], CORPUS, root / kind, window=WINDOW)
        spec = ModelSpec(kind, (), "transformers", (), architecture=ARCHITECTURES[kind])
        return LocalModel(spec, root / kind)

    return get


@cache
def tokenizer(made: Made, kind: str) -> Any:
    with quiet():
        return AutoTokenizer.from_pretrained(made(kind).folder, local_files_only=True)


@cache
def model(made: Made, kind: str) -> Any:
    """As transformers loads it, with no weight missing and none left over."""
    with quiet():
        auto = getattr(transformers, AUTO[kind])
        found, told = auto.from_pretrained(made(kind).folder, output_loading_info=True)
    assert not any(told.values())
    return found.eval()


@cache
def backend(made: Made, name: str, kind: str) -> Any:
    return choice.load(name, made(kind), CPU)


def parameters(kind: str, size: Size, window: int) -> int:
    """What the published architectures count, embeddings once."""
    width, inner = size.width, size.inner
    attention, norm = 4 * (width * width + width), 2 * width
    feed = 2 * width * inner + inner + width
    embeddings = size.vocabulary * width
    if kind == "causal":
        layer = 4 * width * width + 3 * width * inner + norm
        return embeddings + size.layers * layer + width
    if kind == "masked":
        layer = attention + feed + 2 * norm
        positions = (window + 2) * width + width + norm
        head = width * width + width + norm + size.vocabulary
        return embeddings + positions + size.layers * layer + head
    layers = size.paired or size.layers
    encoder, decoder = attention + feed + 2 * norm, 2 * attention + feed + 3 * norm
    return embeddings + layers * (encoder + decoder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SIZES)
def test_the_sizes(name: str, kind: str) -> None:
    size = SIZES[name]
    with torch.device("meta"):
        found = scratch.model(kind, size, 512, 0.1)
    learnt = sum(each.numel() for each in found.parameters() if each.requires_grad)
    assert learnt == parameters(kind, size, 512)


def test_what_the_sizes_are_meant_to_be() -> None:
    assert round(parameters("causal", SIZES["tiny"], 512) / 1e6, 1) == 1.0
    assert round(parameters("seq2seq", SIZES["small"], 512) / 1e6, 1) == 5.2
    assert parameters("seq2seq", SIZES["base"], 512) < parameters("causal", SIZES["base"], 512)
    assert all(size.width % (2 * size.heads) == 0 for size in SIZES.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_is_complete(kind: str, made: Made) -> None:
    config, words = model(made, kind).config, tokenizer(made, kind)
    assert config.model_type == ARCHITECTURES[kind]
    assert len(words) == config.vocab_size == len(set(words.get_vocab().values()))
    assert len(words) <= SIZES["tiny"].vocabulary
    assert words.model_max_length == WINDOW
    assert "token_type_ids" not in words("The river")
    for name in ("eos", "pad", "bos"):
        if (index := getattr(words, f"{name}_token_id")) is not None:
            assert getattr(config, f"{name}_token_id") == index
    assert model(made, kind).dtype == torch.float32
    embeddings = model(made, kind).get_input_embeddings().weight
    assert model(made, kind).get_output_embeddings().weight is embeddings


def test_the_tokens_of_each_family(made: Made) -> None:
    marian, llama, roberta = (tokenizer(made, kind) for kind in KINDS)
    assert marian.convert_ids_to_tokens([0, 1, len(marian) - 1]) == ["</s>", "<unk>", "<pad>"]
    assert marian("The river")["input_ids"][-1] == 0
    names = json.loads((made("seq2seq").folder / "vocab.json").read_text(encoding="utf-8"))
    assert list(names)[-1] == "<pad>"
    assert llama.convert_ids_to_tokens([0, 1, 2, 3]) == ["<unk>", "<s>", "</s>", "<pad>"]
    assert roberta.convert_ids_to_tokens([0, 1, 2, 3]) == ["<s>", "<pad>", "</s>", "<unk>"]
    assert roberta.convert_ids_to_tokens(len(roberta) - 1) == "<mask>"
    ids = roberta("The <mask> of")["input_ids"]
    assert (ids[0], ids[-1], ids.count(roberta.mask_token_id)) == (0, 2, 1)
    assert roberta("ｒｉｖｅｒ")["input_ids"] == roberta("river")["input_ids"]  # NFKC


def test_the_embeddings_of_a_marian_begin_with_nothing(made: Made) -> None:
    """Decoding starts from the padding token, a zero vector in CTranslate2."""
    weight = model(made, "seq2seq").get_input_embeddings().weight
    assert weight[-1].abs().max() == 0
    scaled = weight[:-1].std().item() * weight.shape[1] ** 0.5
    assert scaled == pytest.approx(1, abs=0.05)


@settings(max_examples=200, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    parts=st.lists(
        st.text(max_size=8)
        | st.sampled_from(["\n", "\r\n", "\t", "  ", "▁", "river", "<0x41>", "<0x", "<0xFF>", "\0"])
        | st.sampled_from(CORPUS[:20] + CODE)
    )
)
def test_a_text_comes_back_as_it_was(parts: list[str], made: Made) -> None:
    text = "".join(parts)
    words = tokenizer(made, "causal")
    ids = words(text)["input_ids"]
    assert words.decode(ids) == text
    if not any(special in text for special in words.all_special_tokens):
        assert words.decode(ids, skip_special_tokens=True) == text
        assert words.unk_token_id not in ids
    tokens = words.convert_ids_to_tokens(ids)
    assert tokens.count("\n") == text.count("\n")
    assert tokens.count("\t") == text.count("\t")


def test_spaces_share_tokens(made: Made) -> None:
    tokens = tokenizer(made, "causal").tokenize("a river\n        pass")
    assert tokens[:3] == ["a", " river", "\n"]
    assert len(tokens[3]) > 4 and tokens[3].isspace()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_built_depends_on_text_and_seed_alone(
    kind: str, made: Made, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    build(kind, SIZES["tiny"], iter(CORPUS), tmp_path / "again", window=WINDOW)
    files = {file.name: file.read_bytes() for file in made(kind).folder.iterdir()}
    assert {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()} == files
    build(kind, SIZES["tiny"], CORPUS, tmp_path / "other", window=WINDOW)
    for name, content in files.items():
        same = (tmp_path / "other" / name).read_bytes() == content
        assert same == (name != "model.safetensors")


@pytest.mark.parametrize("beam", [1, 4])
def test_an_encoder_decoder_on_both_backends(beam: int, made: Made, shared_cache: Any) -> None:
    requests = [Request(text) for text in TEXTS]
    decoding = Decoding(beam=beam, max_tokens=12, scores=True)
    sides = [backend(made, name, "seq2seq").run(requests, decoding) for name in ("ct2", "torch")]
    for ours, theirs in zip(*sides, strict=True):
        assert ours.text == theirs.text
        assert ours.hypotheses[0].score == pytest.approx(theirs.hypotheses[0].score, abs=1e-4)
    scores = {result.hypotheses[0].score for result in sides[0]}
    assert len(scores) == len(TEXTS)  # they depend on the source


def test_translations_end_and_hold_no_padding(made: Made) -> None:
    marian = model(made, "seq2seq")
    for text in TEXTS[:3]:
        inputs = tokenizer(made, "seq2seq")(text, return_tensors="pt")
        with quiet():
            ids = marian.generate(**inputs)[0].tolist()
        pad = marian.config.pad_token_id
        assert (ids[0], ids[-1], ids.count(pad)) == (pad, 0, 1)
        assert len(ids) <= WINDOW


def test_a_decoder_on_both_backends(made: Made, shared_cache: Any) -> None:
    requests = [Request(text) for text in (*TEXTS, "")]
    ct2, pytorch = (backend(made, name, "causal") for name in ("ct2", "torch"))
    assert ct2.window == pytorch.window == WINDOW
    assert not ct2.chat
    decoding = Decoding(max_tokens=12, scores=True)
    sides = ct2.run(requests, decoding), pytorch.run(requests, decoding)
    for ours, theirs in zip(*sides, strict=True):
        assert (ours.text, ours.hypotheses[0].tokens) == (theirs.text, theirs.hypotheses[0].tokens)
        assert ours.hypotheses[0].score == pytest.approx(theirs.hypotheses[0].score, abs=1e-4)
    assert len({result.text for result in sides[0]}) > 3
    ours, theirs = (each.logprobs("\n".join(TEXTS)) for each in (ct2, pytorch))
    assert len(ours) == len(theirs) > WINDOW


def test_an_output_ends_with_the_end_token(made: Made, shared_cache: Any, tmp_path: Path) -> None:
    certain = model(made, "causal")
    weights = certain.get_input_embeddings().weight
    before = weights.detach().clone()
    with torch.no_grad():
        ids = torch.tensor([tokenizer(made, "causal")("The river")["input_ids"]])
        state = certain.model(ids).last_hidden_state[0, -1]
        weights[2] = state / state.norm() * 9  # the next token, by far
    with quiet():
        certain.save_pretrained(tmp_path)
        tokenizer(made, "causal").save_pretrained(tmp_path)
    with torch.no_grad():
        weights.copy_(before)
    ended = LocalModel(made("causal").spec._replace(name="certain"), tmp_path)
    for name in ("ct2", "torch"):
        (result,) = choice.load(name, ended, CPU).run([Request("The river")], Decoding())
        assert (result.text, result.hypotheses[0].finish) == ("", "stop")
        assert result.hypotheses[0].tokens == 1


def test_an_encoder_on_both_backends(made: Made, shared_cache: Any) -> None:
    ct2, pytorch = (backend(made, name, "masked") for name in ("ct2", "torch"))
    assert choice.kind(made("masked")) == "encoder"
    assert ct2.window == pytorch.window == WINDOW - 2
    assert np.abs(ct2.embed(TEXTS) - pytorch.embed(TEXTS)).max() < 1e-5
    longest = "river " * ct2.window
    assert ct2.measure(longest) == ct2.window
    assert np.abs(ct2.embed([longest]) - pytorch.embed([longest])).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [[], [""], [" \n\t "]])
def test_no_text(kind: str, texts: list[str], tmp_path: Path, capfd: Any) -> None:
    with pytest.raises(DataError) as caught:
        build(kind, SIZES["tiny"], texts, tmp_path / "new")
    assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint
    assert caught.value.code == ExitCode.DATA
    assert not (tmp_path / "new").exists()
    assert capfd.readouterr() == ("", "")


def test_the_reason_of_sentencepiece() -> None:
    with pytest.raises(DataError, match=r"no vocabulary of this text: .*all_chars_count"):
        vocabulary(["\0"], "causal", 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_more_characters_than_tokens(kind: str) -> None:
    texts = [chr(0x4E00 + index) for index in range(2000)]
    with pytest.raises(DataError, match="vocabulary of 1000 tokens has no room") as caught:
        vocabulary(texts, kind, 1000)
    assert caught.value.hint == "choose a larger one"


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_is_enough(kind: str, tmp_path: Path, capfd: Any) -> None:
    build(kind, Size(16, 1, 2, 32, 400), ["river"], tmp_path)
    with quiet():
        words = AutoTokenizer.from_pretrained(tmp_path)
    ids = words("river")["input_ids"]
    assert words.decode(ids, skip_special_tokens=True) == "river"
    assert capfd.readouterr() == ("", "")


def test_long_lines_are_not_left_out() -> None:
    words = "x".join(f"{place:04}" for place in range(3000))
    assert len(vocabulary([words], "seq2seq", 300)) > len(vocabulary([words[:30]], "seq2seq", 300))


@given(count=st.integers(0, 60), most=st.integers(1, 40), seed=st.integers(0, 9))
def test_a_sample_of_lines(count: int, most: int, seed: int) -> None:
    lines = [str(number) for number in range(count)]
    kept = vocabularies._drawn(iter(lines), most, seed)
    assert len(kept) == min(count, most) == len(set(kept))
    assert set(kept) <= set(lines)
    assert kept == vocabularies._drawn(lines, most, seed)
    if count <= most:
        assert kept == lines


def test_each_line_is_as_likely_to_be_drawn() -> None:
    lines = list("abcdefgh")
    drawn = [line for seed in range(2000) for line in vocabularies._drawn(lines, 2, seed)]
    assert all(400 < drawn.count(line) < 600 for line in lines)


def test_a_huge_text_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = vocabulary(CORPUS, "causal", 1000)
    assert vocabulary(CORPUS, "causal", 1000, seed=2) == whole  # nothing is drawn
    monkeypatch.setattr(vocabularies, "SAMPLE_LINES", 100)
    some = vocabulary(CORPUS, "causal", 1000, seed=2)
    assert vocabulary(CORPUS, "causal", 1000, seed=2) == some
    assert len({some, whole, vocabulary(CORPUS, "causal", 1000, seed=3)}) == 3
