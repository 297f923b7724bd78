"""What every command that runs a model over records does: open the input and the output, load the
models on a device, run, and report. The command itself says only which task and which models."""

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import typer

from nlpcli import device, partfile, registry, store
from nlpcli.backends import choice
from nlpcli.batching import FIRST_WINDOW, windows
from nlpcli.cli import portions, tell
from nlpcli.cli.checks import check, output_format
from nlpcli.cli.identity import identity
from nlpcli.cli.interrupt import Interrupt
from nlpcli.cli.options import Shared
from nlpcli.cli.portions import shard
from nlpcli.cli.progress import Progress
from nlpcli.device import Device
from nlpcli.errors import ExitCode, ModelError, UsageError
from nlpcli.output import Output, Sink, regular
from nlpcli.partfile import Checkpoint, PartFile
from nlpcli.records import Reader, Record, text_record
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.runners import Job, Leg, choose, make
from nlpcli.runners.stream import Summary, run
from nlpcli.tasks import Task
from nlpcli.writing import Writer, header


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
    draw: Callable[[Sink], Any] | None = None,
) -> None:
    """Run the plan over the records that `given` names. `plan` gets the first texts that came;
    `also` and `whole` are records.Reader's; with `whole`, text output keeps line breaks. `draw`
    makes what writes text output in the place of a Writer.

    Raises typer.Exit with FAILED where records failed that did not end the run.
    """
    portion = shard(given.shard)
    check(given)
    partfile.check(given.output, resume=given.resume, restart=given.restart)
    chunks, reader = read(given, also, whole)
    first = _beginning(chunks)
    made = plan([record.text for record in first if not record.error])
    job = prepare(given, made) if first else Job(made.task, (), Device("cpu"))
    name, jobs = choose("ray" if given.ray_address else given.runner, job, given.jobs)
    if given.verbose:
        tell(f"runner {name}, {jobs} processes" if jobs > 1 else f"runner {name}")
    fields = (*made.task.fields, "error") if given.on_error == "null" else made.task.fields
    format = output_format(given)
    drawing = draw if format == "text" else None
    resumable = bool(given.output and regular(given.output) and not drawing)
    if not resumable and (given.resume or given.restart):
        raise UsageError("--resume and --restart do not go with a drawing", "leave them out")
    begin, end = portion.of(reader.count()) if portion and reader else (0, None)
    with (
        Interrupt() if resumable else nullcontext() as interrupt,
        _part(given, job, fields, format, whole) if resumable else Output(given.output) as output,
        make(name, job, jobs, at_home=not given.jobs, address=given.ray_address or "") as runner,
        Progress(given) as bar,
    ):
        last = output.last if isinstance(output, PartFile) else Checkpoint()
        summary = Summary(last.state)
        # The columns of all shards are those of the first.
        good = (record for record in first if not record.error)
        above = next((header(each, given.field, fields) for each in good), ()) if portion else ()
        heads = not portion or portion.number == 1
        writer: Any = (
            drawing(output)
            if drawing
            else Writer(
                output,
                "jsonl" if format == "parquet" else format,
                given.field,
                fields,
                whole=whole,
                heads=heads,
                columns=last.state.get("columns", () if heads else above),
            )
        )

        def save(summary: Summary) -> None:
            if isinstance(output, PartFile) and writer.columns is not None:
                output.checkpoint({**summary.state(), "columns": writer.columns})

        run(
            windows(
                portions.between(chain([first], chunks), begin, end, summary),
                limit=min(runner.window, made.window),
                first=made.first,
                stop=interrupt.stop if interrupt else None,
            ),
            runner,
            writer,
            fields=made.task.fields,
            on_error=given.on_error,
            report=lambda message: None if given.quiet else bar.tell(message),
            advance=bar.advance,
            summary=summary,
            dedupe=given.dedupe,
            save=save,
        )
        stopped = interrupt and interrupt.code
        if not stopped:
            writer.finish((reader.columns if reader else ()) or above)
            save(summary)
            if isinstance(output, PartFile):
                output.finish()
    if stopped:
        tell("interrupted" if stopped == ExitCode.INTERRUPTED else "terminated")
        raise typer.Exit(stopped)
    _tell(summary, given.quiet)


def _tell(summary: Summary, quiet: bool) -> None:
    """Say what became of the records that were not answered as asked. Raises typer.Exit with FAILED
    where some failed."""
    for warning, count in summary.warnings.items():
        if not quiet:
            tell(f"{count} of {summary.written} records: the output {warning}")
    if summary.failed:
        tell(f"{summary.failed} of {summary.failed + summary.written} records failed")
        raise typer.Exit(ExitCode.FAILED)


def _part(given: Shared, job: Job, fields: tuple[str, ...], format: str, whole: bool) -> PartFile:
    """The output as a file that can be gone on with."""
    settings = {
        "input format": given.input_format,
        "output format": format,
        "--field": given.field,
        "fields": " ".join(fields) if format in ("csv", "tsv") else "",
        "--shard": given.shard,
        "--deterministic": given.deterministic,
        "--lines": not whole,
    }
    told = identity(given.inputs or (["-"] if not given.text else []), job, settings)
    if given.text:
        told["--text"] = given.text
    convert = import_module("nlpcli.parquet").from_jsonl if format == "parquet" else None
    return PartFile(given.output or "", told, resume=given.resume, convert=convert)


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
    every = {"deterministic": "--deterministic"} if given.deterministic else {}
    legs = [
        Leg(
            model,
            choice.choose(
                model,
                given.backend,
                given.device,
                work=made.work,
                needs={**every, **made.needs} if model is models[-1] else every,
            ),
        )
        for model in models
    ]
    if given.dtype == "auto":
        given = given._replace(dtype=made.dtype)
    chosen = _device(given, [leg.backend for leg in legs])
    gpus = len(device.cuda_devices()) if given.device == "cuda" else 1
    return Job(made.task, tuple(legs), chosen, gpus)


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
    threads = 1 if given.deterministic else given.threads
    chosen = device.select(
        given.device, given.dtype, threads, allowed=allowed, preferred=preferred
    )._replace(deterministic=given.deterministic)
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
