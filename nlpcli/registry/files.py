"""Where the registry's files lie, and how they are read and written: one small JSON a model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nlpcli import __version__
from nlpcli.errors import ModelError
from nlpcli.registry.spec import ModelSpec, from_json, to_json
from nlpcli.settings import cache_dir, data_dir

SPEC_FILE = "nlpcli.json"
"""The description that lies in the folder of every pulled or fine-tuned model."""


def entry_file(name: str) -> Path:
    """The user's registry entry for `name`: one file a model, so that writers never clash."""
    return data_dir() / "registry" / f"{name.replace('/', '%2F')}.json"


def own_folder(name: str) -> Path:
    """Where `finetune` puts a result called `name`."""
    return data_dir() / "models" / name.replace("/", "%2F")


def store_folder(name: str) -> Path:
    """Where the files of a pulled wheel or Firefox model called `name` lie."""
    return cache_dir() / "models" / name.replace("/", "%2F")


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; {} where there is none or it cannot be understood."""
    try:
        with open(path, "rb") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` so that readers see the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def read_entry(name: str) -> dict[str, Any]:
    """The user's registry entry for `name` ({} for none): `origin`, `spec` and `pin`."""
    return read_json(entry_file(name))


def write_entry(spec: ModelSpec, origin: str, pin: dict[str, Any] | None = None) -> None:
    """Add `spec` to the user's registry, with what the store pinned at the first pull."""
    entry: dict[str, Any] = {"nlpcli": __version__, "origin": origin, "spec": to_json(spec)}
    write_json(entry_file(spec.name), {**entry, "pin": pin} if pin else entry)


def user_names() -> list[str]:
    """The fine-tuned models and the names that the user added, sorted."""
    names = {
        folder.name.replace("%2F", "/")
        for folder in children(data_dir() / "models")
        if (folder / SPEC_FILE).exists()
    }
    for file in children(data_dir() / "registry"):
        if file.suffix == ".json" and not file.name.startswith("."):
            names.add(file.name.removesuffix(".json").replace("%2F", "/"))
    return sorted(names)


def children(folder: Path) -> list[Path]:
    """What is in `folder`, sorted; [] where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def spec_of(described: dict[str, Any]) -> ModelSpec:
    """The specification in a description or entry. Raises ModelError where it is damaged."""
    try:
        return from_json(described["spec"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        name = dict(described.get("spec") or {}).get("name", "NAME")
        raise ModelError(
            f"the registry's entry for {name} cannot be read: {error}",
            f"`nlpcli models remove {name}` and pull or add it again",
        ) from error
