"""The part of a run that computes: the model, its objective, the loop, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PrinterCallback, TrainingArguments, set_seed

from nlpcli.backends.ct2.convert import quiet
from nlpcli.errors import (
    DataError,
    DeviceError,
    NlpcliError,
    Terminated,
    UsageError,
    did_you_mean,
)
from nlpcli.metrics import Figure
from nlpcli.registry import ModelSpec
from nlpcli.training import base as bases
from nlpcli.training import checkpoints, result
from nlpcli.training.base import Base
from nlpcli.training.batches import Steps
from nlpcli.training.data import Data
from nlpcli.training.flow import Flow
from nlpcli.training.loop import Loop
from nlpcli.training.objective import Feature, Objective, fitted
from nlpcli.training.processes import Gone, processes
from nlpcli.training.recipe import Recipe
from nlpcli.training.signals import Leaving

_BLOCK = 256  # tokens of running text that are learnt from together, where no length is named
_SCHEDULES = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant_with_warmup",
    "inverse-sqrt": "inverse_sqrt",
}


class Features(NamedTuple):
    train: list[Feature]
    valid: list[Feature]


def fit(
    spec: ModelSpec | None, recipe: Recipe, data: Data, job: Any, folder: Path, shown: Any
) -> Path:
    """Train in `folder` and register the result; its folder. Raises NlpcliError for what the user
    can mend, whatever library it comes from."""
    try:
        return _fit(spec, recipe, data, job, folder, shown)
    except Exception as error:
        raise _told(error, job) from error


def _fit(
    spec: ModelSpec | None, recipe: Recipe, data: Data, job: Any, folder: Path, shown: Any
) -> Path:
    ours = processes()
    torch.set_num_threads(job.device.threads)
    _together(job.device.kind)
    base = _prepared(spec, recipe, data, job, folder)
    objective = objective_of(base, recipe, data)
    features = _features(objective, base, recipe, data, shown.told)
    figure = deciding(objective, recipe)
    shown.begin(objective.figures)
    model = _model(base, recipe, job)
    earlier = checkpoints.last(folder) if job.resume else None
    with Leaving() as leaving, quiet():
        flow = Flow(
            recipe,
            figure,
            len(features.train),
            leaving,
            shown.step,
            shown.epoch,
            checkpoints.state(earlier) if earlier else None,
        )
        loop = _loop(model, objective, features, data, recipe, job, folder, flow, figure, shown)
        flow.loop = loop
        if earlier and ours.first:
            shown.told(f"going on from step {earlier.name.rpartition('-')[2]}")
        try:
            if earlier and flow.ended:
                loop.take(earlier)
            else:
                loop.train(resume_from_checkpoint=str(earlier) if earlier else None)
        except (KeyboardInterrupt, Terminated):
            if flow.saved and ours.first:
                shown.told(f"saved at step {flow.saved}; --resume goes on from there")
            raise
        trained = loop.accelerator.unwrap_model(loop.model)
    if not ours.first:
        return folder
    shown.end(flow.history)
    return result.keep(trained, base, recipe, data, job, folder, flow.history, objective)


def objective_of(base: Base, recipe: Recipe, data: Data) -> Objective:
    """The way of learning that suits the task and the kind of model."""
    from nlpcli.training.causal import Causal, Text
    from nlpcli.training.classify import Classify
    from nlpcli.training.masked import Masked
    from nlpcli.training.seq2seq import Seq2Seq

    if recipe.task == "classify":
        return Classify(base.tokenizer, recipe, data)
    if base.kind == "seq2seq":
        return Seq2Seq(base.tokenizer, base.empty, recipe)
    if recipe.task != "pretrain":
        return Causal(base.tokenizer, base.empty, recipe)
    block = min(recipe.max_length or _BLOCK, base.window)
    if base.kind == "decoder":
        return Text(base.tokenizer, base.empty, recipe, block)
    return Masked(base.tokenizer, recipe, block)


def deciding(objective: Objective, recipe: Recipe) -> Figure:
    """The figure that tells which scores are best. Raises UsageError for one that is not there."""
    known = {figure.name: figure for figure in objective.figures}
    known["loss"] = Figure("loss", "loss", 3, higher=False)
    name = recipe.best or objective.best
    if name not in known:
        hint = did_you_mean(name, known) or f"name one of {', '.join(known)}"
        raise UsageError(f"--best {name}: no such figure", hint)
    return known[name]


def _together(kind: str) -> None:
    """Join the processes that torchrun started."""
    if processes().world > 1:
        from accelerate import PartialState

        PartialState(cpu=kind == "cpu")


def _prepared(spec: ModelSpec | None, recipe: Recipe, data: Data, job: Any, folder: Path) -> Base:
    """The base; a new one is made by the first process alone."""
    new = folder / "new"
    set_seed(recipe.seed)
    if processes().world == 1:
        return bases.prepare(spec, recipe, data, new, offline=job.offline)
    from accelerate import PartialState

    with PartialState().main_process_first():
        return bases.prepare(spec, recipe, data, new, offline=job.offline)


def _features(
    objective: Objective, base: Base, recipe: Recipe, data: Data, told: Callable[[str], None]
) -> Features:
    """Token ids of the data. Raises DataError for records too long, as the recipe says."""
    limit = min(recipe.max_length or base.window, base.window)
    made = []
    for name, examples in (("training", data.train), ("validation", data.valid)):
        some, long = fitted(objective, examples, limit, recipe.too_long)
        if long and recipe.task != "pretrain":
            done = "cut to" if recipe.too_long == "cut" else "left out: longer than"
            told(f"{long} of {len(examples)} {name} records {done} {limit} tokens")
        made.append(some)
    if not made[0]:
        raise DataError("no training record is short enough for the model", "split them")
    return Features(*made)


def _model(base: Base, recipe: Recipe, job: Any) -> Any:
    """The model with weights, ready to be trained."""
    set_seed(recipe.seed)
    # Beside adapters the weights stay as they are: no need for more digits than are computed with.
    dtype = getattr(torch, recipe.dtype) if recipe.lora else torch.float32
    model = bases.load(base, recipe, dtype)
    if recipe.task == "translate" and job.device.kind == "cpu":
        # For sentences the plain products are faster than the fused kernel, by a quarter.
        model.set_attn_implementation("eager")
    bases.hold_padding(model)
    bases.freeze(model, recipe)
    return bases.adapted(model, recipe) if recipe.lora else model


def _loop(
    model: Any,
    objective: Objective,
    features: Features,
    data: Data,
    recipe: Recipe,
    job: Any,
    folder: Path,
    flow: Flow,
    figure: Figure,
    shown: Any,
) -> Loop:
    ours = processes()
    size = 0 if recipe.batch_tokens else int(recipe.batch_size)
    steps = Steps(
        [feature.length for feature in features.train],
        size=size,
        tokens=recipe.batch_tokens or 0,
        seed=recipe.seed,
        rank=ours.rank,
        world=ours.world,
    )
    loop = Loop(
        model,
        _arguments(recipe, job, folder, figure, bool(features.valid)),
        objective,
        steps,
        features.train,
        features.valid,
        data.valid,
        written=recipe.eval_records,
        parts=recipe.accumulate,
        log=flow,
        told=shown.told,
        callbacks=[flow],
    )
    loop.remove_callback(PrinterCallback)
    return loop


def _arguments(
    recipe: Recipe, job: Any, folder: Path, figure: Figure, scored: bool
) -> TrainingArguments:
    kind = job.device.kind
    if job.report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder / "tensorboard")
    with quiet():
        return TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=recipe.epochs,
            per_device_train_batch_size=1,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type=_SCHEDULES[recipe.schedule],
            warmup_steps=recipe.warmup,
            weight_decay=recipe.weight_decay,
            adam_beta2=recipe.beta2,
            max_grad_norm=recipe.clip,
            bf16=recipe.dtype == "bfloat16",
            fp16=recipe.dtype == "float16",
            use_cpu=kind == "cpu",
            seed=recipe.seed,
            eval_strategy="epoch" if scored else "no",
            save_strategy="epoch",
            logging_strategy="no",
            load_best_model_at_end=scored,
            metric_for_best_model=figure.name if scored else None,
            greater_is_better=figure.higher if scored else None,
            report_to=[job.report_to],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            ddp_find_unused_parameters=False,
            log_level="critical",
            log_level_replica="critical",
        )


def _told(error: Exception, job: Any) -> Exception:
    """`error` as the user is to read it."""
    if isinstance(error, NlpcliError):
        return error
    text = " ".join(str(error).split())
    if "memory" in text or isinstance(error, MemoryError):
        return DeviceError(
            f"{job.device}: not enough memory to train", "use a smaller model, or --lora"
        )
    gone = ("Connection closed by peer", "Connection reset", "NCCL", "Broken pipe", "gloo")
    if processes().world > 1 and any(word in text for word in gone):
        return Gone(
            "another process of this run is gone",
            "start it again with --resume: it goes on from the last checkpoint",
        )
    return error
