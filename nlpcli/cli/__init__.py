"""The `nlpcli` command: finds the subcommand, reads config.toml, and turns failures into one line.

Each subcommand lives in a module of its own, imported only when it is called or listed.
"""

import errno
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from math import isfinite
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nlpcli import __version__
from nlpcli.errors import ExitCode, NlpcliError, Terminated, UsageError

COMMANDS = {
    "translate": "Translate text, line by line or record by record.",
    "summarize": "Summarize texts: the sentences that say most, word for word.",
    "classify": "Classify text, line by line or record by record.",
    "generate": "Answer prompts with a language model.",
    "chat": "Talk with a language model.",
    "finetune": "Train a model on a plain file, for use in every other command.",
    "eval": "Score outputs against references, with intervals and significance.",
    "models": "List, show, pull, add, remove and verify models.",
    "devices": "Show the processors and GPUs, and what each computes in.",
}

# What ended the run. Its frames hold the models, which would wait for their work to end if they
# were taken apart before the process leaves.
_ended: list[BaseException] = []
_NUMBERS = {"float range": "number", "int range": "whole number", "int": "whole number"}
# What Python and the loader say of threads and libraries that there is no memory for.
_NO_MEMORY = ("start new thread", "failed to map segment")


class Commands(TyperGroup):
    """The subcommands of COMMANDS, imported when asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]
        self.summaries = COMMANDS

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            command = typer.main.get_command(import_module(f"nlpcli.cli.{cmd_name}").app)
            command.name = cmd_name
            prepare(command)
            self.commands[cmd_name] = command
        return self.commands.get(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        format_help(self, ctx, formatter)


def format_help(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the help page of `command`."""
    from nlpcli.cli.help import write_page

    write_page(command, ctx, formatter)


def prepare(command: Any) -> None:
    """Give `command` our help page, and each of its options a variable: --batch-size reads
    NLPCLI_BATCH_SIZE. What may be given several times has none."""
    command.format_help = partial(format_help, command)
    for parameter in command.params:
        longest = max(getattr(parameter, "opts", ()), key=len, default="")
        several = getattr(parameter, "multiple", False)
        if longest.startswith("--") and longest != "--help" and not several:
            parameter.envvar = "NLPCLI_" + longest[2:].upper().replace("-", "_")
            parameter.show_envvar = False
        if parameter.type.name == "float range":
            parameter.type.convert = partial(_finite, parameter.type.convert)
        # "x is not a valid number", as errors say it.
        parameter.type.name = _NUMBERS.get(parameter.type.name, parameter.type.name)
    for subcommand in getattr(command, "commands", {}).values():
        prepare(subcommand)


def _finite(convert: Callable[..., float], value: Any, parameter: Any, context: Any) -> float:
    """What `convert` makes of `value`; nan is within every range, and inf where none ends it."""
    number = convert(value, parameter, context)
    if not isfinite(number):
        raise typer.BadParameter(f"{value} is not a finite number", context, parameter)
    return number


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"nlpcli {__version__}")
        raise typer.Exit


def _show_completion(shell: str) -> None:
    if not shell:
        return
    from nlpcli.cli.completion import SCRIPTS

    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {shell}", f"name one of {', '.join(SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    raise typer.Exit


@app.callback(epilog="man nlpcli explains files, formats, variables and exit codes.")
def nlpcli(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
    show_completion: Annotated[
        str,
        typer.Option(
            "--show-completion",
            metavar="SHELL",
            help="Print the completion script for bash, zsh or fish.",
            callback=_show_completion,
            is_eager=True,
            autocompletion=lambda incomplete: ["bash", "zsh", "fish"],
        ),
    ] = "",
) -> None:
    """The NLP toolbox for the shell."""


def run(arguments: list[str]) -> int:
    """Run the command line `arguments` and return its exit code; all output is flushed."""
    chosen = _complete if "_NLPCLI_COMPLETE" in os.environ else _command

    def flushed() -> int:
        code = chosen(arguments)
        sys.stdout.flush()
        return code

    return _guarded(flushed)


def _command(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    command.name = "nlpcli"
    from nlpcli.cli.config import defaults

    # Not command.main(): that turns a closed pipe into 1, and Ctrl-C into a silent 130.
    try:
        with command.make_context("nlpcli", arguments, default_map=defaults(arguments)) as context:
            command.invoke(context)
    except typer.Exit as leave:
        return leave.exit_code
    return ExitCode.DONE


def _complete(words: list[str]) -> int:
    from nlpcli.cli.completion import answer

    print(answer(typer.main.get_command(app), words))
    return ExitCode.DONE


def _guarded(run: Callable[[], int]) -> int:
    """The exit code of `run`; what it raises is told in one line and one of what to do."""
    try:
        return run()
    except NlpcliError as error:
        _trace()
        tell(error.message, error.hint)
        return error.code
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # which typer does not export
            typer.echo(str(error), err=True)
        else:
            tell(*_usage(error))
        return ExitCode.USAGE
    except BrokenPipeError:
        return ExitCode.DONE
    except (Terminated, KeyboardInterrupt, typer.Abort) as error:
        _ended.append(error)
        terminated = isinstance(error, Terminated)
        tell("terminated" if terminated else "interrupted")
        return ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED
    except OSError as error:
        _trace()
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EBADF):
            from nlpcli.output import unwritable

            problem = unwritable("standard output", error)
            tell(problem.message, problem.hint)
            return problem.code
        where = f"{error.filename}: " if error.filename else ""
        tell(f"{where}{error.strerror or error}")
        return ExitCode.DEVICE if error.errno == errno.ENOMEM else ExitCode.FAILED
    except Exception as error:
        _trace()
        text = " ".join(str(error).split())
        if isinstance(error, MemoryError) or any(said in text for said in _NO_MEMORY):
            told = f"out of memory: {text[:100]}" if text else "out of memory"
            tell(told, "try a smaller --batch-size or fewer --jobs")
            return ExitCode.DEVICE
        tell(f"internal error: {type(error).__name__}: {text}", "NLPCLI_DEBUG=1 shows where")
        return ExitCode.FAILED


def _trace() -> None:
    """Print where an error came from, if NLPCLI_DEBUG=1 asks for it."""
    if os.environ.get("NLPCLI_DEBUG") == "1":
        import traceback

        traceback.print_exc()


def tell(message: str, hint: str = "") -> None:
    """Print a message to standard error: one line, and one of what to do."""
    message, hint = " ".join(message.splitlines()), " ".join(hint.splitlines())
    lines = f"nlpcli: {message}\n" + (f"  {hint}\n" if hint else "")
    try:
        sys.stderr.write(lines)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody is there to be told


def _usage(error: Any) -> tuple[str, str]:
    """What typer found wrong with the command line, and where its help is."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "nlpcli"
    return message[:1].lower() + message[1:], f"see: {path} --help"
