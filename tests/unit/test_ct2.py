"""The ct2 backend: the answers of the torch backend and of transformers' own `generate`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import tiny_models
from nlpcli.backends import Backend, Decoding, Request
from nlpcli.backends.ct2.convert import convert, quiet
from nlpcli.backends.ct2.seq2seq import CTranslate2
from nlpcli.backends.torch.seq2seq import Torch
from nlpcli.device import Device
from nlpcli.errors import DataError, ModelError, UsageError
from nlpcli.registry import LocalModel, ModelSpec

CPU = Device("cpu", dtype="float32", threads=2)
TEXTS = [*tiny_models.sentences(32, seed=5), ""]
FAMILIES = list(tiny_models.FAMILIES)
OPTIONS = [{}, {"beam": 3}, {"beam": 1, "max_tokens": 6}, {"beam": 1, "no_repeat_ngram": 2}]
Build = Callable[[str], LocalModel]


@pytest.fixture(params=FAMILIES)
def both(request: pytest.FixtureRequest, tiny: Build, shared_cache: Any) -> tuple[Backend, Backend]:
    return _both(request.param, tiny)


@cache
def _both(name: str, tiny: Build) -> tuple[Backend, Backend]:
    return CTranslate2(tiny(name), CPU), Torch(tiny(name), CPU)


def requests(texts: list[str] = TEXTS) -> list[Request]:
    return [Request(text, "en", "pt") for text in texts]


def outputs(backend: Backend, decoding: Decoding, texts: list[str] = TEXTS) -> list[list[str]]:
    found = backend.run(requests(texts), decoding)
    return [[hypothesis.text for hypothesis in result.hypotheses] for result in found]


@pytest.mark.parametrize("beam", [1, 4])
def test_the_same_answers_as_torch(both: tuple[Backend, Backend], beam: int) -> None:
    ct2, torch = both
    decoding = Decoding(beam=beam, nbest=min(beam, 2), scores=True)
    ours, theirs = ct2.run(requests(), decoding), torch.run(requests(), decoding)
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one.hypotheses, other.hypotheses, strict=True):
            assert (a.text, a.tokens) == (b.text, b.tokens)
            assert a.score == pytest.approx(b.score, abs=1e-4)


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("side", [0, 1])
def test_the_batch_does_not_matter(both: tuple[Backend, Backend], side: int, beam: int) -> None:
    texts = TEXTS if side == 0 else TEXTS[-14:]
    expected = outputs(both[side], Decoding(beam=beam, batch_size=1), texts)
    for size in (3, 32, 0):
        assert outputs(both[side], Decoding(beam=beam, batch_size=size), texts) == expected


@pytest.mark.parametrize("options", OPTIONS)
def test_the_same_answers_under_options(
    both: tuple[Backend, Backend], options: dict[str, Any]
) -> None:
    decoding = Decoding(scores=True, **options)
    for a, b in zip(*(backend.run(requests(), decoding) for backend in both), strict=True):
        assert a.text == b.text
        assert a.hypotheses[0].score == pytest.approx(b.hypotheses[0].score, abs=1e-4)
        assert a.hypotheses[0].tokens <= options.get("max_tokens", 999)


LANGUAGES = {
    "m2m100": ("en", "pt", "__pt__"),
    "nllb": ("eng_Latn", "por_Latn", "por_Latn"),
    "mbart": ("en_XX", "pt_XX", "pt_XX"),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("beam", [1, 4])
def test_the_same_answers_as_generate(name: str, beam: int, tiny: Build, shared_cache: Any) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    options: dict[str, Any] = {"num_beams": beam}
    if beam > 1:
        options |= {"early_stopping": True, "renormalize_logits": True}
    prefix = "translate English to Portuguese: " if name == "t5" else ""
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(tiny(name).folder)
        model = AutoModelForSeq2SeqLM.from_pretrained(tiny(name).folder).eval()
        if name in LANGUAGES:
            tokenizer.src_lang, _, target = LANGUAGES[name]
            options["forced_bos_token_id"] = (
                tokenizer.get_lang_id("pt") if name == "m2m100" else tokenizer.vocab[target]
            )
            if beam > 1:  # ours rules empty outputs out after a forced token
                options["min_length"] = 3
        expected = []
        for text in TEXTS[:8]:
            ids = model.generate(**tokenizer(prefix + text, return_tensors="pt"), **options)[0]
            skip = 2 if name in LANGUAGES else 1
            expected.append([tokenizer.decode(ids[skip:], skip_special_tokens=True)])
    ct2, _ = _both(name, tiny)
    assert outputs(ct2, Decoding(beam=beam), TEXTS[:8]) == expected


def test_default_beam_is_the_models_own(tiny: Build, shared_cache: Any) -> None:
    for backend in _both("marian", tiny):
        assert outputs(backend, Decoding()) == outputs(backend, Decoding(beam=4))
    for backend in _both("t5", tiny):
        assert outputs(backend, Decoding()) == outputs(backend, Decoding(beam=1))


def test_nbest_is_sorted_and_distinct(both: tuple[Backend, Backend]) -> None:
    found = both[0].run(requests(TEXTS[:5]), Decoding(beam=4, nbest=4, scores=True))
    assert all(len(result.hypotheses) == 4 for result in found)
    with pytest.raises(UsageError, match="beam of 2"):
        both[0].run(requests(), Decoding(beam=2, nbest=3))


@pytest.mark.parametrize("side", [0, 1])
def test_targets_may_be_mixed(side: int, tiny: Build, shared_cache: Any) -> None:
    for name in ("nllb", "m2m100", "mbart", "many-targets", "madlad"):
        backend = _both(name, tiny)[side]
        mixed = [Request(TEXTS[i], "en", ("pt", "de")[i % 2]) for i in range(6)]
        found = [result.text for result in backend.run(mixed, Decoding())]
        assert found == [backend.run([one], Decoding())[0].text for one in mixed]
        other = [Request(TEXTS[i], "en", ("de", "pt")[i % 2]) for i in range(6)]
        assert found != [result.text for result in backend.run(other, Decoding())]


@pytest.mark.parametrize("name", ["many-targets", "madlad"])
def test_targets_named_in_the_source(name: str, tiny: Build, shared_cache: Any) -> None:
    ct2, torch = _both(name, tiny)
    mark = ">>deu<<" if name == "many-targets" else "<2de>"
    by_hand = [Request(f"{mark} {text}") for text in TEXTS[:8]]
    by_tag = [Request(text, None, "de") for text in TEXTS[:8]]
    expected = [result.text for result in torch.run(by_tag, Decoding(beam=4))]
    assert [result.text for result in ct2.run(by_tag, Decoding(beam=4))] == expected
    assert [result.text for result in ct2.run(by_hand, Decoding(beam=4))] == expected


def test_languages_that_are_missing(tiny: Build, shared_cache: Any) -> None:
    for backend in _both("nllb", tiny):
        with pytest.raises(UsageError, match="Welsh"):
            backend.run([Request("Hello", "en", "cy")], Decoding())
        with pytest.raises(UsageError, match="must be told"):
            backend.run([Request("Hello", None, "pt")], Decoding())


def test_nothing_is_cut(both: tuple[Backend, Backend]) -> None:
    for backend in both:
        text = "river " * 400
        assert backend.measure(text) > backend.window
        with pytest.raises(DataError, match="window"):
            backend.run([Request(text, "en", "pt")], Decoding())
        fitting = "a" + " a" * 10
        assert backend.measure(fitting) <= backend.window
        assert backend.run([], Decoding()) == []


def test_a_converted_folder_runs_as_it_is(tiny: Build, shared_cache: Any, tmp_path: Any) -> None:
    folder = convert(tiny("marian"), "float32")
    spec = ModelSpec("converted", ("translate",), "ct2", ())
    backend = CTranslate2(LocalModel(spec, folder), CPU)
    assert outputs(backend, Decoding()) == outputs(_both("marian", tiny)[0], Decoding())
    backend.close()
    with pytest.raises(ModelError, match=r"recipe\.json"):
        CTranslate2(LocalModel(spec, tmp_path), CPU)


def test_runs_without_torch(tiny: Build, shared_cache: Any) -> None:
    for name in ("marian", "nllb"):
        folder = tiny(name).folder
        convert(tiny(name), "float32")
        code = (
            "import sys; from pathlib import Path\n"
            "from nlpcli.backends import Decoding, Request\n"
            "from nlpcli.backends.choice import load\n"
            "from nlpcli.device import Device; from nlpcli.registry import *\n"
            f"spec = ModelSpec({name!r}, (), 'transformers', ())\n"
            f"model = LocalModel(spec, Path({str(folder)!r}))\n"
            "ct2 = load('ct2', model, Device('cpu'))\n"
            "print(ct2.run([Request('The house.', 'en', 'pt')], Decoding(scores=True)))\n"
            "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"
        assert done.stderr == ""
