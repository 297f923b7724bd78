"""Reads the built-in catalogue: what `catalogue.toml` writes in short, as model specifications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nlpcli.registry import ModelSpec, Source, from_json


def read(tables: dict[str, Any]) -> dict[str, ModelSpec]:
    """The models by name, in the order of the file: single models, families, then opus-mt."""
    specs = [
        from_json({"name": name, **fields}) for name, fields in tables.get("model", {}).items()
    ]
    for family in tables.get("family", ()):
        specs.extend(_family(family))
    for prefix in ("opus-mt", "opus-mt-tc-big"):
        specs.extend(_opus(prefix, tables.get(prefix, {})))
    return {spec.name: spec for spec in specs}


def _family(family: dict[str, Any]) -> Iterator[ModelSpec]:
    for name, repository in family["models"].items():
        yield ModelSpec(
            name=name,
            tasks=tuple(family["tasks"]),
            format="transformers",
            sources=(Source("hub", repository, "main"),),
            architecture=family["architecture"],
            licence=family["licence"],
            languages=tuple(family.get("languages", "").split()),
            summary=family["summary"],
        )


def _opus(prefix: str, directions: dict[str, str]) -> Iterator[ModelSpec]:
    for source, targets in directions.items():
        for target in targets.split():
            name = f"{prefix}-{source}-{target}"
            yield ModelSpec(
                name=name,
                tasks=("translate",),
                format="transformers",
                sources=(Source("hub", f"Helsinki-NLP/{name}", "main"),),
                architecture="marian",
                languages=(source, target),
                summary="OPUS-MT",
            )
