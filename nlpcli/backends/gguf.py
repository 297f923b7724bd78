"""A GGUF to a transformers folder, made once and kept in the cache, for the backends that read no
GGUF themselves.

Quantized weights are kept as float16: its relative rounding of 2^-11 is far below the step of
the finest of these formats (2^-8 of a block's largest weight), and half the size of float32.
What the file has in bfloat16 or float32 stays that.
"""

from __future__ import annotations

import functools
import hashlib
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlpcli import registry
from nlpcli.errors import ModelError
from nlpcli.notice import notice
from nlpcli.registry import LocalModel
from nlpcli.registry.folder import gguf_file
from nlpcli.store import place

# Raised whenever what an unpacked folder holds changes, so that older ones are made again.
LAYOUT = 1
_CONFIG = "config.json"


def unpacked(model: LocalModel) -> LocalModel:
    """`model` as a transformers folder, made now if there is none.

    Raises ModelError where transformers cannot express it.
    """
    file = gguf_file(model.folder)
    status = file.stat()
    identity = json.dumps([LAYOUT, str(file.resolve()), status.st_size, status.st_mtime_ns])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = registry.conversions_folder(model.spec.name) / f"{digest}-transformers"
    if not (folder / _CONFIG).exists():
        with place.exclusive(folder.parent.name):
            if not (folder / _CONFIG).exists():
                notice(f"unpacking {model.spec.name} for other backends, once")
                with place.staging(folder) as staged:
                    _make(model.spec.name, file, staged)
                    place.move(staged, folder)
    architecture = str(registry.read_json(folder / _CONFIG).get("model_type", ""))
    spec = model.spec._replace(format="transformers", architecture=architecture)
    return LocalModel(spec, folder)


def _make(name: str, file: Path, folder: Path) -> None:
    from nlpcli.backends.ct2.convert import quiet

    try:
        with quiet(), _read_once():
            _save(file, folder)
    except (
        ValueError,
        LookupError,
        AttributeError,
        ImportError,
        OSError,
        RuntimeError,
        NotImplementedError,
        struct.error,
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{name}: transformers cannot read this GGUF: {reason}", "use --backend llamacpp"
        ) from error


@contextmanager
def _read_once() -> Iterator[None]:
    """transformers parses the file anew at each of three steps, and maps the names of its tensors
    anew for each submodule, which takes longer than all the rest. Its bar knows no switch."""
    import gguf
    from transformers import modeling_gguf_pytorch_utils as reading

    changed = {
        (gguf, "GGUFReader"): functools.cache(gguf.GGUFReader),
        (gguf, "get_tensor_name_map"): functools.cache(gguf.get_tensor_name_map),
        (reading, "tqdm"): lambda items, **_: items,
    }
    originals = {(module, name): getattr(module, name) for module, name in changed}
    for (module, name), value in changed.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name), value in originals.items():
            setattr(module, name, value)


def _save(file: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.integrations.gguf import GgufHeader, read_gguf_metadata
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    from nlpcli.backends import prompt

    metadata, names = read_gguf_metadata(str(file))
    config = _config(file, metadata)
    if any(name.startswith("rope_f") for name in names):
        raise ValueError("its rotary frequencies are scaled")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    read = load_gguf_checkpoint(str(file), return_tensors=True, model_to_load=model)
    tensors = read["tensors"]
    tied = set(model.all_tied_weights_keys)
    missing = [key for key in model.state_dict() if key not in tensors and key not in tied]
    if missing:
        raise ValueError(f"it lacks {missing[0]}")
    narrow = _narrow(set(GgufHeader.from_file(str(file)).ggml_types.values()))
    stored = {
        key: (tensor.to(narrow) if _fits(tensor, narrow) else tensor).contiguous()
        for key, tensor in tensors.items()
    }
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    template = metadata.get("tokenizer.chat_template")
    if template and not tokenizer.chat_template:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    model.generation_config.eos_token_id = [each for each in ends if each is not None] or None
    ids = prompt.end_ids(model, tokenizer, prompt.of_tokenizer(tokenizer).template)
    GenerationConfig(
        eos_token_id=ids,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    ).save_pretrained(folder)
    config.dtype = narrow
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)


def _narrow(types: set[int]) -> Any:
    """The dtype for the weights of a file with tensors of these ggml types."""
    import torch

    if types == {0}:
        return torch.float32
    return torch.bfloat16 if types <= {0, 30} else torch.float16


def _fits(tensor: Any, dtype: Any) -> bool:
    """Whether `tensor` is a matrix whose weights `dtype` can hold; norms stay exact."""
    import torch

    return tensor.dim() > 1 and bool(tensor.abs().max() <= torch.finfo(dtype).max)


def _config(file: Path, metadata: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name)
    size = metadata.get(f"{metadata['general.architecture']}.attention.key_length")
    if size and hasattr(config, "head_dim"):
        config.head_dim = size
    return config
