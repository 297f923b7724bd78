"""What model lies in a folder or file, judged by its files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from nlpcli.registry.files import SPEC_FILE, read_json
from nlpcli.registry.spec import TASKS, ModelSpec, Source, from_json


def describe(path: Path) -> ModelSpec | None:
    """What the model in `path` is, judged by its files; None where it holds none."""
    name = str(path)
    source = (Source("path", os.path.abspath(path)),)
    if path.is_file():
        if path.suffix == ".gguf":
            return ModelSpec(name=name, tasks=(), format="gguf", sources=source)
        return None
    described = read_json(path / SPEC_FILE)
    if described.get("spec"):
        return replace(from_json(described["spec"]), name=name, sources=source)
    files = set(os.listdir(path)) if path.is_dir() else set()
    if "model.bin" in files and any(name.endswith("vocabulary.json") for name in files):
        return ModelSpec(name=name, tasks=(), format="ct2", sources=source)
    if "config.json" in files:
        model_type = read_json(path / "config.json").get("model_type", "")
        return ModelSpec(
            name=name,
            tasks=TASKS.get(model_type, ()),
            format="transformers",
            sources=source,
            architecture=model_type,
        )
    if any(name.endswith(".spm") for name in files) and any(
        "intgemm" in name and name.endswith(".bin") for name in files
    ):
        return ModelSpec(name=name, tasks=("translate",), format="bergamot", sources=source)
    if sum(name.endswith(".gguf") for name in files) == 1:
        return ModelSpec(name=name, tasks=(), format="gguf", sources=source)
    return None
