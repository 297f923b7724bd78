"""Reads pickled weights once, without running what is in them, and keeps them as safetensors."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpcli import registry
from nlpcli.errors import ModelError
from nlpcli.registry import Source
from nlpcli.store import hubclient, place

if TYPE_CHECKING:
    from torch import Tensor

_PICKLE = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")
_PICKLE_INDEX = "pytorch_model.bin.index.json"


def safe_folder(model: str, folder: Path) -> Path:
    """`folder` itself, or a copy of ours where its only weights are pickled.

    Raises ModelError where they hold more than tensors.
    """
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    if not any(_PICKLE.fullmatch(name) for name in names):
        return folder
    names = hubclient.choose(Source("path", str(folder)), names)
    if not any(_PICKLE.fullmatch(name) for name in names):
        return folder
    identity = hashlib.sha256(str(folder.resolve()).encode())
    for name in names:
        status = (folder / name).stat()
        identity.update(f"\n{name} {status.st_size} {status.st_mtime_ns}".encode())
    target = registry.copy_folder(model, identity.hexdigest())
    if not target.is_dir():
        with place.exclusive(model):
            if not target.is_dir():
                safe_copy(model, folder, names, target)
    return target


def safe_copy(model: str, folder: Path, names: Sequence[str], target: Path) -> place.Stamps:
    """Write the files `names` of `folder` to `target`, pickled weights as safetensors.

    The caller holds the model's lock. Raises ModelError where a weights file holds code.
    """
    tied = registry.read_json(folder / "config.json").get("tie_word_embeddings", True) is not False
    with place.staging(target) as staged:
        index: dict[str, str] = {}
        total = 0
        for name in names:
            if _PICKLE.fullmatch(name):
                tensors = _independent(_unpickle(model, folder / name), tied)
                safe = name.removeprefix("pytorch_").replace(".bin", ".safetensors")
                _save(tensors, staged / safe)
                index.update(dict.fromkeys(tensors, safe))
                total += sum(tensor.nbytes for tensor in tensors.values())
            elif name != _PICKLE_INDEX:
                shutil.copyfile(folder / name, staged / name)
        if _PICKLE_INDEX in names:
            registry.write_json(
                staged / "model.safetensors.index.json",
                {"metadata": {"total_size": total}, "weight_map": index},
            )
        stamps = place.stamp(staged, sorted(os.listdir(staged)))
        place.move(staged, target)
    return stamps


def _unpickle(model: str, path: Path) -> dict[str, Tensor]:
    import pickle
    import warnings
    import zipfile

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Files from before torch 1.6 are no zip archives, and cannot be mapped.
            mapped = zipfile.is_zipfile(path)
            state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise ModelError(
            f"{model}: its weights file holds code, refused: {path.name}"
            + (f" ({culprit[1]})" if culprit else ""),
            "nothing of it was run; use a model that has safetensors",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ModelError(
            f"{model}: its weights file {path.name} cannot be read: {str(error).splitlines()[0]}",
            "it may be cut off: fetch it again",
        ) from error
    if not isinstance(state, dict) or not any(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise ModelError(f"{model}: its weights file {path.name} is not a table of tensors")
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def _independent(tensors: dict[str, Tensor], tied: bool) -> dict[str, Tensor]:
    """`tensors` with no memory in common, as safetensors demands.

    Names for the very same embedding are dropped where transformers ties them to `shared.weight`
    when it loads (`tied`: the output layer too); any other tensor that shares memory is copied.
    """
    shared = {
        _place_of(tensor) for name, tensor in tensors.items() if name.endswith("shared.weight")
    }
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        embedding = name.endswith("embed_tokens.weight") or (
            tied and name.endswith("lm_head.weight")
        )
        if embedding and _place_of(tensor) in shared:
            continue
        storage = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if storage in seen else tensor.contiguous()
        seen.add(storage)
    return result


def _place_of(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file(tensors, path, metadata={"format": "pt"})
