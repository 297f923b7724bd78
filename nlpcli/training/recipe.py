"""What decides the result of a run: a dataclass whose fields are the options of `finetune`.

Saved beside the model as recipe.toml, it repeats the run. Where a field is None or "auto",
`settled` puts in what suits the task.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from nlpcli.errors import UsageError, did_you_mean

FILE = "recipe.toml"
TASKS = ("classify", "translate", "summarize", "generate", "pretrain")
SCHEDULES = ("linear", "cosine", "constant", "inverse-sqrt")
SIZES = ("tiny", "small", "medium", "base")
DATA, BASE, TRAINING, SCORING = "Data", "Model", "Training", "Scores and checkpoints"
_PATHS = ("train", "valid", "train_target", "valid_target")


class Setting(NamedTuple):
    """How a field is an option: its help, what stands for its value, its heading, the values it
    may take, the tasks that have it (all, where none are named), and its bounds."""

    help: str
    metavar: str = ""
    panel: str = TRAINING
    choices: tuple[str, ...] = ()
    tasks: tuple[str, ...] = TASKS
    min: float | None = None
    max: float | None = None


def _set(default: Any, help: str, metavar: str = "", **more: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(help, metavar, **more)})


_PARALLEL = ("translate", "summarize")
_WRITING = ("translate", "summarize", "generate")
_NEW = (*_WRITING, "pretrain")
_NOT_PRETRAIN = ("classify", *_WRITING)


@dataclass(frozen=True)
class Recipe:
    """All that decides what comes of a run, but for the machine. `task` is one of TASKS."""

    task: str = ""
    model: str | None = _set(
        None, "The model to begin with: a name, a folder, or org/name on the Hub.", "MODEL",
        panel=BASE,
    )  # fmt: skip
    train: tuple[str, ...] = _set(
        (), "Learn from FILE; may be given several times.", "FILE", panel=DATA
    )
    train_target: tuple[str, ...] = _set(
        (), "The targets of --train, line by line, where those are plain text.", "FILE",
        panel=DATA, tasks=_PARALLEL,
    )  # fmt: skip
    valid: tuple[str, ...] = _set(
        (), "Score on FILE each epoch; may be given several times.", "FILE", panel=DATA
    )
    valid_target: tuple[str, ...] = _set(
        (), "The targets of --valid.", "FILE", panel=DATA, tasks=_PARALLEL
    )
    valid_share: float = _set(
        0.1, "Without --valid, the share of the data that is scored on; 0: none.", "SHARE",
        panel=DATA, min=0.0, max=0.9,
    )  # fmt: skip
    input_format: str = _set(
        "auto", "text, jsonl, csv or tsv; auto goes by the file's ending.", "FORMAT", panel=DATA,
        choices=("auto", "text", "jsonl", "csv", "tsv"),
    )  # fmt: skip
    text_field: str | None = _set(
        None, "The field with the text; by default text, sentence, review or the like.", "NAME",
        panel=DATA, tasks=("classify", "generate", "pretrain"),
    )  # fmt: skip
    label_field: str | None = _set(
        None, "The field with the label; by default label, category, intent or the like.", "NAME",
        panel=DATA, tasks=("classify",),
    )  # fmt: skip
    source_field: str | None = _set(
        None, "The field with the source; by default source, text, document or the like.", "NAME",
        panel=DATA, tasks=_PARALLEL,
    )  # fmt: skip
    target_field: str | None = _set(
        None, "The field with the target; by default target, summary, reference or the like.",
        "NAME", panel=DATA, tasks=_PARALLEL,
    )  # fmt: skip
    prompt_field: str | None = _set(
        None, "The field with the prompt; by default prompt, instruction or question.", "NAME",
        panel=DATA, tasks=("generate",),
    )  # fmt: skip
    completion_field: str | None = _set(
        None, "The field with the answer; by default completion, response or answer.", "NAME",
        panel=DATA, tasks=("generate",),
    )  # fmt: skip
    multi_label: bool = _set(
        False, "A record has any number of labels, or none.", panel=DATA, tasks=("classify",)
    )
    source_language: str | None = _set(
        None, "The language of the sources, such as en.", "LANG", panel=DATA, tasks=("translate",)
    )
    target_language: str | None = _set(
        None, "The language of the targets, such as de.", "LANG", panel=DATA, tasks=("translate",)
    )
    on_error: str = _set(
        "fail", "A bad record ends the run before it begins, or is left out.", "fail|skip",
        panel=DATA, choices=("fail", "skip"),
    )  # fmt: skip
    duplicates: str = _set(
        "fail",
        "A validation record that stands in the training data too ends the run before it begins, "
        "is dropped from the training data, or is kept.",
        "fail|drop|keep", panel=DATA, choices=("fail", "drop", "keep"), tasks=_NOT_PRETRAIN,
    )  # fmt: skip
    too_long: str = _set(
        "fail",
        "A record longer than the model's window ends the run before it begins, is left out, or "
        "is cut.",
        "fail|skip|cut", panel=DATA, choices=("fail", "skip", "cut"), tasks=_NOT_PRETRAIN,
    )  # fmt: skip
    max_length: int = _set(
        0, "The longest record, or block of running text, in tokens; 0: what suits the model.", "N",
        panel=DATA, min=0,
    )  # fmt: skip
    from_scratch: bool = _set(
        False,
        "Begin with random weights: of the architecture of --model with its tokenizer, or, without "
        "one, of --size with a tokenizer trained on the data.",
        panel=BASE, tasks=_NOT_PRETRAIN,
    )  # fmt: skip
    objective: str = _set(
        "auto", "causal: foretell the next token; masked: fill in tokens that are left out.",
        "causal|masked", panel=BASE, choices=("auto", "causal", "masked"), tasks=("pretrain",),
    )  # fmt: skip
    size: str | None = _set(
        None, f"The size of a new model: {', '.join(SIZES)}.", "SIZE", panel=BASE, choices=SIZES,
        tasks=_NEW,
    )  # fmt: skip
    vocabulary: int | None = _set(
        None, "The pieces of a new tokenizer; by default what suits the size.", "N", panel=BASE,
        min=64, tasks=_NEW,
    )  # fmt: skip
    dropout: float | None = _set(
        None, "The share of activations left out while training; by default the model's own.",
        "SHARE", panel=BASE, min=0.0, max=0.9,
    )  # fmt: skip
    lora: int = _set(
        0, "Train low-rank adapters of rank N in place of the weights; 0: the weights.", "N",
        panel=BASE, min=0,
    )  # fmt: skip
    freeze: str = _set(
        "0", "Leave the embeddings and the lowest N layers as they are; all: all but the head.",
        "N|all", panel=BASE,
    )  # fmt: skip
    epochs: float | None = _set(None, "Passes over the training data.", "N", min=0.001)
    batch_size: str = _set(
        "auto", "Records in a step, over all processes; auto suits the task.", "auto|N"
    )
    batch_tokens: int | None = _set(
        None, "Tokens in a step, padding counted, in place of --batch-size.", "N", min=1
    )
    accumulate: int = _set(
        1, "Compute each step in N parts; doubled by itself where memory does not suffice.", "N",
        min=1,
    )  # fmt: skip
    learning_rate: float | None = _set(None, "The greatest learning rate (AdamW).", "X", min=0.0)
    schedule: str = _set(
        "auto", f"How the learning rate goes on: {', '.join(SCHEDULES)}.", "NAME",
        choices=("auto", *SCHEDULES),
    )  # fmt: skip
    warmup: float | None = _set(
        None, "Steps over which the learning rate rises, or below 1 their share.", "N", min=0.0
    )
    weight_decay: float = _set(0.01, "AdamW's decay of the weight matrices.", "X", min=0.0)
    beta2: float | None = _set(
        None, "How long AdamW remembers squared gradients; for new models 0.98, else 0.999.", "X",
        min=0.0, max=0.99999,
    )  # fmt: skip
    clip: float = _set(1.0, "The greatest norm of the gradient; 0: any.", "X", min=0.0)
    label_smoothing: float | None = _set(
        None, "The share of the target's probability that goes to all others.", "SHARE", min=0.0,
        max=0.9,
    )  # fmt: skip
    class_weights: str = _set(
        "none", "balanced: rare labels count as much as frequent ones.", "none|balanced",
        choices=("none", "balanced"), tasks=("classify",),
    )  # fmt: skip
    max_minutes: float = _set(0.0, "End after so many minutes; 0: when all is done.", "X", min=0.0)
    dtype: str = _set(
        "auto", "Number format of the products: auto, float32, bfloat16 or float16.", "TYPE",
        choices=("auto", "float32", "bfloat16", "float16"),
    )  # fmt: skip
    seed: int = _set(
        42, "Seed of the split, the order, the new weights and dropout.", "N", min=0,
        max=2**32 - 1,
    )  # fmt: skip
    best: str | None = _set(
        None, "The figure that tells which epoch was best.", "NAME", panel=SCORING
    )
    early_stopping: int = _set(
        0, "End when the figure has not become better for N epochs; 0: never.", "N",
        panel=SCORING, min=0,
    )  # fmt: skip
    eval_records: int = _set(
        200, "Write outputs for the first N validation records each epoch, to score them; 0: all.",
        "N", panel=SCORING, min=0, tasks=_WRITING,
    )  # fmt: skip
    save_steps: int = _set(
        500, "Steps from one checkpoint to the next; each epoch ends with one too.", "N",
        panel=SCORING, min=1,
    )  # fmt: skip

    def write(self, folder: Path) -> None:
        """Save as recipe.toml; what is None or not for the task is left out, paths are absolute."""
        lines = [f"task = {json.dumps(self.task)}"]
        for name, value in asdict(self).items():
            if name == "task" or value is None or value == ():
                continue
            if self.task not in SETTINGS[name].tasks:
                continue
            if name in _PATHS:
                value = [os.path.abspath(path) for path in value]
            if name == "model" and os.path.exists(os.path.expanduser(value)):
                value = os.path.abspath(os.path.expanduser(value))
            lines.append(f"{name.replace('_', '-')} = {json.dumps(value, ensure_ascii=False)}")
        (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


SETTINGS: Mapping[str, Setting] = {
    each.name: each.metadata["setting"] for each in fields(Recipe) if "setting" in each.metadata
}


def read(path: Path) -> dict[str, Any]:
    """The settings in a recipe by field, and its `task`. `path` may be the folder of a model.

    Raises UsageError where it cannot be read, or holds what is no setting.
    """
    file = path / FILE if path.is_dir() else path
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: not valid TOML: {error}") from error
    values = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name != "task" and name not in SETTINGS:
            hint = did_you_mean(key, [each.replace("_", "-") for each in SETTINGS])
            raise UsageError(f"{file}: no such setting: {key}", hint)
        if name in _PATHS and not isinstance(value, list):
            raise UsageError(f"{file}: {key} is not a list", f'write {key} = ["FILE"]')
        if name not in _PATHS and isinstance(value, list | dict):
            raise UsageError(f"{file}: {key} is not one value", f"write {key} = …")
        values[name] = value
    return values


def check(recipe: Recipe) -> None:
    """Raise UsageError for a value that no setting takes, or settings that contradict."""
    for name, setting in SETTINGS.items():
        value = getattr(recipe, name)
        if setting.choices and value is not None and value not in setting.choices:
            known = ", ".join(setting.choices)
            raise UsageError(f"{option(name)} {value}: no such value", f"name one of {known}")
    if not recipe.train:
        raise UsageError("nothing to learn from", "name a file: --train FILE")
    if recipe.batch_size != "auto" and not _number(recipe.batch_size):
        raise UsageError(f"--batch-size {recipe.batch_size}: no such size", "give auto or a number")
    if recipe.freeze != "all" and not recipe.freeze.isdecimal():
        raise UsageError(f"--freeze {recipe.freeze}: no such number", "give a number, or all")
    for one, other in (
        (recipe.batch_size != "auto" and "--batch-size", recipe.batch_tokens and "--batch-tokens"),
        (recipe.lora and "--lora", recipe.freeze != "0" and "--freeze"),
        (recipe.lora and "--lora", recipe.from_scratch and "--from-scratch"),
        (recipe.model and "--model", recipe.size and "--size"),
        (recipe.model and "--model", recipe.vocabulary and "--vocabulary"),
    ):
        if one and other:
            hint = "leave one of them out"
            if other == "--batch-tokens":
                hint += "; --batch-tokens 0 takes a recipe's back"
            raise UsageError(f"{one} and {other} do not go together", hint)
    if not recipe.model and recipe.task == "classify":
        raise UsageError("no model to begin with", "name one: --model minilm-l6")
    if not (recipe.model or recipe.from_scratch or recipe.task == "pretrain"):
        raise UsageError(
            "no model to begin with", "name one with --model, or begin anew: --from-scratch"
        )


def settled(recipe: Recipe) -> Recipe:
    """`recipe` with what suits its task in the place of None and "auto", but for what only the
    machine or the model decides (dtype, dropout, objective)."""
    new = recipe.from_scratch or (recipe.task == "pretrain" and not recipe.model)
    chosen: dict[str, Any] = {
        "epochs": 3.0,
        "learning_rate": 5e-5,
        "schedule": "cosine" if new else "linear",
        "warmup": 0.06,
        "beta2": 0.98 if new else 0.999,
        "label_smoothing": 0.0,
    }
    if recipe.task in _WRITING:
        chosen["learning_rate"] = 3e-5
    if new:
        chosen |= {"epochs": 20.0, "learning_rate": 1e-3}
        if recipe.task == "classify":
            chosen |= {"epochs": 10.0, "learning_rate": 2e-4}
        if recipe.task in _PARALLEL:
            chosen["label_smoothing"] = 0.1
    elif recipe.task == "pretrain":
        chosen["learning_rate"] = 1e-4
    if recipe.lora:
        chosen["learning_rate"] = 2e-4
    if recipe.batch_size == "auto" and not recipe.batch_tokens:
        if recipe.task in _PARALLEL and new:
            chosen["batch_tokens"] = 4096
        else:
            chosen["batch_size"] = "32" if recipe.task in ("classify", "pretrain") else "16"
    if new and not recipe.model and recipe.size is None:
        chosen["size"] = "tiny" if recipe.task == "pretrain" else "small"
    missing = {name for name in chosen if getattr(recipe, name) in (None, "auto")}
    return replace(recipe, **{name: chosen[name] for name in missing})


def option(name: str) -> str:
    """What the setting `name` is called on the command line."""
    return "--" + {"source_language": "from", "target_language": "to"}.get(
        name, name.replace("_", "-")
    )


def _number(text: str) -> bool:
    return text.isdecimal() and int(text) > 0
