"""Models from the Hub: pinned, verified, offline. Real client, local hub."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from hub_server import Hub, point_at
from nlpcli import registry, store
from nlpcli.errors import ExitCode, ModelError
from nlpcli.registry import Source

CONFIG = json.dumps({"model_type": "marian"}).encode()
REPOSITORY = "acme/tiny"


def safetensors(*values: float) -> bytes:
    header = {"w": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, 4 * len(values)]}}
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + struct.pack(f"<{len(values)}f", *values)


FILES = {
    "config.json": CONFIG,
    "model.safetensors": safetensors(1, 2),
    "source.spm": b"spm",
    "vocab.json": b"{}",
    "pytorch_model.bin": b"not wanted",
    "tf_model.h5": b"not wanted",
    "flax_model.msgpack": b"not wanted",
    "modeling_tiny.py": b"raise SystemExit",
    "onnx/model.onnx": b"not wanted",
    "onnx/config.json": b"{}",
    "README.md": b"# tiny",
}
WANTED = ["config.json", "model.safetensors", "source.spm", "vocab.json"]


def fetch(name: str = REPOSITORY, **options: Any) -> registry.LocalModel:
    return store.fetch(registry.find(name).spec, **options)


def test_only_what_is_needed_comes_and_is_pinned(
    hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    commit = hub.push(REPOSITORY, FILES)
    model = fetch()
    assert sorted(hub.downloads()) == WANTED
    assert sorted(os.listdir(model.folder)) == WANTED
    assert model.spec.architecture == "marian"
    assert model.spec.tasks == ("translate",)
    assert model.spec.licence == "apache-2.0"
    pin = registry.read_entry(REPOSITORY)["pin"]
    assert pin["commit"] == commit
    assert sorted(pin["files"]) == WANTED
    assert capfd.readouterr() == ("", "")


def test_a_pinned_model_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.push(REPOSITORY, FILES)
    first = fetch()
    hub.push(REPOSITORY, {**FILES, "config.json": b"{}"})
    seen = len(hub.requests)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    assert fetch().folder == first.folder
    assert fetch(offline=True).folder == first.folder
    assert len(hub.requests) == seen
    assert store.locate(registry.find(REPOSITORY).spec) == first.folder


def test_an_emptied_cache_is_filled_with_the_pinned_commit(hub: Hub, home: Path) -> None:
    hub.push(REPOSITORY, FILES)
    first = fetch()
    hub.push(REPOSITORY, {**FILES, "config.json": b'{"newer": 1}'})
    shutil.rmtree(home / "huggingface" / "hub")
    assert fetch().folder == first.folder
    assert (first.folder / "config.json").read_bytes() == CONFIG


def test_other_content_for_the_pinned_commit_is_refused(hub: Hub, home: Path) -> None:
    commit = hub.push(REPOSITORY, FILES)
    fetch()
    hub.commits[REPOSITORY, commit]["model.safetensors"] = safetensors(3, 4)
    shutil.rmtree(home / "huggingface" / "hub")
    with pytest.raises(ModelError, match=r"model\.safetensors .* not the file that was pinned"):
        fetch()
    with pytest.raises(ModelError, match="not the file that was pinned"):
        fetch()


def test_a_file_changed_in_the_cache_is_refused_until_pulled_again(hub: Hub) -> None:
    hub.push(REPOSITORY, FILES)
    weights = fetch().folder / "model.safetensors"
    weights.resolve().write_bytes(safetensors(5, 6))
    with pytest.raises(ModelError, match=r"model\.safetensors is not the file") as caught:
        fetch()
    assert caught.value.code == ExitCode.MODEL
    assert f"models pull {REPOSITORY}" in caught.value.hint
    assert store.verify(registry.find(REPOSITORY).spec) == ["model.safetensors"]
    store.pull(registry.find(REPOSITORY).spec)
    assert weights.read_bytes() == FILES["model.safetensors"]
    assert store.verify(registry.find(REPOSITORY).spec) == []


@pytest.mark.parametrize("variable", ["", "NLPCLI_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_opens_no_socket(hub: Hub, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    hub.push(REPOSITORY, FILES)
    if variable:
        monkeypatch.setenv(variable, "1")
    with pytest.raises(ModelError, match="not on this machine") as caught:
        fetch(offline=not variable)
    assert f"nlpcli models pull {REPOSITORY}" in caught.value.hint
    assert hub.requests == []


def test_offline_takes_what_another_program_left_in_the_cache(hub: Hub) -> None:
    from huggingface_hub import snapshot_download

    commit = hub.push(REPOSITORY, FILES)
    snapshot_download(REPOSITORY, endpoint=hub.url)
    seen = len(hub.requests)
    model = fetch(offline=True)
    assert model.folder.name == commit
    assert len(hub.requests) == seen
    assert sorted(registry.read_entry(REPOSITORY)["pin"]["files"]) == WANTED


def test_what_another_program_left_is_completed_and_outlives_its_removal(hub: Hub) -> None:
    from huggingface_hub import snapshot_download

    hub.push(REPOSITORY, FILES)
    some = ["config.json", "model.safetensors"]
    left = Path(snapshot_download(REPOSITORY, endpoint=hub.url, allow_patterns=some))
    with pytest.raises(ModelError, match="not on this machine"):
        fetch(offline=True)
    snapshot_download(REPOSITORY, endpoint=hub.url, allow_patterns=[*some, "source.spm"])
    assert fetch(offline=True).folder == left
    head = hub.heads.pop(REPOSITORY)
    assert fetch().folder == left, "what is here serves where the Hub does not answer"
    hub.heads[REPOSITORY] = head
    hub.push(REPOSITORY, {**FILES, "config.json": b"{}"})
    assert fetch().folder == left
    assert sorted(os.listdir(left)) == WANTED
    seen = len(hub.requests)
    assert fetch().folder == left
    assert len(hub.requests) == seen
    assert store.remove(REPOSITORY)
    assert registry.read_entry(REPOSITORY) == {}
    assert sorted(os.listdir(left)) == WANTED


def test_an_adopted_file_that_changed_is_refused_and_left_alone(hub: Hub) -> None:
    from huggingface_hub import snapshot_download

    hub.push(REPOSITORY, FILES)
    left = Path(snapshot_download(REPOSITORY, endpoint=hub.url))
    fetch(offline=True)
    shutil.rmtree(left)
    left.mkdir()
    for name in WANTED:
        (left / name).write_bytes(b"other")
    with pytest.raises(ModelError, match="not the file"):
        fetch(offline=True)
    assert sorted(os.listdir(left)) == WANTED


def test_a_second_repository_serves_where_the_first_fails(hub: Hub) -> None:
    hub.push("acme/mirror", FILES)
    sources = (Source("hub", "acme/gone", "main"), Source("hub", "acme/mirror", "main"))
    spec = registry.on_hub("acme/gone")._replace(sources=sources)
    model = store.fetch(spec)
    assert registry.read_entry("acme/gone")["pin"]["repository"] == "acme/mirror"
    assert store.fetch(spec, offline=True).folder == model.folder


def test_a_private_repository_needs_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.push(REPOSITORY, FILES)
    hub.private[REPOSITORY] = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ModelError, match="gated, private, or no such") as caught:
        fetch()
    assert "HF_TOKEN" in caught.value.hint
    assert "hf_wrong" not in caught.value.message + caught.value.hint
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert fetch().folder.is_dir()
    assert "hf_secret" not in registry.entry_file(REPOSITORY).read_text()


def test_a_new_version_keeps_the_pin(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.push(REPOSITORY, FILES)
    first = fetch()
    monkeypatch.setattr("nlpcli.store.hub.__version__", "9.9")
    monkeypatch.setattr("nlpcli.registry.files.__version__", "9.9")
    assert fetch(offline=True).folder == first.folder
    assert registry.read_entry(REPOSITORY)["nlpcli"] == "9.9"
    os.utime(first.folder / "config.json", (1, 1))
    assert fetch(offline=True).folder == first.folder
    assert registry.read_entry(REPOSITORY)["pin"]["files"]["config.json"][2] == 10**9


def test_no_such_repository(hub: Hub) -> None:
    with pytest.raises(ModelError, match="no such repository"):
        fetch()


def test_no_such_revision(hub: Hub) -> None:
    hub.push(REPOSITORY, FILES)
    spec = registry.on_hub(REPOSITORY, "v9")
    with pytest.raises(ModelError, match="no revision v9"):
        store.fetch(spec)


def test_an_unreachable_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at("http://me:pass@127.0.0.1:9", monkeypatch)
    with pytest.raises(ModelError, match="cannot be downloaded from") as caught:
        fetch()
    assert "refused" in caught.value.message
    assert "pass" not in caught.value.message
    assert "\n" not in caught.value.message


def test_no_weights(hub: Hub) -> None:
    hub.push(REPOSITORY, {"config.json": CONFIG, "tf_model.h5": b""})
    with pytest.raises(ModelError, match="no weights that nlpcli reads"):
        fetch()


def test_sharded_weights(hub: Hub) -> None:
    index = {"metadata": {}, "weight_map": {}}
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    shards = {name: safetensors(1) for name in names}
    hub.push(
        REPOSITORY,
        {"config.json": CONFIG, "model.safetensors.index.json": json.dumps(index).encode()}
        | shards
        | {f"pytorch_model-0000{n}-of-00002.bin": b"" for n in (1, 2)},
    )
    assert sorted(os.listdir(fetch().folder)) == sorted(
        ["config.json", "model.safetensors.index.json", *names]
    )


def test_remove_deletes_the_pin_and_the_revision(hub: Hub, home: Path) -> None:
    hub.push(REPOSITORY, FILES)
    model = fetch()
    assert store.remove(model.spec.name)
    assert not model.folder.exists()
    assert registry.read_entry(REPOSITORY) == {}
    assert not store.remove(model.spec.name)


def gguf(architecture: bytes, content: bytes) -> bytes:
    """The beginning of a GGUF file, as its specification lays it out."""
    key = b"general.architecture"
    lengths = [len(each).to_bytes(8, "little") for each in (key, architecture)]
    kind = (8).to_bytes(4, "little")
    head = b"GGUF\3\0\0\0" + bytes(16) + lengths[0] + key + kind + lengths[1] + architecture
    return head + content


GGUFS = {
    "README.md": b"# tiny",
    "config.json": b'{"model_type": "llama"}',
    "mmproj-f16.gguf": b"not wanted",
    "tiny-Q4_K_M.gguf": gguf(b"llama", b"4m"),
    "tiny-Q4_K_S.gguf": gguf(b"llama", b"4s"),
    "tiny-Q8_0-00001-of-00002.gguf": gguf(b"llama", b"8a"),
    "tiny-Q8_0-00002-of-00002.gguf": gguf(b"llama", b"8b"),
}


@pytest.mark.parametrize(
    "choice, files",
    [
        ("Q4_K_M", ["tiny-Q4_K_M.gguf"]),
        ("q4_k_s", ["tiny-Q4_K_S.gguf"]),
        ("tiny-Q4_K_M.gguf", ["tiny-Q4_K_M.gguf"]),
        ("Q8_0", ["tiny-Q8_0-00001-of-00002.gguf", "tiny-Q8_0-00002-of-00002.gguf"]),
    ],
)
def test_one_of_several_gguf_models(hub: Hub, choice: str, files: list[str]) -> None:
    hub.push(REPOSITORY, GGUFS)
    name = f"{REPOSITORY}:{choice}"
    model = fetch(name)
    assert sorted(hub.downloads()) == files
    assert model.folder.name == files[0]
    assert model.folder.read_bytes() == GGUFS[files[0]]
    assert (model.spec.format, model.spec.architecture) == ("gguf", "llama")
    assert "generate" in model.spec.tasks
    assert registry.find(name).origin == "hub"
    assert name in registry.pulled_names()
    assert fetch(name, offline=True) == model
    assert store.verify(registry.find(name).spec) == []


def test_two_gguf_models_of_one_repository_do_not_mix(hub: Hub) -> None:
    hub.push(REPOSITORY, GGUFS)
    names = [f"{REPOSITORY}:Q4_K_M", f"{REPOSITORY}:Q4_K_S"]
    assert [fetch(name).folder.name[-6] for name in names] == ["M", "S"]
    assert store.remove(names[0])
    assert fetch(names[1], offline=True).folder.read_bytes().endswith(b"4s")
    with pytest.raises(ModelError, match="not on this machine"):
        fetch(names[0], offline=True) if store.remove(names[1]) else None


def test_a_gguf_model_must_be_chosen_where_there_are_several(hub: Hub) -> None:
    hub.push(REPOSITORY, GGUFS)
    for name, message in (
        (REPOSITORY, "acme/tiny: several GGUF models"),
        (f"{REPOSITORY}:Q5_0", "acme/tiny: Q5_0: no such GGUF model"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            fetch(name)
        assert "tiny-Q4_K_M.gguf, tiny-Q4_K_S.gguf, tiny-Q8_0-00001" in caught.value.hint
    assert hub.downloads() == []


def test_a_gguf_model_alone_is_taken(hub: Hub) -> None:
    hub.push(REPOSITORY, {"README.md": b"", "tiny.gguf": gguf(b"qwen2", b"x")})
    model = fetch()
    assert (model.folder.name, model.spec.format) == ("tiny.gguf", "gguf")
    assert registry.find(REPOSITORY).spec.architecture == "qwen2"
    assert fetch(offline=True) == model


def test_safetensors_go_before_gguf(hub: Hub) -> None:
    hub.push(REPOSITORY, {**FILES, "tiny.gguf": gguf(b"llama", b"x")})
    assert fetch().spec.format == "transformers"
    assert "tiny.gguf" not in hub.downloads()
    assert fetch(f"{REPOSITORY}:tiny.gguf").spec.format == "gguf"
