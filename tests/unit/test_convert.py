"""Conversion to CTranslate2: once, whole, offline, and never to an int8 that changes answers."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_models
from nlpcli import notice
from nlpcli.backends import Decoding, Request, recipe
from nlpcli.backends.ct2 import int8
from nlpcli.backends.ct2.convert import REFUSED, convert
from nlpcli.backends.ct2.seq2seq import CTranslate2
from nlpcli.backends.torch.seq2seq import Torch
from nlpcli.device import Device
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec

Build = Callable[[str], LocalModel]


def _model(folder: Path, name: str = "org/tiny model") -> LocalModel:
    return LocalModel(ModelSpec(name, ("translate",), "transformers", ()), folder)


def test_is_made_once(tiny: Build, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = convert(tiny("nllb"), "float32")
    assert folder.is_relative_to(home / "cache" / "nlpcli" / "ct2")
    made = (folder / "model.bin").stat()
    told = "nlpcli: converting nllb to CTranslate2 (float32), once\n"
    assert capfd.readouterr() == ("", told)
    assert convert(tiny("nllb"), "float32") == folder
    assert (folder / "model.bin").stat() == made
    assert capfd.readouterr() == ("", "")


def test_two_processes_convert_once(tiny: Build) -> None:
    context = multiprocessing.get_context("spawn")
    model = _model(tiny("nllb").folder)
    both = [context.Process(target=convert, args=(model, "float32")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    folder = convert(model, "float32")
    assert list(folder.parent.iterdir()) == [folder]


def test_a_killed_conversion_does_no_harm(tiny: Build) -> None:
    folder = convert(tiny("bart"), "float32")
    partial = folder.with_name(f".{folder.name}.partial-1-2")
    shutil.move(folder, partial)
    (partial / recipe.FILE).write_text("{")
    assert convert(tiny("bart"), "float32") == folder
    assert recipe.read(folder).architecture == "bart"
    assert not partial.exists()


def test_another_revision_is_another_conversion(tiny: Build, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny("nllb").folder, copy)
    first = convert(_model(copy), "float32")
    settings = copy / "generation_config.json"
    changed = json.loads(settings.read_text()) | {"num_beams": 7, "max_length": 33}
    settings.write_text(json.dumps(changed))
    second = convert(_model(copy), "float32")
    assert first != second
    assert recipe.read(second).beam == 7
    assert recipe.read(second).max_length == 32


def test_opens_no_socket(tiny: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    convert(tiny("mbart"), "float32")


def test_a_good_int8_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = _model(tiny_models.nllb(tmp_path / "model", seed=11))
    folder = convert(model, "int8")
    assert recipe.read(folder).dtype == "int8"
    full = convert(model, "float32")
    assert (folder / "model.bin").stat().st_size < 0.5 * (full / "model.bin").stat().st_size
    assert "int8 would" not in capfd.readouterr().err


def test_quiet_says_nothing(
    tiny: Build, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice, "quiet", True)
    convert(tiny("nllb"), "float32")
    assert capfd.readouterr() == ("", "")


def test_a_bad_int8_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One huge weight in each row leaves a single step of int8 for all the others."""
    from safetensors.torch import load_file, save_file

    folder = tiny_models.nllb(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if "fc1.weight" in name or "v_proj.weight" in name or "out_proj.weight" in name:
            weight[:, 0] = 300.0
            weight[:, 1] = -300.0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    model = _model(folder)
    chosen = convert(model, "int8")
    assert recipe.read(chosen).dtype == "float32"
    assert chosen == convert(model, "float32")
    error = capfd.readouterr().err
    assert error.count("int8 would change its answers") == 1
    assert error.count("\n") == 3
    assert convert(model, "int8") == chosen
    assert capfd.readouterr().err == ""
    assert len(list(chosen.parent.glob(f"*-int8/{REFUSED}"))) == 1
    backend = CTranslate2(model, Device("cpu", dtype="int8", threads=1))
    assert backend.run([Request("The river.", "en", "pt")], Decoding())


def test_the_bounds_are_told_apart(tiny: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    for change, regret, refused in ((0.1, 0.01, False), (0.5, 0.01, True), (0.1, 0.5, True)):
        found = change, regret
        monkeypatch.setattr(int8, "compare", lambda *_, found=found: found)
        reason = int8.refusal(Path(), None, [], None)  # type: ignore[arg-type]
        assert bool(reason) is refused


def test_a_model_without_an_encoder_is_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=4, n_layer=1, n_head=1)).save_pretrained(
        tmp_path
    )
    for backend in (CTranslate2, Torch):
        with pytest.raises(ModelError, match="org/tiny model is not an encoder-decoder model"):
            backend(_model(tmp_path), Device("cpu"))


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "fsmt"}')
    with pytest.raises(ModelError, match="org/tiny model") as caught:
        convert(_model(tmp_path), "float32")
    assert "--backend torch" in caught.value.hint
    (tmp_path / "config.json").write_text('{"model_type": "marian"}')
    with pytest.raises(ModelError):
        convert(_model(tmp_path), "float32")
