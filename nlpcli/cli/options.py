"""The options that several commands share: each is declared here once, with its help."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from nlpcli.backends.choice import BACKENDS
from nlpcli.device import DTYPES
from nlpcli.errors import UsageError
from nlpcli.inputs import expand
from nlpcli.records import FORMATS
from nlpcli.runners import RUNNERS
from nlpcli.runners.stream import ON_ERROR

INPUT = "Input and output"
MODEL = "Model and device"
RUNNING = "Running"


def option(*names: str, help: str, panel: str, **more: Any) -> Any:
    """An option in a panel of the help page. Its variable is added when the command is built."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


def one_of(*choices: str) -> Callable[[str], list[str]]:
    """A completion over fixed choices."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def model_names(incomplete: str) -> list[str]:
    """A completion over the models known here."""
    from nlpcli import registry

    return [name for name in registry.names() if name.startswith(incomplete)]


def languages(incomplete: str) -> list[tuple[str, str]]:
    """A completion over language tags, with their English names."""
    from nlpcli.languages import table

    return [(tag, row.name) for tag, row in table().items() if tag.startswith(incomplete)]


def devices(incomplete: str) -> list[str]:
    """A completion over the devices of this machine."""
    from nlpcli.device import cuda_devices

    names = ["auto", "cpu", "cuda", *(found.device for found in cuda_devices()), "mps", "xpu"]
    return [name for name in names if name.startswith(incomplete)]


DEVICE = option(
    "--device",
    "-d",
    metavar="DEVICE",
    help="auto, cpu, cuda, cuda:1, mps or xpu.",
    panel=MODEL,
    autocompletion=devices,
)
BACKEND = option(
    "--backend",
    metavar="NAME",
    help=f"auto, {', '.join(BACKENDS)}.",
    panel=MODEL,
    autocompletion=one_of("auto", *BACKENDS),
)
DTYPE = option(
    "--dtype",
    metavar="TYPE",
    help=f"The number format: {', '.join(DTYPES)}.",
    panel=MODEL,
    autocompletion=one_of(*DTYPES),
)
OFFLINE = option("--offline", help="Open no network connection; use what is here.", panel=MODEL)


class Shared(NamedTuple):
    """The options of every command that runs a model over records."""

    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Files, folders or patterns; - or none: standard input. May be .gz or .zst.",
            show_default=False,
        ),
    ] = None
    text: Annotated[
        list[str] | None,
        option(
            "--text",
            metavar="TEXT",
            help="Take TEXT itself as a record; may be given several times.",
            panel=INPUT,
            show_default=False,
        ),
    ] = None
    input_format: Annotated[
        str,
        option(
            "--input-format",
            "-i",
            metavar="FORMAT",
            help="text, jsonl, csv, tsv or parquet; auto goes by the file's ending, text on "
            "standard input.",
            panel=INPUT,
            autocompletion=one_of("auto", *FORMATS),
        ),
    ] = "auto"
    output_format: Annotated[
        str,
        option(
            "--output-format",
            "-f",
            metavar="FORMAT",
            help="text, jsonl, csv, tsv or parquet; auto goes by the output's ending, else as the "
            "input.",
            panel=INPUT,
            autocompletion=one_of("auto", *FORMATS),
        ),
    ] = "auto"
    field: Annotated[
        str,
        option("--field", metavar="NAME", help="The field or column to work on.", panel=INPUT),
    ] = "text"
    output_field: Annotated[
        str | None,
        option(
            "--output-field",
            metavar="NAME",
            help="The field or column to add; named for the command by default.",
            panel=INPUT,
            show_default=False,
        ),
    ] = None
    output: Annotated[
        str | None,
        option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to FILE, which appears when all is done; .gz or .zst compresses.",
            panel=INPUT,
            show_default=False,
        ),
    ] = None
    resume: Annotated[
        bool,
        option("--resume", help="Go on with FILE where an earlier run was ended.", panel=INPUT),
    ] = False
    restart: Annotated[
        bool,
        option("--restart", help="Throw away what an earlier run left unfinished.", panel=INPUT),
    ] = False
    shard: Annotated[
        str,
        option(
            "--shard",
            metavar="K/N",
            help="Work on the K-th of N parts of the records: 1/4 is the first quarter.",
            panel=INPUT,
            show_default=False,
        ),
    ] = ""
    on_error: Annotated[
        str,
        option(
            "--on-error",
            metavar="fail|skip|null",
            help="A bad record ends the run, is left out, or is written without an answer.",
            panel=INPUT,
            autocompletion=one_of(*ON_ERROR),
        ),
    ] = "fail"
    model: Annotated[
        str | None,
        option(
            "--model",
            "-m",
            metavar="MODEL",
            help="A name from `nlpcli models list`, a folder, org/name on the Hub, or openai:NAME.",
            panel=MODEL,
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None
    device: Annotated[str, DEVICE] = "auto"
    backend: Annotated[str, BACKEND] = "auto"
    dtype: Annotated[str, DTYPE] = "auto"
    offline: Annotated[bool, OFFLINE] = False
    batch_size: Annotated[
        str,
        option(
            "--batch-size",
            metavar="auto|N",
            help="Texts computed at once; auto fills a token budget.",
            panel=RUNNING,
        ),
    ] = "auto"
    threads: Annotated[
        int,
        option(
            "--threads",
            metavar="N",
            help="CPU threads; 0: all this process may use.",
            panel=RUNNING,
            min=0,
        ),
    ] = 0
    jobs: Annotated[
        int,
        option(
            "--jobs",
            metavar="N",
            help="Worker processes; 0: as many as suit the backend.",
            panel=RUNNING,
            min=0,
        ),
    ] = 0
    runner: Annotated[
        str,
        option(
            "--runner",
            metavar="NAME",
            help="auto, local (this process), pool (several) or ray (a Ray cluster).",
            panel=RUNNING,
            autocompletion=one_of("auto", *RUNNERS),
        ),
    ] = "auto"
    ray_address: Annotated[
        str | None,
        option(
            "--ray-address",
            metavar="HOST:PORT",
            help="The Ray cluster to run on; without it, one of this machine alone.",
            panel=RUNNING,
            show_default=False,
        ),
    ] = None
    dedupe: Annotated[
        bool,
        option("--dedupe/--no-dedupe", help="Compute equal texts once.", panel=RUNNING),
    ] = True
    deterministic: Annotated[
        bool,
        option(
            "--deterministic",
            help="The same bytes at any batch size, and number of threads, jobs and shards: "
            "one text at a time on one thread.",
            panel=RUNNING,
        ),
    ] = False
    dry_run: Annotated[
        bool,
        option(
            "--dry-run",
            help="Read, split and write as a real run would, but give each text back as it is.",
            panel=RUNNING,
        ),
    ] = False
    progress: Annotated[
        bool | None,
        option(
            "--progress/--no-progress",
            help="Show progress on standard error; by default where that is a terminal.",
            panel=RUNNING,
            show_default=False,
        ),
    ] = None
    quiet: Annotated[
        bool, option("--quiet", "-q", help="Print no notices, only errors.", panel=RUNNING)
    ] = False
    verbose: Annotated[
        bool,
        option(
            "--verbose",
            "-v",
            help="Say which model, backend and device ran, and why.",
            panel=RUNNING,
        ),
    ] = False

    @property
    def dry(self) -> bool:
        """Whether each text comes back as it is, and no model is needed."""
        return self.dry_run or self.backend == "echo"

    @property
    def size(self) -> int:
        """The batch size, checked by checks.check; 0: a token budget."""
        if self.deterministic:
            return 1
        return 0 if self.batch_size == "auto" else int(self.batch_size)


def taking(
    *names: str, kind: type[Any] = Shared
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn `command(given, *, …)` into a typer command that has the options `names` of `kind` too.

    They come to it together as `given`; the inputs stand first, the command's own options next.
    """

    def turned(command: Callable[..., Any]) -> Callable[..., Any]:
        own = list(inspect.signature(command).parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        others = [
            inspect.Parameter(name, keyword, default=default, annotation=kind.__annotations__[name])
            for name, default in kind._field_defaults.items()
            if name in names
        ]
        inputs = [others.pop(0)] if {"inputs", "options"} & {*names} else []
        parameters = [*inputs, *(each.replace(kind=keyword) for each in own), *others]

        def call(**values: Any) -> Any:
            given = kind(**{name: values.pop(name) for name in names})
            if getattr(given, "inputs", None):
                given = given._replace(inputs=expand(given.inputs))
            return command(given, **values)

        call.__name__, call.__doc__ = command.__name__, command.__doc__
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return call

    return turned


shared = taking(*Shared._fields)


def utf8(what: str, text: str) -> str:
    """`text` as it was typed. Raises UsageError where it holds bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{what} is not valid UTF-8", "set the terminal and LANG to UTF-8"
        ) from None
    return text
