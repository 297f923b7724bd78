"""Models that lie in a folder or file of the user's own; they are used where they are."""

from __future__ import annotations

import os
from pathlib import Path

from nlpcli import registry
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec, Source


def describe(path: Path) -> ModelSpec | None:
    """What the model in `path` is, judged by its files; None where it holds none."""
    name = str(path)
    source = (Source("path", os.path.abspath(path)),)
    if path.is_file():
        if path.suffix == ".gguf":
            return ModelSpec(name=name, tasks=(), format="gguf", sources=source)
        return None
    described = registry.read_json(path / registry.SPEC_FILE)
    if described.get("spec"):
        from dataclasses import replace

        return replace(registry.from_json(described["spec"]), name=name, sources=source)
    files = set(os.listdir(path)) if path.is_dir() else set()
    if "model.bin" in files and any(name.endswith("vocabulary.json") for name in files):
        return ModelSpec(name=name, tasks=(), format="ct2", sources=source)
    if "config.json" in files:
        model_type = registry.read_json(path / "config.json").get("model_type", "")
        return ModelSpec(
            name=name,
            tasks=registry.TASKS.get(model_type, ()),
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


def local(spec: ModelSpec) -> LocalModel:
    """The model where it lies; weights that are only pickled are read from a safe copy of ours.

    Raises ModelError where the folder is gone, or its weights file holds code.
    """
    folder = Path(spec.sources[0].location)
    if not folder.exists():
        raise ModelError(f"{spec.name}: {folder} is gone", f"nlpcli models remove {spec.name}")
    if spec.format == "transformers":
        from nlpcli.store import weights

        folder = weights.safe_folder(spec.name, folder)
    return LocalModel(spec, folder)
