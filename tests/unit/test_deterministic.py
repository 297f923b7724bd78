"""A deterministic device: a text gets the same answer, to the bit, whatever else is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_decoders
import tiny_encoders
import tiny_models
from nlpcli.backends import Decoding, Request, choice
from nlpcli.device import Device
from nlpcli.errors import UsageError
from nlpcli.registry import LocalModel, ModelSpec

WAYS = [("torch", "float32"), ("torch", "bfloat16"), ("ct2", "float32"), ("ct2", "int8")]
LINES = tiny_models.sentences(12, seed=8)
Run = Callable[[Any, list[Request]], list[Any]]


def translated(backend: Any, requests: list[Request]) -> list[Any]:
    return list(backend.run(requests, Decoding(beam=3, nbest=2, scores=True, batch_size=5)))


def written(backend: Any, requests: list[Request]) -> list[Any]:
    decoding = Decoding(max_tokens=8, scores=True, batch_size=5)
    likely = backend.likelihoods(requests, [" yes", " no, never"])
    return list(zip(backend.run(requests, decoding), likely, strict=True))


def classified(backend: Any, requests: list[Request]) -> list[Any]:
    vectors = backend.embed([each.text for each in requests])
    logits = backend.classify(requests, 5)
    pairs = zip(np.asarray(vectors), np.asarray(logits), strict=True)
    return [(one.tobytes(), other.tobytes()) for one, other in pairs]


CASES: dict[str, tuple[str, Callable[[Path], Path], Run]] = {
    "seq2seq": ("marian", tiny_models.marian, translated),
    "decoder": ("llama", tiny_decoders.llama, written),
    "encoder": ("bert", tiny_encoders.CLASSIFIERS["bert-moods"], classified),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LocalModel]:
    root = tmp_path_factory.mktemp("models")

    def build(case: str) -> LocalModel:
        name, make, _ = CASES[case]
        if not (root / case).exists():
            make(root / case)
        spec = ModelSpec(name, (), "transformers", (), architecture=name)
        return LocalModel(spec, root / case)

    return build


@pytest.fixture(autouse=True)
def as_before() -> Any:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("backend", "dtype"), WAYS)
@pytest.mark.parametrize("case", CASES)
def test_the_same_alone_together_and_reversed(
    built: Callable[[str], LocalModel], case: str, backend: str, dtype: str, shared_cache: Path
) -> None:
    run = CASES[case][2]
    requests = [Request(line) for line in LINES]
    answers = []
    for threads in (1, 2):
        device = Device("cpu", dtype=dtype, threads=threads, deterministic=True)
        loaded = choice.load(backend, built(case), device)
        answers.append(run(loaded, requests))
        answers.append([run(loaded, [each])[0] for each in requests])
        answers.append(run(loaded, requests[::-1])[::-1])
        loaded.close()
    assert len(set(map(str, answers[0]))) > 1  # that these models tell texts apart
    assert all(each == answers[0] for each in answers[1:])


@pytest.mark.parametrize("case", CASES)
def test_torch_computes_one_row_at_a_time_on_one_thread(
    built: Callable[[str], LocalModel], case: str
) -> None:
    device = Device("cpu", threads=2, deterministic=True)
    loaded = choice.load("torch", built(case), device)
    rows: list[int] = []
    for layer in loaded._model.modules():
        if type(layer) is torch.nn.Embedding:
            layer.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[0]))
    CASES[case][2](loaded, [Request(line) for line in LINES[:4]])
    beams = 3 if case == "seq2seq" else 1  # of one text
    assert rows and max(rows) <= beams
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    loaded.close()


def test_ct2_cannot_sample(built: Callable[[str], LocalModel], shared_cache: Path) -> None:
    device = Device("cpu", threads=1, deterministic=True)
    loaded = choice.load("ct2", built("decoder"), device)
    sampling = Decoding(max_tokens=4, temperature=0.7)
    for begin in (
        lambda: loaded.run([Request("The")], sampling),
        lambda: list(loaded.stream(Request("The"), sampling)),
    ):
        with pytest.raises(UsageError) as caught:
            begin()
        assert "--backend torch or llamacpp" in f"{caught.value.hint}"
    assert loaded.run([Request("The")], sampling._replace(temperature=0.0))
    loaded.close()


def test_every_backend_but_a_server_is_deterministic() -> None:
    lack = [n for n, entry in choice.BACKENDS.items() if "deterministic" not in entry.features]
    assert lack == ["openai"]
