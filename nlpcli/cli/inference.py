"""What every command that runs a model over records does: open the input and the output, load the
models on a device, run, and report. The command itself says only which task and which models."""

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import typer

from nlpcli import device, notice, registry, store
from nlpcli.backends import choice
from nlpcli.batching import FIRST_WINDOW, windows
from nlpcli.cli import tell
from nlpcli.cli.options import Shared
from nlpcli.cli.progress import Progress
from nlpcli.device import Device
from nlpcli.errors import ExitCode, ModelError, UsageError
from nlpcli.records import FORMATS, Reader, Record, format_of, text_record
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.runners import Job, Leg, choose, make
from nlpcli.runners.stream import ON_ERROR, run
from nlpcli.tasks import Task
from nlpcli.writing import Output, Writer


class Plan(NamedTuple):
    """What to run: a task and its models, a backend for each. `notes` are told to the user, `why`
    only under --verbose. `needs` maps the features (choice.FEATURES) that the last model's
    backend must have to the options that ask for them; `work` (choice.PREFERENCES) says what
    the backend should be good at; `window` is the most records answered at once, `first` how many
    of a long input are answered first. `kinds` are those of choice.KINDS that the models may be
    (empty: any), `verb` what another kind cannot do. `dtype` is the number format where the user
    names none."""

    task: Task
    models: tuple[ModelSpec, ...]
    needs: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    work: str = "batch"
    window: int = 512
    first: int = FIRST_WINDOW
    kinds: tuple[str, ...] = ()
    verb: str = ""
    dtype: str = "auto"


def infer(
    given: Shared,
    plan: Callable[[list[str]], Plan],
    *,
    also: Sequence[str] = (),
    whole: bool = False,
    draw: Callable[[Output], Any] | None = None,
) -> None:
    """Run the plan over the records that `given` names. `plan` gets the first texts that came;
    `also` and `whole` are records.Reader's; with `whole`, text output keeps line breaks. `draw`
    makes what writes text output in the place of a Writer.

    Raises typer.Exit with FAILED where records failed that did not end the run.
    """
    check(given)
    chunks, reader = read(given, also, whole)
    first = _beginning(chunks)
    made = plan([record.text for record in first if not record.error])
    job = prepare(given, made) if first else Job(made.task, (), Device("cpu"))
    name, jobs = choose(given.runner, job, given.jobs)
    if given.verbose:
        tell(f"runner {name}, {jobs} processes" if jobs > 1 else f"runner {name}")
    fields = (*made.task.fields, "error") if given.on_error == "null" else made.task.fields
    with Output(given.output) as output, make(name, job, jobs) as runner, Progress(given) as bar:
        format = output_format(given)
        writer: Any = (
            draw(output)
            if draw and format == "text"
            else Writer(output, format, given.field, fields, whole=whole)
        )
        summary = run(
            windows(
                chain([first], chunks), limit=min(runner.window, made.window), first=made.first
            ),
            runner,
            writer,
            fields=made.task.fields,
            on_error=given.on_error,
            report=lambda message: None if given.quiet else bar.tell(message),
            advance=bar.advance,
        )
        writer.finish(reader.columns if reader else ())
    for warning, count in summary.warnings.items():
        if not given.quiet:
            tell(f"{count} of {summary.written} records: the output {warning}")
    if summary.failed:
        tell(f"{summary.failed} of {summary.failed + summary.written} records failed")
        raise typer.Exit(ExitCode.FAILED)


def prepare(given: Shared, made: Plan) -> Job:
    """Tell the plan's notes, choose backends and a device, and bring the models here."""
    if not given.quiet:
        for note in made.notes:
            tell(note)
    job = _job(given, made)
    if given.verbose:
        _explain(made, job)
    gc.freeze()
    gc.enable()
    return job


def check(given: Shared) -> None:
    """Raise UsageError for a value that no option takes, DeviceError for a device not here."""
    notice.quiet = given.quiet
    for name, value, known in (
        ("--input-format", given.input_format, ("auto", *FORMATS)),
        ("--output-format", given.output_format, ("auto", *FORMATS)),
        ("--on-error", given.on_error, ON_ERROR),
        ("--backend", given.backend, ("auto", *choice.BACKENDS)),
        ("--dtype", given.dtype, device.DTYPES),
    ):
        if value not in known:
            raise UsageError(f"{name} {value}: no such value", f"name one of {', '.join(known)}")
    if given.output == "":
        raise UsageError("--output is empty", "name a file, or - for standard output")
    if given.inputs and given.text:
        raise UsageError("--text and input files do not go together", "leave one of them out")
    if given.batch_size != "auto" and not (given.batch_size.isdecimal() and int(given.batch_size)):
        raise UsageError(
            f"--batch-size {given.batch_size}: no such size", "give auto, or a number from 1 on"
        )
    device.check(given.device)


def read(
    given: Shared, also: Sequence[str], whole: bool
) -> tuple[Iterator[list[Record]], Reader | None]:
    """The records that `given` names, and their reader where they do not come from --text."""
    if given.text:
        texts = [os.fsencode(text) for text in given.text]
        return iter([[text_record("--text", n, t, whole) for n, t in enumerate(texts, 1)]]), None
    reader = Reader(given.inputs or [], given.input_format, given.field, also=also, whole=whole)
    return iter(reader), reader


def _beginning(chunks: Iterator[list[Record]]) -> list[Record]:
    """The first records, read until one of them says something, so that its language shows."""
    first: list[Record] = []
    for chunk in chunks:
        first += chunk
        if any(record.messages or record.text.strip() for record in chunk):
            break
    return first


def input_format(given: Shared) -> str:
    """The format of the first input."""
    if given.text or given.input_format != "auto":
        return "text" if given.text else given.input_format
    return format_of(given.inputs[0]) if given.inputs else "text"


def output_format(given: Shared) -> str:
    """The format to write: the one asked for, else the output file's, else the first input's."""
    if given.output_format != "auto":
        return given.output_format
    by_ending = format_of(given.output or "")
    return by_ending if by_ending != "text" else input_format(given)


def _job(given: Shared, made: Plan) -> Job:
    if given.dry:
        spec = ModelSpec("echo", (), "echo", ())
        return Job(made.task, (Leg(LocalModel(spec, Path()), "echo"),), Device("cpu"))
    for spec in made.models:  # before anything is downloaded
        if made.verb and spec.tasks and made.verb not in spec.tasks:
            raise _unfit(spec, made.verb, f"is for {' and '.join(spec.tasks)}")
        choice.able(spec, given.backend)
    models = [store.fetch(spec, offline=given.offline) for spec in made.models]
    for model in models:
        if made.kinds and (kind := choice.kind(model)) not in made.kinds:
            raise _unfit(model.spec, made.verb, f"is {choice.KINDS[kind]}")
    legs = [
        Leg(
            model,
            choice.choose(
                model,
                given.backend,
                given.device,
                work=made.work,
                needs=made.needs if model is models[-1] else None,
            ),
        )
        for model in models
    ]
    if given.dtype == "auto":
        given = given._replace(dtype=made.dtype)
    return Job(made.task, tuple(legs), _device(given, [leg.backend for leg in legs]))


def _unfit(spec: ModelSpec, verb: str, why: str) -> ModelError:
    names = registry.names(verb)
    more = f" (all: nlpcli models list --task {verb})" if len(names) > 4 else ""
    return ModelError(f"{spec.name} cannot {verb}: it {why}", f"can: {', '.join(names[:4])}{more}")


def _device(given: Shared, names: list[str]) -> Device:
    """The device and number format for the backends `names`, which share it."""
    entries = [choice.BACKENDS[name] for name in names]
    allowed = frozenset.intersection(*(entry.devices for entry in entries))
    formats = [entry.dtypes for entry in entries if entry.dtypes]
    if not formats and given.dtype != "auto":
        raise UsageError(
            f"--dtype {given.dtype}: the {names[0]} backend computes in its model's own format",
            "leave it out, or name another --backend",
        )
    preferred = "int8" if formats and all("int8" in some for some in formats) else ""
    chosen = device.select(
        given.device, given.dtype, given.threads, allowed=allowed, preferred=preferred
    )
    for name, entry in zip(names, entries, strict=True):
        if entry.dtypes and chosen.dtype not in entry.dtypes:
            raise UsageError(
                f"the {name} backend does not compute in {chosen.dtype}",
                f"choose one of {', '.join(sorted(entry.dtypes))}, or another --backend",
            )
    return chosen


def _explain(made: Plan, job: Job) -> None:
    for line in made.why:
        tell(line)
    for leg in job.legs:
        tell(f"model {leg.model.spec.name}, backend {leg.backend}")
    threads = f", {job.device.threads} threads" if job.device.kind == "cpu" else ""
    own = all(choice.BACKENDS[leg.backend].dtypes for leg in job.legs)
    form = f" in {job.device.dtype}" if own else ""
    tell(f"device {job.device}{form}{threads}: {job.device.why}")
