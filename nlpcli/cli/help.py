"""The help pages: plain text, made from the commands; the manual reads the same entries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer

OTHERS = "Options"
_JOINED = "\u00a0"  # a space that is not wrapped at


class Entry(NamedTuple):
    """An argument or option as a reader sees it; `default` and `variable` are "" for none."""

    names: tuple[str, ...]
    metavar: str
    help: str
    panel: str = OTHERS
    default: str = ""
    variable: str = ""
    required: bool = False


def entries(command: Any, context: Any) -> tuple[list[Entry], list[Entry]]:
    """The arguments and the options of `command`, in its own order, the hidden ones left out."""
    arguments, options = [], []
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            arguments.append(Entry((), placeholder(parameter), parameter.help or ""))
        else:
            options.append(_option(parameter, context))
    return arguments, options


def placeholder(parameter: Any) -> str:
    """What stands for the value of an argument or option; "" for a flag."""
    if getattr(parameter, "is_flag", False) or getattr(parameter, "count", False):
        return ""
    if parameter.metavar:
        return str(parameter.metavar)
    if parameter.param_type_name == "option":
        return str(parameter.type.name).upper()
    name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def summary(command: Any) -> str:
    """The first sentence of a command's help."""
    first = " ".join((command.help or "").split("\n\n")[0].split())
    return first.partition(". ")[0].rstrip(".") + "."


def usage(command: Any, context: Any) -> str:
    """What follows the command's name on its command line: what it needs, and what it may get."""
    if hasattr(command, "commands"):
        return "[OPTIONS] COMMAND [ARGS]..."
    arguments, options = entries(command, context)
    needed = [f"{entry.names[-1]} {entry.metavar}" for entry in options if entry.required]
    return " ".join([*needed, "[OPTIONS]", *(entry.metavar for entry in arguments)])


def by_panel(options: list[Entry]) -> dict[str, list[Entry]]:
    """The options under their headings; what has no heading of its own comes last."""
    panels: dict[str, list[Entry]] = {}
    for entry in options:
        panels.setdefault(entry.panel, []).append(entry)
    if OTHERS in panels:
        panels[OTHERS] = panels.pop(OTHERS)
    return panels


def commands(group: Any, context: Any) -> Iterator[tuple[str, str]]:
    """The names and summaries of a group's commands."""
    known = getattr(group, "summaries", {})
    for name in shown(group, context):
        yield name, known.get(name) or summary(group.get_command(context, name))


def shown(group: Any, context: Any) -> list[str]:
    """The names of a group's commands that are not hidden."""
    hidden = {name for name, each in group.commands.items() if getattr(each, "hidden", False)}
    return [name for name in group.list_commands(context) if name not in hidden]


def write_page(command: Any, context: Any, formatter: Any) -> None:
    """Write the help page of `command` through click's formatter."""
    formatter.write_usage(context.command_path, usage(command, context))
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(command.help or "")
    arguments, options = entries(command, context)
    if hasattr(command, "commands"):
        _write_rows(formatter, "Commands", list(commands(command, context)))
    _write_rows(formatter, "Arguments", [(each.metavar, each.help) for each in arguments])
    for panel, some in by_panel(options).items():
        _write_rows(formatter, panel, [(_names(each, some), _help(each)) for each in some])
    if command.epilog:
        formatter.write_paragraph()
        formatter.write_text(command.epilog)
    formatter.buffer[:] = [text.replace(_JOINED, " ") for text in formatter.buffer]


def _option(parameter: Any, context: Any) -> Entry:
    names = sorted(parameter.opts, key=len) + list(parameter.secondary_opts)
    default = parameter.get_default(context, call=False) if parameter.show_default else None
    return Entry(
        tuple(names),
        placeholder(parameter),
        parameter.help or "",
        getattr(parameter, "rich_help_panel", None) or OTHERS,
        "" if default is None or default is False else str(default),
        parameter.envvar or "",
        parameter.required,
    )


def _names(entry: Entry, panel: list[Entry]) -> str:
    """The names and the placeholder; long names stand below each other where some are short."""
    short = any(not each.names[0].startswith("--") for each in panel)
    indent = "    " if short and entry.names[0].startswith("--") else ""
    return f"{indent}{', '.join(entry.names)} {entry.metavar}".rstrip()


def _help(entry: Entry) -> str:
    """The help with the default; that an option is required is said too."""
    if entry.required:
        return f"{entry.help} [required]"
    return f"{entry.help} [default:{_JOINED}{entry.default}]" if entry.default else entry.help


def _write_rows(formatter: Any, heading: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    with formatter.section(heading if plain else typer.style(heading, bold=True)):
        formatter.write_dl(rows)
