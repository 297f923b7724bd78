"""Pickled weights: made safe, never run. Real Hub client, local hub."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hub_server import Hub
from nlpcli import registry, store
from nlpcli.errors import ModelError

CONFIG = json.dumps({"model_type": "marian"}).encode()
REPOSITORY = "acme/tiny"


def fetch(name: str = REPOSITORY, **options: Any) -> registry.LocalModel:
    return store.fetch(registry.find(name).spec, **options)


def pickled(state: Any, *, legacy: bool = False) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


class Hostile:
    """Creates a file when it is unpickled carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_a_hostile_pickle_is_refused_and_never_run(hub: Hub, tmp_path: Path, kind: str) -> None:
    state = {"w": Hostile(tmp_path / "touched")}
    content = pickle.dumps(state) if kind == "plain" else pickled(state, legacy=kind == "legacy")
    hub.push(REPOSITORY, {"config.json": CONFIG, "pytorch_model.bin": content})
    with pytest.raises(ModelError, match="its weights file holds code, refused"):
        fetch()
    assert not (tmp_path / "touched").exists()
    assert registry.read_entry(REPOSITORY) == {}
    copies = registry.store_folder("x").parent
    assert not copies.exists() or list(copies.iterdir()) == []


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Marian, random weights, saved as safetensors."""
    import torch
    from transformers import MarianConfig, MarianMTModel

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        f"{side}_{what}": value
        for side in ("encoder", "decoder")
        for what, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 8))
    }
    config = MarianConfig(
        vocab_size=24,
        d_model=16,
        max_position_embeddings=32,
        pad_token_id=23,
        eos_token_id=0,
        decoder_start_token_id=23,
        **sizes,
    )
    folder = tmp_path_factory.mktemp("marian")
    MarianMTModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["zip", "legacy", "sharded"])
def test_pickled_weights_are_kept_as_safetensors_that_load_the_same(
    hub: Hub, marian: Path, kind: str
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import MarianMTModel

    original = MarianMTModel.from_pretrained(marian)
    # All the names of the tied embedding, in one memory, as the old checkpoints have them.
    state = dict(original.state_dict())
    files = {
        name: (marian / name).read_bytes() for name in ("config.json", "generation_config.json")
    }
    if kind == "sharded":
        shards = (dict(list(state.items())[::2]), dict(list(state.items())[1::2]))
        parts = {f"pytorch_model-0000{n}-of-00002.bin": part for n, part in enumerate(shards, 1)}
        table = {name: part for part, shard in parts.items() for name in shard}
        files["pytorch_model.bin.index.json"] = json.dumps({"weight_map": table}).encode()
        files |= {name: pickled(part) for name, part in parts.items()}
    else:
        files["pytorch_model.bin"] = pickled(state, legacy=kind == "legacy")
    commit = hub.push(REPOSITORY, files)
    model = fetch()
    assert model.folder.name == f"acme%2Ftiny@{commit[:12]}"
    assert not list(model.folder.glob("*.bin*"))
    loaded, report = MarianMTModel.from_pretrained(
        model.folder, output_loading_info=True, local_files_only=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    if kind == "zip":
        # The embedding is there once: transformers ties the other names when it loads.
        kept = load_file(model.folder / "model.safetensors")
        assert [
            name for name in kept if name.endswith(("embed_tokens.weight", "head.weight"))
        ] == []
    assert fetch(offline=True).folder == model.folder
    (model.folder / "config.json").write_bytes(b"{}")
    with pytest.raises(ModelError, match=r"config\.json is not the file"):
        fetch()
    store.pull(model.spec)
    assert (model.folder / "config.json").read_bytes() == files["config.json"]
    store.remove(model.spec.name)
    assert not model.folder.exists()


def test_weights_cut_off(hub: Hub) -> None:
    import torch

    content = pickled({"w": torch.zeros(1000)})
    assert zipfile.is_zipfile(io.BytesIO(content))
    hub.push(REPOSITORY, {"config.json": CONFIG, "pytorch_model.bin": content[:1000]})
    with pytest.raises(ModelError, match="weights file"):
        fetch()


def test_a_folder_with_pickled_weights_is_read_from_a_copy(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_bytes(CONFIG)
    torch.save({"w": torch.ones(3)}, folder / "pytorch_model.bin")
    for name in ("optimizer.pt", "tf_model.h5", "flax_model.msgpack"):
        (folder / name).write_bytes(b"not wanted")
    before = sorted(os.listdir(folder))
    model = fetch(str(folder))
    assert model.folder != folder
    assert torch.equal(load_file(model.folder / "model.safetensors")["w"], torch.ones(3))
    assert fetch(str(folder)).folder == model.folder
    assert sorted(os.listdir(folder)) == before
    assert sorted(os.listdir(model.folder)) == ["config.json", "model.safetensors"]


def test_remove_deletes_copies_and_conversions(tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_bytes(CONFIG)
    torch.save({"w": torch.ones(3)}, folder / "pytorch_model.bin")
    registry.write_entry(registry.find(str(folder)).spec._replace(name="mine"), "user")
    made = registry.conversions_folder("mine") / "0123-int8"
    other = registry.conversions_folder("mine-too") / "0123-int8"
    for each in (made, other):
        each.mkdir(parents=True)
    copy = fetch("mine").folder
    assert copy != folder
    assert store.remove("mine")
    assert not copy.exists()
    assert not made.parent.exists()
    assert other.exists()
    assert sorted(os.listdir(folder)) == ["config.json", "pytorch_model.bin"]
