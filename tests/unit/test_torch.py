"""The torch backend's own matters: quiet, dtypes, memory, bad folders. Answers: see test_ct2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tiny_models
from nlpcli.backends import Decoding, Request, recipe, tokenize
from nlpcli.backends.torch.seq2seq import Torch
from nlpcli.device import Device
from nlpcli.errors import DeviceError, ExitCode, ModelError
from nlpcli.registry import LocalModel, ModelSpec

Build = Callable[[str], LocalModel]
REQUESTS = [Request(text, "en", "pt") for text in tiny_models.sentences(4, seed=6)]


def test_says_nothing(tiny: Build) -> None:
    folders = [str(tiny(name).folder) for name in ("marian", "bart")]
    code = (
        "from pathlib import Path; from nlpcli.backends import Decoding, Request\n"
        "from nlpcli.backends.choice import load\n"
        "from nlpcli.device import Device; from nlpcli.registry import *\n"
        f"for folder in {folders!r}:\n"
        "    model = LocalModel(ModelSpec('x', (), 'transformers', ()), Path(folder))\n"
        "    backend = load('torch', model, Device('cpu', threads=1))\n"
        "    for beam in (1, 4): backend.run([Request('A house.')], Decoding(beam=beam))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_dtypes(tiny: Build, dtype: str) -> None:
    backend = Torch(tiny("nllb"), Device("cpu", dtype=dtype, threads=1))
    assert torch.get_num_threads() == 1
    assert backend._model.dtype == getattr(torch, dtype)
    found = backend.run(REQUESTS, Decoding(beam=2, scores=True))
    assert all(result.hypotheses[0].score < 0 for result in found)
    backend.close()


def test_scores_are_those_of_generate(tiny: Build) -> None:
    """The one more pass that scores an output gives what the search itself added up."""
    backend = Torch(tiny("nllb"), Device("cpu", threads=1))
    ids, frames = tokenize.sources(REQUESTS, backend._recipe, backend._tokenization, backend._ids)
    for tokens, frame, request in zip(ids, frames, REQUESTS, strict=True):
        search = recipe.search(backend._recipe, Decoding(beam=4))
        output = backend._model.generate(
            torch.tensor([[backend._ids[token] for token in tokens]]),
            generation_config=backend._config(frame.first, search),
            return_dict_in_generate=True,
            output_scores=True,
        )
        generated = output.sequences.shape[1] - 1
        total = float(output.sequences_scores[0]) * generated
        (best,) = backend.run([request], Decoding(beam=4, scores=True))[0].hypotheses
        assert best.tokens == generated - 1
        assert best.score == pytest.approx(total / best.tokens, abs=1e-4)


def test_too_little_memory(tiny: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Torch(tiny("nllb"), Device("cpu", threads=1))

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(backend._model, "generate", fail)
    with pytest.raises(DeviceError) as caught:
        backend.run(REQUESTS, Decoding())
    assert caught.value.code == ExitCode.DEVICE
    assert "--batch-size" in caught.value.hint


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    model = LocalModel(ModelSpec("x", (), "transformers", ()), tmp_path)
    with pytest.raises(ModelError):
        Torch(model, Device("cpu"))


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = tiny_models.nllb(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError):
        Torch(LocalModel(ModelSpec("x", (), "transformers", ()), folder), Device("cpu"))
