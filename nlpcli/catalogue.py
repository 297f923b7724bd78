"""Reads the built-in catalogue: what `catalogue.toml` says in short, one table a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def entries() -> Iterator[dict[str, Any]]:
    """The fields of each model: those of `catalogue.toml` alone, then families, then opus-mt."""
    import tomllib

    with open(Path(__file__).with_suffix(".toml"), "rb") as file:
        tables = tomllib.load(file)
    for name, fields in tables["model"].items():
        for source in fields["sources"]:
            for key in ("location", "sha256"):
                source[key] = " ".join(source[key].split())
        yield {"name": name, **fields}
    for family in tables["family"]:
        for name, repository in family["models"].items():
            yield {
                "name": name,
                "tasks": family["tasks"],
                "format": "transformers",
                "sources": [{"kind": "hub", "location": repository, "revision": "main"}],
                "architecture": family["architecture"],
                "licence": family.get("licence", ""),
                "languages": family.get("languages", "").split(),
                "summary": family["summary"],
            }
    for prefix in ("opus-mt", "opus-mt-tc-big"):
        for source, targets in tables[prefix].items():
            for target in targets.split():
                yield _opus(f"{prefix}-{source}-{target}", source, target)


def _opus(name: str, source: str, target: str) -> dict[str, Any]:
    return {
        "name": name,
        "tasks": ["translate"],
        "format": "transformers",
        "sources": [{"kind": "hub", "location": f"Helsinki-NLP/{name}", "revision": "main"}],
        "architecture": "marian",
        "languages": [source, target],
        "summary": "OPUS-MT",
    }
