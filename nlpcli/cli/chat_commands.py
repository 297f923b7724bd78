"""The slash commands of a chat."""

from collections.abc import Callable

from nlpcli import registry
from nlpcli.cli import sessions
from nlpcli.cli.conversation import Conversation, Settings
from nlpcli.cli.screen import Screen
from nlpcli.cli.sessions import Session
from nlpcli.errors import UsageError, did_you_mean


class Leave(Exception):
    """The user ends the chat."""


def run(line: str, talk: Conversation, screen: Screen) -> None:
    """Do what a line that begins with a slash says. Raises Leave, or NlpcliError."""
    name, _, argument = line.strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        hint = did_you_mean(name, COMMANDS) or "/help lists them"
        raise UsageError(f"no such command: {name}", hint)
    command[2](argument.strip(), talk, screen)


def completions(text: str) -> list[str]:
    """What the line `text` may become: a command, or what one takes."""
    name, space, rest = text.partition(" ")
    if not space:
        return [f"{each} " for each in COMMANDS if each.startswith(name)]
    values: list[str] = []
    if name == "/model":
        values = registry.names("generate")
    if name == "/set":
        values = [_typed(each) for each in Settings._fields]
    return [f"{name} {each}" for each in values if each.startswith(rest)]


def resume(path: str, talk: Conversation, model: str = "") -> None:
    """Continue the session in the file `path`, with its own model or with `model`."""
    session = sessions.load(path)
    settings = talk.settings
    for name, value in session.settings.items():
        settings = settings.changed(_typed(name), value)
    wanted = model or session.model
    if wanted and wanted != talk.model:
        talk.use(wanted)
    talk.settings = settings
    talk.turns = list(session.messages)
    talk.left_out = 0


def _system(argument: str, talk: Conversation, screen: Screen) -> None:
    if argument:
        talk.system("" if argument == "none" else argument)
        return
    first = talk.turns[0] if talk.turns else None
    screen.show(first.content if first and first.role == "system" else "no system message")


def _reset(argument: str, talk: Conversation, screen: Screen) -> None:
    talk.reset()
    screen.note("a new dialogue")


def _save(argument: str, talk: Conversation, screen: Screen) -> None:
    if not talk.turns:
        raise UsageError("nothing was said yet")
    session = Session(tuple(talk.turns), talk.model, talk.settings._asdict())
    sessions.save(argument, session)
    screen.note(f"{len(talk.turns)} messages saved to {argument}")


def _load(argument: str, talk: Conversation, screen: Screen) -> None:
    resume(argument, talk)
    screen.note(f"{len(talk.turns)} messages loaded; {talk.model} goes on")


def _model(argument: str, talk: Conversation, screen: Screen) -> None:
    if argument:
        talk.use(argument)
        screen.note(f"{talk.model} on {talk.backend}")
    else:
        screen.show(f"{talk.model} on {talk.backend}, a window of {talk.window:,} tokens")


def _set(argument: str, talk: Conversation, screen: Screen) -> None:
    name, _, value = argument.partition(" ")
    if name and not value.strip():
        raise UsageError(f"{name}: to what?", f"such as: /set {name} VALUE; /set shows them all")
    if name:
        talk.settings = talk.settings.changed(name, value.strip())
    width = max(map(len, Settings._fields))
    for field, setting in talk.settings._asdict().items():
        if not name or field == name.replace("-", "_"):
            screen.show(f"{_typed(field):{width}}  {_shown(setting)}")


def _help(argument: str, talk: Conversation, screen: Screen) -> None:
    rows = [(f"{name} {takes}".strip(), text) for name, (takes, text, _) in COMMANDS.items()]
    width = max(len(left) for left, _ in rows)
    lines = [f"{left:{width}}  {text}" for left, text in rows]
    lines.append("A line that ends with a backslash goes on in the next. Ctrl-C stops an answer.")
    screen.show("\n".join(lines))


def _quit(argument: str, talk: Conversation, screen: Screen) -> None:
    raise Leave


def _typed(field: str) -> str:
    return field.replace("_", "-")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(repr(each) for each in value) or "none"
    return "random" if value is None else str(value)


# What each takes, what it does, and how.
COMMANDS: dict[str, tuple[str, str, Callable[[str, Conversation, Screen], None]]] = {
    "/system": ("[TEXT]", "Make TEXT the system message (none: no such); or show it.", _system),
    "/reset": ("", "Begin again; the system message stays.", _reset),
    "/save": ("FILE", "Save the dialogue, its model and settings.", _save),
    "/load": ("FILE", "Continue a saved dialogue.", _load),
    "/model": ("[NAME]", "Go on with another model; or show which answers.", _model),
    "/set": ("[NAME VALUE]", "Change a setting, such as temperature; or show all.", _set),
    "/help": ("", "Show this.", _help),
    "/quit": ("", "Leave, as Ctrl-D does.", _quit),
}
