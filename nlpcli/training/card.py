"""The model card: a README with the fields that the Hugging Face Hub reads at its head."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nlpcli import __version__
from nlpcli.metrics import Figure
from nlpcli.registry import ModelSpec
from nlpcli.training.recipe import SETTINGS, Recipe, option

_USES = {
    "classify": "nlpcli classify -m {} reviews.txt",
    "translate": "nlpcli translate --to {target} -m {} letter.txt",
    "summarize": "nlpcli summarize -m {} article.txt",
    "generate": 'nlpcli generate -m {} --text "…"',
    "pretrain": "nlpcli models show {}",
}
_TAGS = {
    "classify": "text-classification",
    "translate": "translation",
    "summarize": "summarization",
    "generate": "text-generation",
}


def card(spec: ModelSpec, recipe: Recipe, made: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The card of a trained model; `made` is its training.json."""
    parts = [
        *_head(spec, recipe, made),
        f"# {spec.name}",
        "",
        f"Made by `nlpcli finetune {recipe.task}` (nlpcli {__version__})"
        f" from {_origin(recipe, made)}.",
        "",
        "```sh",
        _USES[recipe.task].format(spec.name, target=recipe.target_language or "LANG"),
        "```",
        "",
        "## Data",
        "",
        f"{made['records']['train']:,} training records,"
        f" {made['records']['valid']:,} for validation.",
        "",
        "| file | sha256 |",
        "| --- | --- |",
        *(f"| {Path(name).name} | `{sha256}` |" for name, sha256 in made["files"].items()),
        "",
        *_scores(made, figures),
        "## Recipe",
        "",
        "`recipe.toml` repeats the run.",
        "",
        "| setting | value |",
        "| --- | --- |",
        *(
            f"| {option(name)} | {_cell(value)} |"
            for name, value in made["recipe"].items()
            if name in SETTINGS and recipe.task in SETTINGS[name].tasks
        ),
    ]
    return "\n".join(parts) + "\n"


def _head(spec: ModelSpec, recipe: Recipe, made: dict[str, Any]) -> Iterator[str]:
    """The fields as YAML; JSON strings are YAML's too."""
    yield "---"
    yield "library_name: transformers"
    if spec.licence:
        yield f"license: {json.dumps(spec.licence.lower())}"
    if "/" in made["base"]:
        yield f"base_model: {json.dumps(made['base'])}"
    if spec.languages:
        yield f"language: {json.dumps(list(spec.languages))}"
    if recipe.task in _TAGS:
        yield f"pipeline_tag: {_TAGS[recipe.task]}"
    yield "---"
    yield ""


def _origin(recipe: Recipe, made: dict[str, Any]) -> str:
    if not made["base"]:
        return f"random weights (size {recipe.size})"
    if recipe.from_scratch:
        return f"random weights, in the architecture of `{made['base']}`"
    return f"`{made['base']}`"


def _scores(made: dict[str, Any], figures: Sequence[Figure]) -> Iterator[str]:
    if not made["scores"]:
        return
    yield "## Scores on the validation records"
    yield ""
    titles = ["epoch", "step", "training loss", "validation loss", *(f.title for f in figures), ""]
    yield "| " + " | ".join(titles) + " |"
    yield "| " + " | ".join("---" for _ in titles) + " |"
    best = max(n for n, row in enumerate(made["scores"]) if row["best"])
    for number, row in enumerate(made["scores"]):
        told = [f"{row['figures'].get(f.name, float('nan')):.{f.digits}f}" for f in figures]
        cells = [f"{row['epoch']:.4g}", str(row["step"])]
        cells += [f"{row['training']:.4f}", f"{row['loss']:.4f}", *told]
        yield "| " + " | ".join([*cells, "kept" if number == best else ""]) + " |"
    yield ""


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(Path(each).name for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
