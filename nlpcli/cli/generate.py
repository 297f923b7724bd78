"""`nlpcli generate`: its options, and whether the answer streams or records are batched."""

import random
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from nlpcli import registry
from nlpcli.backends import Decoding
from nlpcli.cli import tell
from nlpcli.cli.options import Shared, option, shared, utf8
from nlpcli.cli.sampling import GENERATION, Seed, Stop, System, TopK, TopP
from nlpcli.errors import DataError, ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nlpcli.backends import Delta
    from nlpcli.cli.inference import Plan
    from nlpcli.output import Output
    from nlpcli.tasks.generate import Generate

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
MODEL = "smollm2-135m-instruct"
CONSTRAINTS = "Form of the output"
_SAMPLED = 0.8
_WINDOW = 256  # records


@app.command()
@shared
def generate(
    given: Shared,
    context: typer.Context,
    system: System = "",
    max_tokens: Annotated[
        int,
        option("--max-tokens", metavar="N", help="End after N tokens.", panel=GENERATION, min=1),
    ] = 512,
    temperature: Annotated[
        float | None,
        option(
            "--temperature",
            metavar="T",
            help="0 takes the likeliest token each time, the same on every run; above it tokens "
            "are sampled. [default: 0; 0.8 with --num, --top-p or --top-k]",
            panel=GENERATION,
            min=0.0,
            show_default=False,
        ),
    ] = None,
    top_p: TopP = None,
    top_k: TopK = None,
    seed: Seed = None,
    stop: Stop = None,
    num: Annotated[
        int, option("--num", metavar="N", help="Answers to each prompt.", panel=GENERATION, min=1)
    ] = 1,
    raw: Annotated[
        bool,
        option(
            "--raw", help="Continue the prompt as it is, without a chat template.", panel=GENERATION
        ),
    ] = False,
    lines: Annotated[
        bool,
        option(
            "--lines",
            help="Each line is a prompt, and each answer a line; else a file is a prompt.",
            panel=GENERATION,
        ),
    ] = False,
    schema: Annotated[
        str | None,
        option(
            "--schema",
            metavar="FILE",
            help="Put out JSON that follows this JSON Schema: a file, or the schema itself.",
            panel=CONSTRAINTS,
            show_default=False,
        ),
    ] = None,
    grammar: Annotated[
        str | None,
        option(
            "--grammar",
            metavar="FILE",
            help="Put out what follows this grammar in GBNF, llama.cpp's notation.",
            panel=CONSTRAINTS,
            show_default=False,
        ),
    ] = None,
    extract: Annotated[
        bool,
        option("--extract", help="Put out the first fenced code block alone.", panel=CONSTRAINTS),
    ] = False,
    logprobs: Annotated[
        int | None,
        option(
            "--logprobs",
            metavar="N",
            help="Give each token's log-probability and those of the N likeliest in its place.",
            panel=CONSTRAINTS,
            min=0,
            max=20,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Answer prompts with a language model.

    A file, all of standard input or --text is one prompt; with --lines each line is. A single
    prompt is answered as the words come, many are computed together. The default model is
    smollm2-135m-instruct; -m takes any other.
    """
    from nlpcli.cli.checks import check, input_format, output_format, streamed
    from nlpcli.cli.constraints import unescaped
    from nlpcli.cli.inference import Plan, infer
    from nlpcli.tasks.generate import Generate

    check(given)
    if raw and system:
        raise UsageError("--raw and --system do not go together", "leave one of them out")
    if logprobs is not None and output_format(given) == "text":
        raise UsageError("--logprobs: text output has no place for them", "add -f jsonl")
    decoding = _decoding(given, max_tokens, temperature, top_p, top_k, num)._replace(
        stop=tuple(unescaped(each) for each in stop or ()), logprobs=logprobs
    )
    if schema is not None or grammar is not None:
        decoding = _constrained(decoding, schema, grammar)
    chosen = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    sampled = decoding.temperature > 0
    field = given.output_field or "generation"
    task = Generate(
        decoding,
        utf8("--system", system),
        raw,
        chosen * sampled,
        extract and not given.dry,
        lines,
        field,
    )
    if len(set(task.fields)) < len(task.fields):
        raise UsageError(f"--output-field {field}: that field is taken", "name another")
    source = context.get_parameter_source("field")
    if source is None or source.name == "DEFAULT":
        given = given._replace(field="prompt")
        also: tuple[str, ...] = ("text",) if raw else ("text", "messages")
    else:
        also = ("messages",) if given.field == "messages" and not raw else ()
    alone = len(given.text or given.inputs or "-") == 1 and input_format(given) == "text"
    streams = alone and not (lines or decoding.schema or num > 1) and output_format(given) == "text"
    plan = Plan(
        task,
        () if given.dry else (registry.find(given.model or MODEL).spec,),
        _needs(decoding)
        | ({"repeat": "--deterministic"} if sampled and given.deterministic else {}),
        why=(f"seed {chosen}",) if sampled else (),
        work="stream" if streams else "sample" if sampled else "batch",
        # Small windows would make small batches, of which a token costs several times as much.
        window=_WINDOW,
        first=_WINDOW,
        kinds=("decoder",),
        verb="generate",
    )
    if streams:
        streamed(given)
        _stream(given, plan, task)
    else:
        infer(given, lambda texts: plan, also=also, whole=not lines)


def _decoding(
    given: Shared,
    max_tokens: int,
    temperature: float | None,
    top_p: float | None,
    top_k: int | None,
    num: int,
) -> Decoding:
    """How to search; sampling is what --num, --top-p and --top-k ask for."""
    top_p, top_k = 1.0 if top_p is None else top_p, top_k or 0
    sampled = num > 1 or top_p < 1 or top_k > 0
    if temperature is None:
        temperature = _SAMPLED if sampled else 0.0
    elif temperature == 0 and num > 1:
        raise UsageError(
            f"--num {num}: at --temperature 0 all answers are the same", "raise --temperature"
        )
    return Decoding(
        nbest=num,
        max_tokens=max_tokens,
        batch_size=given.size,
        temperature=temperature,
        top_p=top_p or 1e-6,  # the likeliest token alone makes up 0
        top_k=top_k,
    )


def _constrained(decoding: Decoding, schema: str | None, grammar: str | None) -> Decoding:
    if schema is not None and grammar is not None:
        raise UsageError("--schema and --grammar do not go together", "leave one of them out")
    from nlpcli.cli import constraints

    if schema is not None:
        return decoding._replace(schema=constraints.schema(schema))
    return decoding._replace(grammar=constraints.grammar(grammar or ""))


def _needs(decoding: Decoding) -> dict[str, str]:
    """The features that the backend must have, and the options that ask for them."""
    asked = {
        "--schema": ("constrain", decoding.schema),
        "--grammar": ("constrain", decoding.grammar),
        "--logprobs": ("logprobs", decoding.logprobs is not None),
        "--temperature": ("sample", decoding.temperature),
    }
    return {feature: name for name, (feature, given) in asked.items() if given}


def _stream(given: Shared, plan: "Plan", task: "Generate") -> None:
    """Answer the one prompt, each piece as it comes."""
    from nlpcli.cli.inference import prepare, read
    from nlpcli.output import Output
    from nlpcli.runners.stream import cure

    records, _ = read(given, (), whole=True)
    record = next(records)[0]
    finish = failed = ""
    with Output(given.output) as output:
        try:
            if record.error:
                raise DataError(record.error)
            (backend,) = prepare(given, plan).open()
            with closing(backend):
                finish = _write(task.stream(record.text, backend), output)
        except DataError as error:
            failed = f"{record.where}: {error.message}"
            if given.on_error == "fail":
                raise DataError(failed, error.hint or cure(error.message)) from error
            tell(failed, error.hint)
            if given.on_error == "null":
                output.write(b"\n")
    if failed:
        raise typer.Exit(ExitCode.FAILED)
    if finish == "length" and not given.quiet:
        tell(f"the output {task.cut_off}", "--max-tokens N gives it more room")


def _write(deltas: "Iterator[Delta]", output: "Output") -> str:
    """Write all pieces, a line end after the last, and return how the output ended."""
    end = finish = ""
    try:
        for text, finish in deltas:  # noqa: B007
            if text:
                output.write(text.encode(errors="replace"))
                end = text[-1]
    except KeyboardInterrupt:
        if end and sys.stdout.isatty():
            output.write(b"\n")
        raise
    if end != "\n":
        output.write(b"\n")
    return finish
