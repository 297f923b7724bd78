"""Where the registry's files lie, and how they are read and written: one small JSON a model."""

from __future__ import annotations

import json
import os
import re
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
    return data_dir() / "registry" / f"{quoted(name)}.json"


def own_folder(name: str) -> Path:
    """Where `finetune` puts a result called `name`."""
    return data_dir() / "models" / quoted(name)


def store_folder(name: str) -> Path:
    """Where the files of a pulled wheel or Firefox model called `name` lie."""
    return cache_dir() / "models" / quoted(name)


def copy_folder(name: str, state: str) -> Path:
    """Where a copy of the model's files in a certain state lies, its weights as safetensors."""
    return cache_dir() / "models" / f"{quoted(name)}@{state[:12]}"


def conversions_folder(name: str) -> Path:
    """Where what was made of the model for a backend lies, each conversion in a folder."""
    return cache_dir() / "ct2" / quoted(name)


def derived_folders(name: str) -> list[Path]:
    """What `copy_folder` and `conversions_folder` hold of the model."""
    copies = (cache_dir() / "models").glob(f"{quoted(name)}@*")
    return [*copies, conversions_folder(name)]


def quoted(name: str) -> str:
    """A file name for the model `name`, which may be a path too."""
    name = name.replace("/", "%2F").replace(":", "%3A")
    if name.replace("-", "").isalnum():
        return name
    return re.sub(r"[^\w.%-]+", "-", name).lstrip(".")[-200:] or "model"


def unquoted(file: str) -> str:
    """The model's name that `quoted` made `file` of."""
    return file.replace("%2F", "/").replace("%3A", ":")


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


def read_description(path: Path) -> dict[str, Any]:
    """What nlpcli wrote in `path` about a model, its `spec` parsed; {} where there is no such file.

    Raises ModelError where it is damaged.
    """
    try:
        with open(path, "rb") as file:
            described = json.load(file)
        described["spec"] = from_json(described["spec"])
        pin = described.get("pin") or {"files": {}, "folder": "", "commit": "", "repository": ""}
        for stamps in (described.get("stamps", {}), pin["files"], pin.get("copy", pin)["files"]):
            for sha256, size, modified in stamps.values():
                _ = sha256 + "", size + modified
        _ = pin["folder"] + pin["commit"] + pin["repository"]
    except OSError:
        return {}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        name = (path.parent.name if path.name == SPEC_FILE else path.stem).replace("%2F", "/")
        raise ModelError(
            f"{path}: damaged, not an entry that nlpcli wrote",
            f"nlpcli models remove {name}, then pull or add it again",
        ) from error
    return dict(described)


def read_entry(name: str) -> dict[str, Any]:
    """The user's registry entry for `name` ({} for none): `origin`, `spec` and `pin`."""
    return read_description(entry_file(name))


def write_entry(spec: ModelSpec, origin: str, pin: dict[str, Any] | None = None) -> None:
    """Add `spec` to the user's registry, with what the store pinned at the first pull."""
    entry: dict[str, Any] = {"nlpcli": __version__, "origin": origin, "spec": to_json(spec)}
    write_json(entry_file(spec.name), {**entry, "pin": pin} if pin else entry)


def user_names() -> list[str]:
    """The fine-tuned models and the names that the user added, sorted."""
    names = {
        unquoted(folder.name)
        for folder in children(data_dir() / "models")
        if (folder / SPEC_FILE).exists()
    }
    for file in children(data_dir() / "registry"):
        if file.suffix == ".json" and not file.name.startswith("."):
            names.add(unquoted(file.name.removesuffix(".json")))
    return sorted(names)


def children(folder: Path) -> list[Path]:
    """What is in `folder`, sorted; [] where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
