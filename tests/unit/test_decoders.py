"""Language models through ct2 and torch: the tokens of transformers' own `generate`, whatever the
batch, and probabilities that are its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tiny_decoders
import tiny_models
from nlpcli.backends import Decoding, LanguageModel, Message, Request
from nlpcli.backends.ct2.convert import convert, quiet
from nlpcli.backends.ct2.decoder import Decoder as CTranslate2
from nlpcli.backends.torch.decoder import Decoder as Torch
from nlpcli.device import Device
from nlpcli.errors import DataError, ModelError, UsageError
from nlpcli.registry import LocalModel, ModelSpec

CPU = Device("cpu", dtype="float32", threads=2)
FAMILIES = list(tiny_decoders.FAMILIES)
SIDES = ["ct2", "torch"]
TOKENS = 12
Build = Callable[[str], LocalModel]

LINES = tiny_models.sentences(14, seed=9)
REQUESTS = [
    Request("The"),
    Request("é"),
    *(Request(line) for line in LINES[:6]),
    *(Request("", messages=(Message("user", line),)) for line in LINES[6:]),
]


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Build:
    root = tmp_path_factory.mktemp("decoders")

    def build(name: str) -> LocalModel:
        folder: Path = root / name
        if not folder.exists():
            tiny_decoders.FAMILIES[name](folder)
        return LocalModel(ModelSpec(name, (), "transformers", ()), folder)

    return build


@cache
def load(side: str, name: str, build: Build, dtype: str = "float32") -> LanguageModel:
    kind = CTranslate2 if side == "ct2" else Torch
    return kind(build(name), CPU._replace(dtype=dtype))


@cache
def reference(name: str, build: Build) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        folder = build(name).folder
        return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(
            folder
        ).eval()


def prompt_ids(tokenizer: Any, request: Request) -> list[int]:
    if request.messages and tokenizer.chat_template:
        turns = [message._asdict() for message in request.messages]
        found = tokenizer.apply_chat_template(turns, add_generation_prompt=True)
        return list(found["input_ids"])
    text = "\n\n".join(m.content for m in request.messages) if request.messages else request.text
    return list(tokenizer(text)["input_ids"])


def texts(backend: LanguageModel, decoding: Decoding, requests: Any = REQUESTS) -> list[str]:
    return [result.text for result in backend.run(requests, decoding)]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tokens_of_generate(name: str, decoder: Build, shared_cache: Any) -> None:
    import torch

    tokenizer, model = reference(name, decoder)
    expected = []
    for request in REQUESTS:
        ids = torch.tensor([prompt_ids(tokenizer, request)])
        with quiet(), torch.inference_mode():
            out = model.generate(
                ids, max_new_tokens=TOKENS, do_sample=False, attention_mask=torch.ones_like(ids)
            )
            logits = model(out[:, :-1]).logits[0, ids.shape[1] - 1 :]
        tokens = out[0, ids.shape[1] :]
        own = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        expected.append((text, len(tokens), own.mean().item()))
    for side in SIDES:
        backend = load(side, name, decoder)
        for size in (1, 3, 32):
            decoding = Decoding(max_tokens=TOKENS, batch_size=size, scores=size == 3)
            found = backend.run(REQUESTS, decoding)
            for result, (text, count, score) in zip(found, expected, strict=True):
                assert (result.text, result.hypotheses[0].tokens) == (text, count), (side, size)
                if size == 3:
                    assert result.hypotheses[0].score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_int8_does_not_depend_on_the_batch(name: str, decoder: Build, shared_cache: Any) -> None:
    backend = load("ct2", name, decoder, "int8")
    expected = texts(backend, Decoding(max_tokens=TOKENS, batch_size=1))
    for size in (2, 5, 0):
        assert texts(backend, Decoding(max_tokens=TOKENS, batch_size=size)) == expected
    assert texts(backend, Decoding(max_tokens=TOKENS), REQUESTS[::-1]) == expected[::-1]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["qwen2", "mistral"])
def test_log_probabilities(side: str, name: str, decoder: Build, shared_cache: Any) -> None:
    import torch

    tokenizer, model = reference(name, decoder)
    found = load(side, name, decoder).run(REQUESTS, Decoding(max_tokens=8, logprobs=3))
    for request, result in zip(REQUESTS, found, strict=True):
        hypothesis = result.hypotheses[0]
        assert "".join(token.text for token in hypothesis.logprobs) == hypothesis.text
        ids = prompt_ids(tokenizer, request)
        for token in hypothesis.logprobs:
            every = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            best = every.topk(3)
            assert token.logprob == pytest.approx(best.values[0].item(), abs=1e-4)
            assert [value for _, value in token.top] == pytest.approx(
                best.values.tolist(), abs=1e-4
            )
            ids = [*ids, int(best.indices[0])]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_likelihoods(side: str, name: str, decoder: Build, shared_cache: Any) -> None:
    import torch

    tokenizer, model = reference(name, decoder)
    endings = [" river", " the old house", "?"]
    found = load(side, name, decoder).likelihoods(REQUESTS, endings)
    assert load(side, name, decoder).likelihoods(REQUESTS[:1], endings)[0] == pytest.approx(
        found[0], abs=1e-4
    )
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
    for request, values in zip(REQUESTS, found, strict=True):
        ids = prompt_ids(tokenizer, request)
        for ending, value in zip(endings, values, strict=True):
            tail = tokenizer("\n" + ending, add_special_tokens=False)["input_ids"][len(newline) :]
            every = model(torch.tensor([ids + tail])).logits[0].log_softmax(-1)
            total = sum(float(every[len(ids) + k - 1, t]) for k, t in enumerate(tail))
            assert value == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["qwen3", "gemma"])
def test_streaming_equals_run(side: str, name: str, decoder: Build, shared_cache: Any) -> None:
    backend = load(side, name, decoder)
    for decoding in (Decoding(max_tokens=TOKENS), Decoding(max_tokens=TOKENS, stop=("e", "iñ"))):
        for request, result in zip(REQUESTS, backend.run(REQUESTS, decoding), strict=True):
            deltas = list(backend.stream(request, decoding))
            assert "".join(delta.text for delta in deltas) == result.text
            assert deltas[-1].finish == result.hypotheses[0].finish
            assert all(not delta.finish for delta in deltas[:-1])


@pytest.mark.parametrize("side", SIDES)
def test_a_stream_can_be_left(side: str, decoder: Build, shared_cache: Any) -> None:
    backend = load(side, "qwen2", decoder)
    long = Decoding(max_tokens=200)
    request = next(r for r in REQUESTS if backend.run([r], long)[0].hypotheses[0].tokens > 20)
    stream = backend.stream(request, long)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert texts(backend, Decoding(max_tokens=3), [request])


def test_an_interrupt_does_not_wait_for_the_batch(decoder: Build, shared_cache: Any) -> None:
    model = load("ct2", "llama", decoder)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        many = [request for request in REQUESTS if request.text][:4] * 2000
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            model.run(many, Decoding())
        begun = time.monotonic()
        model.close()
        assert time.monotonic() - begun < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("side", SIDES)
def test_stop_strings_across_tokens(side: str, decoder: Build, shared_cache: Any) -> None:
    backend = load(side, "llama", decoder)
    plain = backend.run(REQUESTS, Decoding(max_tokens=24))
    cut = 0
    for request, result in zip(REQUESTS, plain, strict=True):
        if len(result.text) < 8:
            continue
        stop = result.text[3:7]  # begins and ends in the middle of tokens
        for others in ([], [REQUESTS[0]] * 4):
            found = backend.run([request, *others], Decoding(max_tokens=24, stop=(stop, "zzz")))[0]
            assert found.text == result.text[: result.text.index(stop)]
            assert found.hypotheses[0].finish == "stop"
            assert found.hypotheses[0].tokens <= result.hypotheses[0].tokens
            cut += found.hypotheses[0].tokens < result.hypotheses[0].tokens
    assert cut > 4


@pytest.mark.parametrize("side", SIDES)
def test_sampling_is_repeatable(side: str, decoder: Build, shared_cache: Any) -> None:
    backend = load(side, "qwen2", decoder)
    seeded = [request._replace(seed=100 + i) for i, request in enumerate(REQUESTS)]
    decoding = Decoding(max_tokens=8, temperature=1.0, top_p=0.9, top_k=50, nbest=3)
    first = backend.run(seeded, decoding)
    assert backend.run(seeded, decoding) == first
    other = [request._replace(seed=request.seed + 50) for request in seeded]
    assert backend.run(other, decoding) != first
    assert all(len(result.hypotheses) == 3 for result in first)


def test_a_sample_depends_on_its_seed_alone(decoder: Build, shared_cache: Any) -> None:
    backend = load("torch", "qwen2", decoder)
    seeded = [request._replace(seed=7 * i) for i, request in enumerate(REQUESTS)]
    decoding = Decoding(max_tokens=8, temperature=0.8, batch_size=32)
    together = texts(backend, decoding, seeded)
    assert texts(backend, decoding._replace(batch_size=1), seeded) == together
    assert texts(backend, decoding, seeded[::-1]) == together[::-1]
    several = backend.run(seeded[:1], decoding._replace(nbest=3))[0].hypotheses
    singles = [seeded[0]._replace(seed=seeded[0].seed + k) for k in range(3)]
    assert [each.text for each in several] == texts(backend, decoding, singles)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["gpt2", "qwen2"])
def test_the_window_holds(side: str, name: str, decoder: Build, shared_cache: Any) -> None:
    backend = load(side, name, decoder)
    assert backend.window == 256
    long = Request("river " * 400)
    found = backend.run([long, REQUESTS[0]], Decoding(max_tokens=4))
    assert found[0].hypotheses == ()
    assert "does not fit the model's window of 256" in found[0].error
    assert found[1].text == texts(backend, Decoding(max_tokens=4), REQUESTS[:1])[0]
    with pytest.raises(DataError, match="window"):
        next(backend.stream(long, Decoding()))
    count = 250 - backend.measure("")
    near = Request("7" * (count - 2))
    assert 200 < backend.measure(near.text) < 256
    hypothesis = backend.run([near], Decoding())[0].hypotheses[0]
    assert hypothesis.tokens + backend.measure(near.text) <= 256


@pytest.mark.parametrize("side", SIDES)
def test_what_cannot_be(side: str, decoder: Build, shared_cache: Any) -> None:
    backend = load(side, "gpt2", decoder)
    assert not backend.chat
    assert load(side, "llama", decoder).chat
    assert backend.run([], Decoding()) == []
    with pytest.raises(UsageError, match="sampling"):
        backend.run(REQUESTS, Decoding(nbest=2))
    with pytest.raises(UsageError, match="beam"):
        backend.run(REQUESTS, Decoding(beam=4))
    gemma = load(side, "gemma", decoder)
    twice = Request("", messages=(Message("user", "a"), Message("user", "b")))
    assert "chat template refuses" in gemma.run([twice], Decoding(max_tokens=2))[0].error


def test_other_probabilities_are_refused(
    decoder: Build, shared_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nlpcli.backends.ct2 import make_decoder

    monkeypatch.setattr(make_decoder, "_compare", lambda *_: (0.3, 0.0))
    model = decoder("llama")
    other = model._replace(spec=model.spec._replace(name="other"))
    with pytest.raises(ModelError, match="different"):
        convert(other, "float32")
    monkeypatch.setattr(make_decoder, "_compare", lambda *_: (0.5, 0.0))
    with pytest.raises(ModelError, match="different"):
        convert(other, "int8")  # refused, and so is float32


def test_runs_without_torch(decoder: Build, shared_cache: Any) -> None:
    convert(decoder("mistral"), "float32")
    code = (
        "import sys; from pathlib import Path\n"
        "from nlpcli.backends import Decoding, Message, Request\n"
        "from nlpcli.backends.choice import load\n"
        "from nlpcli.device import Device; from nlpcli.registry import *\n"
        "spec = ModelSpec('mistral', (), 'transformers', ())\n"
        f"model = LocalModel(spec, Path({str(decoder('mistral').folder)!r}))\n"
        "ct2 = load('ct2', model, Device('cpu'))\n"
        "request = Request('', messages=(Message('user', 'The river.'),))\n"
        "assert ct2.run([request], Decoding(max_tokens=4, scores=True))[0].text\n"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""
