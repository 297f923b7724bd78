"""One run from its recipe to a registered model: check, prepare, train, keep the best, save."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nlpcli import device as devices
from nlpcli import registry
from nlpcli.device import Device
from nlpcli.errors import ModelError, NlpcliError, UsageError
from nlpcli.metrics import Figure
from nlpcli.registry import ModelSpec
from nlpcli.settings import data_dir
from nlpcli.store import place
from nlpcli.training import checkpoints, figures
from nlpcli.training import data as reading
from nlpcli.training import recipe as recipes
from nlpcli.training.data import Data, Fields, Sources
from nlpcli.training.history import History, Progress, Scores
from nlpcli.training.processes import Processes, processes
from nlpcli.training.recipe import Recipe


class Job(NamedTuple):
    """What a run is apart from its recipe: the name that the model gets, and the machine."""

    name: str
    device: Device
    offline: bool = False
    overwrite: bool = False
    resume: bool = False
    report_to: str = "none"


class Shown(Protocol):
    """What shows a run to the user."""

    def table(self, rows: Sequence[tuple[str, ...]]) -> None: ...
    def told(self, message: str) -> None: ...
    def begin(self, figures: tuple[Figure, ...]) -> None: ...
    def step(self, progress: Progress) -> None: ...
    def epoch(self, scores: Scores) -> None: ...
    def end(self, history: History) -> None: ...


def train(recipe: Recipe, job: Job, shown: Shown) -> Path:
    """The folder of the trained model, registered under its name.

    Raises UsageError, DataError, ModelError or DeviceError, all before anything is registered;
    KeyboardInterrupt or Terminated once a checkpoint is saved.
    """
    recipes.check(recipe)
    recipe = recipes.settled(recipe)
    _check_name(job)
    spec = _base(recipe)
    data = read(recipe, shown)
    told = recipe.dtype if recipe.dtype != "auto" else job.device.dtype
    recipe = replace(recipe, dtype=told)
    with _run_folder(recipe, data, job) as folder:
        from nlpcli.training.fit import fit  # only now, since it imports torch

        return fit(spec, recipe, data, job, folder, shown)


def _base(recipe: Recipe) -> ModelSpec | None:
    """The model that the recipe names, without a download. Raises ModelError where there is none,
    or none that could be trained."""
    if not recipe.model:
        return None
    spec = registry.find(recipe.model).spec
    if spec.format not in ("transformers", "gguf"):
        names = ", ".join(registry.names("finetune")[:4])
        raise ModelError(
            f"{spec.name} cannot be trained: its format is {spec.format}",
            f"name a transformers model, such as {names}",
        )
    return spec


def read(recipe: Recipe, shown: Shown) -> Data:
    """The recipe's data, checked. Raises UsageError or DataError."""
    fields = Fields(
        text=recipe.text_field,
        label=recipe.label_field,
        source=recipe.source_field,
        target=recipe.target_field,
        prompt=recipe.prompt_field,
        completion=recipe.completion_field,
    )
    sources = Sources(
        train=list(recipe.train),
        valid=list(recipe.valid),
        train_target=list(recipe.train_target),
        valid_target=list(recipe.valid_target),
        format=recipe.input_format,
    )
    data = reading.read(
        recipe.task,
        sources,
        fields,
        multi_label=recipe.multi_label,
        on_error=recipe.on_error,
        duplicates=recipe.duplicates,
        valid_share=recipe.valid_share,
        seed=recipe.seed,
        report=shown.told,
    )
    shown.table(figures.rows(data))
    return data


def device(requested: str, dtype: str, threads: int) -> Device:
    """The device to train on; under torchrun each process has its own GPU, or its share of the
    CPUs. Raises UsageError or DeviceError."""
    here = processes()
    chosen = devices.select(requested, dtype, threads)
    if here.world == 1:
        return chosen
    if chosen.kind == "cuda":
        return chosen._replace(index=here.local)
    return chosen._replace(threads=threads or max(1, chosen.threads // here.here))


def run_folder(name: str) -> Path:
    """Where the unfinished run of the model `name` keeps its checkpoints."""
    return data_dir() / "runs" / registry.quoted(name)


def _check_name(job: Job) -> None:
    """Raise UsageError for a name that cannot be given."""
    registry.check_name(job.name)
    if job.name in registry.catalogue():
        raise UsageError(f"{job.name}: a built-in model has that name", "choose another")
    if job.overwrite:
        return
    entry = registry.read_entry(job.name).get("origin") == "user"
    if entry or registry.own_folder(job.name).exists():
        again = "--resume --overwrite" if job.resume else "--overwrite"
        raise UsageError(f"{job.name}: there is a model of that name", f"{again} replaces it")


@contextmanager
def _run_folder(recipe: Recipe, data: Data, job: Job) -> Iterator[Path]:
    """The folder of the run, which no other process uses, made or gone on with.

    Raises UsageError where there is an unfinished run and `resume` is not asked for, or the run
    was another.
    """
    from filelock import FileLock, Timeout

    folder = run_folder(job.name)
    ours: Processes = processes()
    if not ours.first:
        yield folder
        return
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{job.name}: another process trains a model of that name", "choose another name"
        ) from None
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    try:
        _check_name(job)  # another process may just have made it
        _settle(folder, recipe, data, job)
        yield folder
    finally:
        if checkpoints.last(folder) is None:  # nothing that could be lost
            place.discard(folder)
        lock.release()


def _settle(folder: Path, recipe: Recipe, data: Data, job: Job) -> None:
    """Make the folder, or check that it holds this very run."""
    this = {"recipe": _plain(recipe), "files": data.files}
    file = folder / "run.json"
    # Without a checkpoint there is nothing to lose.
    earlier = registry.read_json(file) if checkpoints.last(folder) else {}
    if job.resume:
        if not earlier:
            raise UsageError(f"{job.name}: no unfinished run", "leave out --resume")
        changed = _changed(earlier, this)
        if changed:
            raise UsageError(
                f"{job.name}: {changed} is not what it was when the run began",
                "--overwrite starts over",
            )
        return
    if earlier and not job.overwrite:
        raise UsageError(
            f"{job.name}: there is an unfinished run of that name",
            "--resume goes on with it, --overwrite starts over",
        )
    try:
        place.discard(folder)
        folder.mkdir(parents=True)
        registry.write_json(file, this)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(recipe.__dict__))
    return plain


def _changed(earlier: Mapping[str, Any], this: Mapping[str, dict[str, Any]]) -> str:
    """What differs between two runs; "" for nothing that changes what is learnt."""
    for name, value in this["recipe"].items():
        before = earlier.get("recipe", {}).get(name)
        if value != before and name not in ("max_minutes", "save_steps", "accumulate"):
            return recipes.option(name)
    for name, sha256 in this["files"].items():
        if earlier.get("files", {}).get(name) != sha256:
            return name
    return ""


def _unwritable(folder: Path, error: OSError) -> NlpcliError:
    return NlpcliError(
        f"{error.filename or folder}: cannot be written: {error.strerror}",
        "make room, or name another folder with XDG_DATA_HOME",
    )
