"""GGUF files unpacked to transformers folders: the same weights, words and end tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tiny_decoders
from nlpcli.backends import Decoding, Message, Request
from nlpcli.backends.choice import choose
from nlpcli.backends.gguf import unpacked
from nlpcli.errors import ModelError, UsageError
from nlpcli.registry import LocalModel, ModelSpec

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write(folder: Path, file: Path) -> None:
    """The tiny Qwen2 in `folder` as a GGUF, as llama.cpp's converter writes it."""
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    writer = gguf.GGUFWriter(file, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(0)
    writer.add_chat_template(tiny_decoders.CHATML)
    for name, tensor in load_file(folder / "model.safetensors").items():
        stem, _, suffix = name.rpartition(".")
        block = ""
        if stem.startswith("model.layers."):
            _, _, number, stem = stem.split(".", 3)
            block = f"blk.{number}."
        writer.add_tensor(f"{block}{NAMES[stem]}.{suffix}", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("gguf")
    folder = tiny_decoders.qwen2(root / "model")
    write(folder, root / "tiny.gguf")
    return folder, root / "tiny.gguf"


def local(path: Path) -> LocalModel:
    return LocalModel(ModelSpec("tiny", (), "gguf", ()), path)


def test_the_weights_and_the_end(pair: tuple[Path, Path], shared_cache: Any) -> None:
    from safetensors.numpy import load_file

    folder, file = pair
    made = unpacked(local(file))
    assert made.spec.format == "transformers"
    assert made.spec.architecture == "qwen2"
    ours, theirs = (
        load_file(made.folder / "model.safetensors"),
        load_file(folder / "model.safetensors"),
    )
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
    ends = json.loads((made.folder / "generation_config.json").read_text())["eos_token_id"]
    assert sorted(ends) == [0, 2]  # its own, and the end of a turn that its template names
    assert unpacked(local(file)) == made


def test_the_same_answers(pair: tuple[Path, Path], shared_cache: Any) -> None:
    from nlpcli.backends.choice import load
    from nlpcli.device import Device

    folder, file = pair
    requests = [
        Request("", messages=(Message("user", "The old river."),)),
        Request("A letter in winter"),
    ]
    plain = LocalModel(ModelSpec("plain", (), "transformers", ()), folder)
    expected = load("torch", plain, Device("cpu")).run(requests, Decoding(max_tokens=10))
    for backend in ("ct2", "torch"):
        found = load(backend, local(file), Device("cpu")).run(requests, Decoding(max_tokens=10))
        assert found[0].text == expected[0].text


def test_which_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no GGUF model in it"):
        unpacked(local(tmp_path))
    for name in ("a.gguf", "mmproj-a.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    for path in (tmp_path, tmp_path / "a.gguf"):
        with pytest.raises(ModelError, match="cannot read this GGUF"):
            unpacked(local(path))


def test_a_model_with_an_adapter_goes_where_it_is_applied(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert choose(local(tmp_path)) == "ct2"
    (tmp_path / "adapter.gguf").write_bytes(b"GGUF")
    assert choose(local(tmp_path)) == "llamacpp"
    with pytest.raises(UsageError, match=r"adapter\.gguf: the ct2 backend has no LoRA adapters"):
        choose(local(tmp_path), "ct2")
