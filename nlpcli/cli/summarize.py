"""`nlpcli summarize`: its options, the task for the model named, and texts read as a stream."""

import os
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from nlpcli import registry, store
from nlpcli.backends import choice
from nlpcli.cli import tell
from nlpcli.cli.options import Shared, one_of, option, shared, utf8
from nlpcli.errors import DataError, ExitCode, UsageError
from nlpcli.registry import ModelSpec
from nlpcli.streams import COMPRESSED, STDIN, blocks, parts
from nlpcli.tasks.style import Length, Style

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nlpcli.cli.inference import Plan
    from nlpcli.tasks.abstract import Abstract
    from nlpcli.tasks.extract import Extract

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
MODEL = "minilm-l6"
SUMMARY = "Summary"
KINDS = ("encoder", "seq2seq", "decoder")


@app.command()
@shared
def summarize(
    given: Shared,
    length: Annotated[
        str,
        option(
            "--length",
            metavar="LENGTH",
            help="short, medium, long, or a share of the sentences: 10%.",
            panel=SUMMARY,
            autocompletion=one_of("short", "medium", "long", "10%"),
        ),
    ] = "medium",
    max_tokens: Annotated[
        int | None,
        option(
            "--max-tokens",
            metavar="N",
            help="At most N tokens of the model's.",
            panel=SUMMARY,
            min=1,
            show_default=False,
        ),
    ] = None,
    bullets: Annotated[
        bool, option("--bullets", help="A point on each line, after a dash.", panel=SUMMARY)
    ] = False,
    focus: Annotated[
        str,
        option(
            "--focus",
            metavar="WORDS",
            help="What the summary should be about.",
            panel=SUMMARY,
            show_default=False,
        ),
    ] = "",
    lines: Annotated[
        bool,
        option("--lines", help="Each line is a text; else a file is one.", panel=SUMMARY),
    ] = False,
) -> None:
    """Summarize texts: the sentences that say most, word for word.

    A file, or all of standard input, is one text; with --lines each line is. The default chooses
    whole sentences and invents nothing; -m takes a model that writes summaries of its own.
    """
    from nlpcli.cli.checks import check, input_format, output_format, streamed
    from nlpcli.cli.inference import Plan, infer
    from nlpcli.records import format_of
    from nlpcli.tasks.style import parse

    check(given)
    focus = utf8("--focus", focus)
    style = Style(
        parse(length), max_tokens, bullets, focus, given.size, given.output_field or "summary"
    )
    task, models = _task(given, style)
    plan = Plan(task, models, window=64, kinds=KINDS, verb="summarize")
    named = given.inputs or ["-"]
    formats = {format_of(name) for name in named} if given.input_format == "auto" else set()
    texts = not given.text and input_format(given) == "text" and formats <= {"text"}
    if texts and not lines and output_format(given) == "text":
        streamed(given)
        _stream(given, plan, task, named)
    else:
        infer(given, lambda _: plan, whole=not lines)


def _task(given: Shared, style: Style) -> "tuple[Extract | Abstract, tuple[ModelSpec, ...]]":
    """The task that the model named is for, and the model."""
    from nlpcli.tasks.extract import Extract

    if given.dry:
        return Extract(style._replace(length=Length("share", 1.0), max_tokens=None)), ()
    spec = registry.find(given.model or MODEL).spec
    if spec.tasks and "summarize" not in spec.tasks:
        return Extract(style), (spec,)  # refused before anything is downloaded
    choice.able(spec, given.backend)
    kind = choice.kind(store.fetch(spec, offline=given.offline))
    if kind == "encoder":
        return Extract(style), (spec,)
    from nlpcli.tasks.abstract import Abstract

    if style.focus and kind == "seq2seq":
        raise UsageError(f"--focus: {spec.name} takes no instructions", "leave one of them out")
    return Abstract(style, spec.architecture if kind == "seq2seq" else ""), (spec,)


def _stream(given: Shared, plan: "Plan", task: "Extract | Abstract", paths: list[str]) -> None:
    """Summarize each file as it is read."""
    from nlpcli.cli.inference import prepare
    from nlpcli.cli.progress import Progress
    from nlpcli.output import Output
    from nlpcli.records import check
    from nlpcli.runners.stream import cure

    check(paths)
    (backend,) = prepare(given, plan).open()
    failed = 0
    with (
        closing(backend),
        Output(given.output) as output,
        Progress(given, in_bytes=True, total=_size(paths)) as bar,
    ):
        for path in paths:
            name = "<stdin>" if path == STDIN else path
            try:
                for answer in task.whole(_read(path, bar.advance), backend):
                    if answer.error or not answer.line.strip():
                        raise DataError(answer.error or "the text is empty")
                    output.write(f"{answer.line}\n".encode())
                    if answer.warning and not given.quiet:
                        bar.tell(f"{name}: the summary {answer.warning}")
            except DataError as error:
                message = f"{name}: {error.message}"
                if given.on_error == "fail":
                    raise DataError(message, error.hint or cure(error.message)) from error
                failed += 1
                if not given.quiet:
                    bar.tell(message)
                if given.on_error == "null":
                    output.write(b"\n")
    if failed:
        tell(f"{failed} of {len(paths)} records failed")
        raise typer.Exit(ExitCode.FAILED)


def _read(path: str, advance: "Callable[[int], None]") -> "Iterator[str]":
    """The text in `path`, in parts; each counts as done when the next is asked for."""
    try:
        for text, size in parts(blocks(path)):
            yield text
            advance(size)
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"cannot be read: {why}") from error


def _size(paths: list[str]) -> int:
    """The bytes of all `paths` together, 0 where that is not known before they are read."""
    total = 0
    for path in paths:
        found = os.fstat(0) if path == STDIN else os.stat(path)
        if not stat.S_ISREG(found.st_mode) or path.endswith(COMPRESSED):
            return 0
        total += found.st_size
    return total
