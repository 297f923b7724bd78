"""The options of `nlpcli finetune`: the settings of a recipe, and those of the run itself."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from nlpcli.cli.options import DEVICE, MODEL, OFFLINE, languages, model_names, one_of, option
from nlpcli.errors import UsageError
from nlpcli.training.recipe import SETTINGS, Recipe, Setting, read
from nlpcli.training.recipe import option as name_of

RUN = "Run"
_SHORT = {"model": "-m"}
_TYPES = {
    "float": float,
    "int": int,
    "bool": bool,
    "str": str,
    "float | None": float | None,
    "int | None": int | None,
    "str | None": str | None,
    "tuple[str, ...]": list[str] | None,
}
_COMPLETED = {
    "model": model_names,
    "source_language": languages,
    "target_language": languages,
}


def _recipe_file(context: typer.Context, path: str | None) -> str | None:
    """Take the settings of a recipe as defaults, before those of config.toml."""
    if path:
        found = read(Path(path).expanduser())
        task = found.pop("task", context.command.name)
        if task != context.command.name:
            raise UsageError(f"{path}: a recipe for {task}", f"use nlpcli finetune {task}")
        context.default_map = {**(context.default_map or {}), **found}
    return path


class Run(NamedTuple):
    """What a run is apart from its recipe."""

    recipe: Annotated[
        str | None,
        option(
            "--recipe",
            metavar="FILE",
            help="Take the settings of FILE, or of the recipe in a model's folder.",
            panel=RUN,
            show_default=False,
            is_eager=True,
            callback=_recipe_file,
        ),
    ] = None
    name: Annotated[
        str | None,
        option(
            "--name", metavar="NAME", help="What to call the model.", panel=RUN, show_default=False
        ),
    ] = None
    overwrite: Annotated[
        bool,
        option("--overwrite", help="Replace a model or an unfinished run of that name.", panel=RUN),
    ] = False
    resume: Annotated[
        bool, option("--resume", help="Go on with an unfinished run of that name.", panel=RUN)
    ] = False
    report_to: Annotated[
        str,
        option(
            "--report-to",
            metavar="none|tensorboard",
            help="Write losses and scores for TensorBoard too.",
            panel=RUN,
            autocompletion=one_of("none", "tensorboard"),
        ),
    ] = "none"
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[
        int,
        option(
            "--threads",
            metavar="N",
            help="CPU threads; 0: all this process may use.",
            panel=MODEL,
            min=0,
        ),
    ] = 0
    offline: Annotated[bool, OFFLINE] = False
    progress: Annotated[
        bool | None,
        option(
            "--progress/--no-progress",
            help="Show progress on standard error; by default where that is a terminal.",
            panel=RUN,
            show_default=False,
        ),
    ] = None
    quiet: Annotated[
        bool, option("--quiet", "-q", help="Print no notices, only errors.", panel=RUN)
    ] = False


def training(command: Callable[[Run, Recipe], None]) -> Callable[..., None]:
    """Turn `command(run, recipe)`, named for its task, into a typer command with the settings of
    that task and the options of the run."""
    task = command.__name__
    keyword = inspect.Parameter.KEYWORD_ONLY
    settings = [
        inspect.Parameter(each.name, keyword, default=_default(each), annotation=_annotated(each))
        for each in fields(Recipe)
        if each.name in SETTINGS and task in SETTINGS[each.name].tasks
    ]
    own = [
        inspect.Parameter(name, keyword, default=default, annotation=Run.__annotations__[name])
        for name, default in Run._field_defaults.items()
    ]
    parameters = [*settings, *own]

    def call(**values: Any) -> None:
        run = Run(**{name: values.pop(name) for name in Run._fields})
        listed = {name: tuple(each) for name, each in values.items() if isinstance(each, list)}
        given = {name: each for name, each in (values | listed).items() if each is not None}
        command(run, Recipe(task=task, **given))

    call.__name__, call.__doc__ = task, command.__doc__
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _default(field: Any) -> Any:
    return None if field.default == () else field.default


def _annotated(field: Any) -> Any:
    """A setting as typer's annotation."""
    setting: Setting = SETTINGS[field.name]
    more: dict[str, Any] = {}
    if field.default in (None, ()):
        more["show_default"] = False
    if setting.metavar:
        more["metavar"] = setting.metavar
    for bound in ("min", "max"):
        value = getattr(setting, bound)
        if value is not None:
            more[bound] = value
    completed = _COMPLETED.get(field.name)
    if completed or setting.choices:
        more["autocompletion"] = completed or one_of(*setting.choices)
    names = [name_of(field.name)]
    if field.name in _SHORT:
        names.append(_SHORT[field.name])
    return Annotated[
        _TYPES[field.type], option(*names, help=setting.help, panel=setting.panel, **more)
    ]
