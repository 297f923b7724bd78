"""`nlpcli chat`: the lines a user types, in a terminal or a script, and what becomes of each."""

import os
import sys
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from nlpcli import settings as folders
from nlpcli.cli import tell
from nlpcli.cli.generate import MODEL
from nlpcli.cli.options import Shared, option, taking, utf8
from nlpcli.cli.sampling import GENERATION, Seed, Stop, System, TopK, TopP
from nlpcli.errors import DataError, ExitCode, NlpcliError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nlpcli.cli.conversation import Conversation
    from nlpcli.cli.screen import Screen

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
_HISTORY = 1000  # lines kept


@app.command()
@taking("model", "device", "backend", "dtype", "offline", "threads", "quiet", "verbose")
def chat(
    given: Shared,
    system: System = "",
    load: Annotated[
        str | None,
        option(
            "--load",
            metavar="FILE",
            help="Continue the dialogue that /save wrote to FILE.",
            panel=GENERATION,
            show_default=False,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        option(
            "--temperature",
            metavar="T",
            help="0 takes the likeliest token each time; above it tokens are sampled. "
            "[default: 0.7]",
            panel=GENERATION,
            min=0.0,
            show_default=False,
        ),
    ] = None,
    top_p: TopP = None,
    top_k: TopK = None,
    max_tokens: Annotated[
        int | None,
        option(
            "--max-tokens",
            metavar="N",
            help="End an answer after N tokens. [default: 1024]",
            panel=GENERATION,
            min=1,
            show_default=False,
        ),
    ] = None,
    seed: Seed = None,
    stop: Stop = None,
) -> None:
    r"""Talk with a language model.

    /help lists the commands of the dialogue, Ctrl-C stops an answer, Ctrl-D leaves. Where standard
    input is not a terminal, each line of it is a message or a command. The default model is
    smollm2-135m-instruct; -m takes any other.
    """
    from nlpcli.cli import chat_commands
    from nlpcli.cli.checks import check
    from nlpcli.cli.constraints import unescaped
    from nlpcli.cli.conversation import Conversation, Settings
    from nlpcli.cli.screen import Screen

    check(given)
    chosen = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_tokens": max_tokens,
        "seed": seed,
        "stop": [unescaped(each) for each in stop or ()] or None,
    }
    system = utf8("--system", system)
    with closing(Conversation(given, Settings())) as talk:
        if load is not None:
            chat_commands.resume(load, talk, given.model or "")
        if not talk.model:
            talk.use(given.model or MODEL)
        for name, value in chosen.items():
            if value is not None:
                talk.settings = talk.settings.changed(name, value)
        if system:
            talk.system(system)
        screen = Screen(given.quiet)
        if sys.stdin.isatty() and screen.terminal:
            screen.note(f"{talk.model} on {talk.backend}; /help lists commands, Ctrl-D leaves")
            with _editing():
                _converse(talk, screen)
        elif not _follow(talk, screen):
            raise typer.Exit(ExitCode.FAILED)


def _converse(talk: "Conversation", screen: "Screen") -> None:
    """Answer what is typed until the user leaves."""
    from nlpcli.cli.chat_commands import Leave

    interrupted = False
    while True:
        try:
            line = _typed(screen)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            if interrupted:
                return
            interrupted = True
            screen.note("Ctrl-C once more leaves, as Ctrl-D does")
            continue
        except UnicodeDecodeError:
            tell("not valid UTF-8: the line was left out")
            continue
        interrupted = False
        try:
            with _unechoed():
                _turn(line, talk, screen)
        except Leave:
            return
        except NlpcliError as error:
            tell(error.message, error.hint)
        except KeyboardInterrupt:
            screen.note("stopped")


def _typed(screen: "Screen") -> str:
    """A message, which goes on where a line ends with a backslash."""
    prompt = screen.styled("1;36", "> ", prompt=True)
    line = input(prompt)
    while line.endswith("\\"):
        line = f"{line[:-1]}\n{input(prompt)}"
    return line


def _follow(talk: "Conversation", screen: "Screen") -> bool:
    """Answer each line of standard input; whether all went well."""
    from nlpcli.cli.chat_commands import Leave

    well = True
    for message in _messages():
        try:
            if message is None:
                raise DataError("not valid UTF-8: a line was left out")
            _turn(message, talk, screen)
        except Leave:
            break
        except NlpcliError as error:
            tell(error.message, error.hint)
            well = False
    return well


def _messages() -> "Iterator[str | None]":
    """The messages on standard input, each as soon as it is there; None for one not in UTF-8."""
    begun: list[str] = []
    with open(0, "rb", closefd=False) as lines:
        for line in lines:
            try:
                text = line.decode().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError:
                yield None
                continue
            begun.append(text.removesuffix("\\"))
            if not text.endswith("\\"):
                yield "\n".join(begun)
                begun.clear()
    if begun:
        yield "\n".join(begun)


def _turn(line: str, talk: "Conversation", screen: "Screen") -> None:
    """Do what a line says: a command, or a message to answer. Raises Leave, or NlpcliError."""
    from nlpcli.cli import chat_commands

    line = utf8("this line", line)
    if line.startswith("/"):
        chat_commands.run(line, talk, screen)
    elif line.strip():
        _answer(line, talk, screen)


def _answer(message: str, talk: "Conversation", screen: "Screen") -> None:
    """Show the answer to `message` as it comes; Ctrl-C ends it there."""
    all_seen = not talk.left_out
    began = False
    with closing(talk.answer(message)) as pieces:
        try:
            for piece in pieces:
                if not began and all_seen and talk.left_out:
                    screen.note("the window is full: the model no longer sees the oldest messages")
                began = True
                screen.say(piece)
        finally:
            if began:
                screen.end()
    if talk.finish == "length":
        screen.note("the answer was cut off; /set max-tokens N gives it more room")


@contextmanager
def _unechoed() -> "Iterator[None]":
    """What is typed meanwhile is not mixed into the answer; the next prompt shows it."""
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    before = termios.tcgetattr(0)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(0, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _editing() -> "Iterator[None]":
    """Line editing with completion, and a history that outlives the process."""
    try:
        import readline
    except ImportError:  # Windows
        yield
        return
    from nlpcli.cli.chat_commands import completions

    file = folders.state_dir() / "chat_history"
    with suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(_HISTORY)
    readline.set_completer_delims("")
    readline.set_completer(lambda text, n: [*completions(text), None][n])
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
            readline.write_history_file(file)
