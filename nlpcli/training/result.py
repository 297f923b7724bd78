"""What a run leaves: a model with its recipe, card and curve, registered under its name."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nlpcli import __version__, registry
from nlpcli.backends.ct2.convert import quiet
from nlpcli.registry import ModelSpec, Source, tasks_of
from nlpcli.store import place
from nlpcli.training import checkpoints
from nlpcli.training.base import Base, merged
from nlpcli.training.card import card
from nlpcli.training.curve_svg import page
from nlpcli.training.data import Data
from nlpcli.training.history import History
from nlpcli.training.objective import Objective
from nlpcli.training.recipe import Recipe

TRAINING = "training.json"
"""What the model was made from and what it reached, as JSON."""

_ADAPTER = "adapter"


def keep(
    model: Any,
    base: Base,
    recipe: Recipe,
    data: Data,
    job: Any,
    run: Path,
    history: History,
    objective: Objective,
) -> Path:
    """Save `model` whole or not at all, in place of an earlier one; the run's folder goes."""
    target = registry.own_folder(job.name)
    with (
        checkpoints.writing(target, run),
        place.exclusive(job.name),
        place.staging(target) as staged,
    ):
        _save(model, base, recipe, staged)
        recipe.write(staged)
        made = _training(base, recipe, data, history)
        registry.write_json(staged / TRAINING, made)
        (staged / "learning-curve.svg").write_text(page(history, job.name), encoding="utf-8")
        spec = _spec(job.name, base, recipe, staged, target)
        (staged / "README.md").write_text(
            card(spec, recipe, made, objective.figures), encoding="utf-8"
        )
        if (run / "tensorboard").is_dir():
            shutil.move(run / "tensorboard", staged / "tensorboard")
        _describe(spec, staged)
        registry.entry_file(job.name).unlink(missing_ok=True)
        place.move(staged, target)
        for folder in registry.derived_folders(job.name):
            place.discard(folder)
    place.discard(run)
    return target


def _save(model: Any, base: Base, recipe: Recipe, folder: Path) -> None:
    """The weights as safetensors, adapters merged and beside them, and the tokenizer."""
    with quiet():
        if recipe.lora:
            model.save_pretrained(folder / _ADAPTER)
            model = merged(base, recipe, folder / _ADAPTER)
        model.save_pretrained(folder)
        base.tokenizer.save_pretrained(folder)
    readable = (folder / "config.json").stat().st_mode
    for file in folder.rglob("*.safetensors"):  # which are written for their owner alone
        file.chmod(readable)


def _spec(name: str, base: Base, recipe: Recipe, staged: Path, target: Path) -> ModelSpec:
    config = registry.read_json(staged / "config.json")
    tasks = tasks_of(config, [file.name for file in staged.iterdir()])
    if recipe.task in ("translate", "summarize", "classify"):
        tasks = (recipe.task,)
    languages = tuple(filter(None, (recipe.source_language, recipe.target_language)))
    origin = base.spec.name if base.spec else "new"
    return ModelSpec(
        name,
        tasks,
        "transformers",
        (Source("path", str(target)),),
        architecture=str(config.get("model_type", "")),
        size=sum(file.stat().st_size for file in staged.iterdir() if file.is_file()),
        licence=base.spec.licence if base.spec else "",
        languages=languages,
        summary=f"{recipe.task}, from {origin}" + (" from scratch" if recipe.from_scratch else ""),
    )


def _describe(spec: ModelSpec, folder: Path) -> None:
    """Write the description that the registry reads, with the hash of each file."""
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    stamps = place.stamp(folder, names)
    spec = spec._replace(files=tuple((name, stamp[0]) for name, stamp in stamps.items()))
    described = {"nlpcli": __version__, "origin": "user", "spec": registry.to_json(spec)}
    registry.write_json(folder / registry.SPEC_FILE, described)


def _training(base: Base, recipe: Recipe, data: Data, history: History) -> dict[str, Any]:
    weights = sorted(base.folder.glob("*.safetensors"))
    return {
        "task": recipe.task,
        "base": base.spec.name if base.spec else "",
        "weights": {file.name: place.sha256_of(file) for file in weights} if base.spec else {},
        "records": {"train": len(data.train), "valid": len(data.valid)},
        "files": data.files,
        "labels": list(data.labels),
        "figure": history.figure,
        "scores": [each._asdict() for each in history.scores],
        "losses": history.losses,
        "recipe": {key: value for key, value in asdict(recipe).items() if value not in (None, ())},
    }
