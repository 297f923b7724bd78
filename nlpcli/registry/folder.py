"""What model lies in a folder or file, judged by its files."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from nlpcli.errors import ModelError
from nlpcli.registry.files import SPEC_FILE, read_description, read_json
from nlpcli.registry.spec import LANGUAGE_TASKS, TASKS, ModelSpec, Source, tasks_of

ADAPTER = "adapter.gguf"
"""A LoRA adapter for the GGUF model that it lies beside."""

_PARTS = re.compile(r"-(\d{5})-of-\d{5}(?=\.gguf$)")
_STRING = 8  # GGUF's number for that type of value


def describe(path: Path) -> ModelSpec | None:
    """The model in `path`, called by its path; None where there is none.

    Raises ModelError where its description was written by nlpcli and cannot be read.
    """
    name, source = str(path), (Source("path", os.path.abspath(path)),)
    if path.is_file():
        is_model = gguf_files([path.name]) == [path.name]
        return with_header(path, ModelSpec(name, (), "gguf", source)) if is_model else None
    described = read_description(path / SPEC_FILE)
    if described:
        kept: ModelSpec = described["spec"]
        return kept._replace(name=name, sources=source)
    names = os.listdir(path) if path.is_dir() else []
    form = format_of(names)
    spec = ModelSpec(name, (), form, source)
    if form == "gguf":
        return with_header(path / gguf_files(names)[0], spec)
    if form == "transformers":
        config = read_json(path / "config.json")
        architecture = str(config.get("model_type", ""))
        return spec._replace(tasks=tasks_of(config, names), architecture=architecture)
    if form == "bergamot":
        return spec._replace(tasks=("translate",))
    return spec if form else None


def format_of(names: Collection[str]) -> str:
    """The format of a model whose files are called `names`; "" for none that nlpcli knows."""
    if "model.bin" in names and any("vocabulary" in name for name in names):
        return "ct2"
    alone = len(gguf_files(names)) == 1
    if "config.json" in names:
        # Repositories of GGUF files often have the original's configuration beside them.
        weights = any(name.endswith((".safetensors", ".bin")) for name in names)
        return "gguf" if alone and not weights else "transformers"
    if any(name.endswith(".spm") for name in names) and any(
        "intgemm" in name and name.endswith(".bin") for name in names
    ):
        return "bergamot"
    return "gguf" if alone else ""


def gguf_files(names: Collection[str]) -> list[str]:
    """Those of `names` that are GGUF models, sorted: of a model in several files the first, no
    LoRA adapters and no projectors of images."""
    found = []
    for name in sorted(names):
        base = name.rpartition("/")[2]
        part = _PARTS.search(base)
        beside = base == ADAPTER or base.startswith("mmproj")
        if name.endswith(".gguf") and not beside and (not part or int(part[1]) == 1):
            found.append(name)
    return found


def gguf_file(model: Path) -> Path:
    """The GGUF file of the model in a folder or file. Raises ModelError where there is not one."""
    if model.is_file():
        return model
    found = gguf_files(os.listdir(model)) if model.is_dir() else []
    if len(found) != 1:
        what = f"several models: {', '.join(found)}" if found else "no GGUF model in it"
        raise ModelError(f"{model}: {what}", "name the .gguf file itself")
    return model / found[0]


def gguf_architecture(file: Path) -> str:
    """What the file's header calls its architecture (llama, qwen2, ...); "" where it does not.

    Every writer puts `general.architecture` first, as the format's specification asks.
    """
    try:
        with open(file, "rb") as content:
            header = content.read(256)
    except OSError:
        return ""
    if header[:4] != b"GGUF":
        return ""

    def number(start: int, size: int) -> int:
        return int.from_bytes(header[start : start + size], "little")

    start = 24 + 8 + number(24, 8)
    if header[32:start] != b"general.architecture" or number(start, 4) != _STRING:
        return ""
    end = start + 12 + number(start + 4, 8)
    return header[start + 12 : end].decode("ascii", errors="replace")


def gguf_choice(names: Collection[str], choice: str = "") -> list[str]:
    """The file or files of the GGUF model among `names` that `choice` means: a file's name, or a
    quantization such as Q4_K_M; "" for the only one. Raises ModelError where that is not one."""
    every = gguf_files(names)
    ends = tuple(f"{mark}{choice}.gguf".lower() for mark in "-._")
    found = [
        name
        for name in every
        if choice in ("", name) or _PARTS.sub("", name).lower().endswith(ends)
    ]
    if len(found) != 1:
        several = "several GGUF models" if found else "no such GGUF model"
        raise ModelError(
            f"{choice}: {several}" if choice else several,
            f"name one behind a colon, ORG/NAME:FILE: {', '.join(found or every)}",
        )
    model = _PARTS.sub("", found[0])
    return sorted(name for name in names if _PARTS.sub("", name) == model)


def with_header(file: Path, spec: ModelSpec) -> ModelSpec:
    """`spec` with what the header of its GGUF file says."""
    architecture = gguf_architecture(file)
    tasks = TASKS.get(architecture, LANGUAGE_TASKS) if architecture else ()
    generates = "generate" in tasks
    return spec._replace(architecture=architecture, tasks=tasks if generates else ())
