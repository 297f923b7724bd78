"""What model lies in a folder or file, judged by its files."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from nlpcli.registry.files import SPEC_FILE, read_description, read_json
from nlpcli.registry.spec import TASKS, ModelSpec, Source


def describe(path: Path) -> ModelSpec | None:
    """The model in `path`, called by its path; None where there is none.

    Raises ModelError where its description was written by nlpcli and cannot be read.
    """
    name, source = str(path), (Source("path", os.path.abspath(path)),)
    if path.is_file():
        form = "gguf" if path.suffix == ".gguf" else ""
        return ModelSpec(name, (), form, source) if form else None
    described = read_description(path / SPEC_FILE)
    if described:
        kept: ModelSpec = described["spec"]
        return kept._replace(name=name, sources=source)
    form = format_of(os.listdir(path)) if path.is_dir() else ""
    if not form:
        return None
    architecture = ""
    if form == "transformers":
        architecture = str(read_json(path / "config.json").get("model_type", ""))
    tasks = ("translate",) if form == "bergamot" else TASKS.get(architecture, ())
    return ModelSpec(name, tasks, form, source, architecture=architecture)


def format_of(names: Collection[str]) -> str:
    """The format of a model whose files are called `names`; "" for none that nlpcli knows."""
    if "model.bin" in names and any("vocabulary" in name for name in names):
        return "ct2"
    if "config.json" in names:
        return "transformers"
    if any(name.endswith(".spm") for name in names) and any(
        "intgemm" in name and name.endswith(".bin") for name in names
    ):
        return "bergamot"
    return "gguf" if sum(name.endswith(".gguf") for name in names) == 1 else ""
