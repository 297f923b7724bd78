"""Makes the man pages and the completion scripts: `python -m nlpcli.cli.manual [FOLDER]`.

What the code knows (commands, options, defaults, variables, exit codes) comes from the commands
themselves, the rest from `manual_text`. The pages are man(7).
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from nlpcli import __version__
from nlpcli.backends.choice import BACKENDS
from nlpcli.cli import COMMANDS, app
from nlpcli.cli.completion import SCRIPTS, new_context
from nlpcli.cli.eval.export import SCHEMA
from nlpcli.cli.help import Entry, by_panel, commands, entries, shown, summary, usage
from nlpcli.cli.manual_text import DATE, PAGES
from nlpcli.errors import EXIT_MEANINGS

_COMPLETIONS = {"bash": "nlpcli.bash", "zsh": "_nlpcli", "fish": "nlpcli.fish"}
_ESCAPES = {"\\": r"\e", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_INLINE = re.compile(r"`([^`]+)`|\*([^*\s]+)\*")


def files() -> dict[str, str]:
    """The content of every generated file, by its path in the repository."""
    group: Any = typer.main.get_command(app)
    top = new_context(group, "nlpcli")
    made = {"man/nlpcli.1": _top_page(group, top)}
    for name in COMMANDS:
        command = group.get_command(top, name)
        page = _command_page(name, command, new_context(command, name, top))
        made[f"man/nlpcli-{name}.1"] = page
    for shell, script in SCRIPTS.items():
        made[f"completions/{_COMPLETIONS[shell]}"] = script
    return made


def _top_page(group: Any, context: typer.Context) -> str:
    opening, sections = _opening(PAGES["nlpcli"])
    _, options = entries(group, context)
    return _joined(
        [
            *_head("nlpcli", summary(group)),
            *_synopsis("nlpcli", usage(group, context)),
            ".SH DESCRIPTION",
            *_prose(opening, group, context),
            ".SH OPTIONS",
            *_options(options),
            *_prose(sections, group, context),
            *_see_also(f"nlpcli-{name}" for name in COMMANDS),
        ]
    )


def _command_page(name: str, command: Any, context: typer.Context) -> str:
    opening, sections = _opening(PAGES.get(name, ""))
    arguments, options = entries(command, context)
    body = []
    if hasattr(command, "commands"):
        body.append(".SH SUBCOMMANDS")
        for word in shown(command, context):
            subcommand = command.get_command(context, word)
            body += _subcommand(name, subcommand, new_context(subcommand, word, context))
    elif arguments:
        body += [".SH ARGUMENTS", *_arguments(arguments)]
    others = (f"nlpcli-{other}" for other in COMMANDS if other != name)
    return _joined(
        [
            *_head(f"nlpcli-{name}", COMMANDS[name]),
            *_synopsis(f"nlpcli {name}", usage(command, context)),
            ".SH DESCRIPTION",
            *_described(command, context),
            *_prose(opening, command, context),
            *body,
            ".SH OPTIONS",
            *_options(options),
            *_prose(sections, command, context),
            *_see_also(["nlpcli", *others]),
        ]
    )


def _subcommand(parent: str, command: Any, context: typer.Context) -> list[str]:
    """A section on one subcommand: what it does, its arguments and options."""
    arguments, options = entries(command, context)
    asked = [entry for entry in options if entry.names[-1] != "--help"]
    return [
        f".SS nlpcli {parent} {command.name} {usage(command, context)}",
        *_described(command, context),
        *_arguments(entry for entry in arguments if entry.help),
        *_options(asked),
    ]


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _head(name: str, about: str) -> list[str]:
    about = _bare(about[:1].lower() + about[1:].rstrip("."))
    return [
        r".\" Made by python -m nlpcli.cli.manual; edit nlpcli/cli/manual_text.py instead.",
        f'.TH {name.upper()} 1 {DATE} "nlpcli {__version__}" "nlpcli manual"',
        ".ad l",
        ".SH NAME",
        rf"{_bare(name, code=True)} \- {about}",
    ]


def _synopsis(name: str, words: str) -> list[str]:
    return [".SH SYNOPSIS", *_call(name, words)]


def _call(name: str, words: str) -> list[str]:
    """A command line: options and brackets as they are, what is to be replaced in italics."""
    parts = re.split(r"([A-Z]{2,})", words)
    told = "".join(
        rf"\fI{part}\fR" if index % 2 else _bare(part, code=True)
        for index, part in enumerate(parts)
    )
    return [rf"\fB{_bare(name, code=True)}\fR {told}"]


def _see_also(names: Iterable[str]) -> list[str]:
    told = ", ".join(rf"\fB{_bare(name, code=True)}\fR(1)" for name in names)
    return [".SH SEE ALSO", told]


def _opening(text: str) -> tuple[str, str]:
    """What stands before the first section, and the sections."""
    opening, mark, sections = ("\n" + text).partition("\n# ")
    return opening, mark + sections


def _described(command: Any, context: typer.Context) -> list[str]:
    return _prose(inspect.cleandoc(command.help or ""), command, context)


def _prose(text: str, command: Any, context: typer.Context) -> list[str]:
    """Paragraphs of `manual_text` as man(7)."""
    lines = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        term, entry, about = paragraph.partition(" :: ")
        numbered = re.match(r"(\d+\.) ", paragraph)
        if paragraph.startswith("# "):
            lines.append(f".SH {paragraph[2:]}")
        elif paragraph.startswith("@"):
            lines += _KNOWN[paragraph[1:]](command, context)
        elif paragraph.startswith("    "):
            lines += [".IP", ".EX", *map(_shown, textwrap.dedent(paragraph).split("\n")), ".EE"]
        elif numbered:
            lines += [f".IP {numbered[1]} 4", *_filled(paragraph[numbered.end() :])]
        elif entry:
            lines += _term(_inline(term), about)
        elif paragraph.strip():
            lines += [".PP", *_filled(paragraph)]
    after_heading = {i for i, line in enumerate(lines) if line == ".PP" and _heads(lines[:i])}
    return [line for i, line in enumerate(lines) if i not in after_heading]


def _heads(before: list[str]) -> bool:
    """Whether what comes next is first in its section, where a paragraph needs no mark."""
    return not before or before[-1].startswith(".SH")


def _term(term: str, about: str) -> list[str]:
    return [".TP", term, *_filled(about)]


def _arguments(arguments: Iterable[Entry]) -> Iterator[str]:
    for entry in arguments:
        yield from _term(rf"\fI{_bare(entry.metavar.strip('[].'))}\fR", entry.help)


def _options(options: list[Entry]) -> Iterator[str]:
    """The options, under their headings where there are several."""
    panels = by_panel(options)
    for panel, some in panels.items():
        if len(panels) > 1:
            yield f".SS {panel}"
        for entry in some:
            names = ", ".join(rf"\fB{_bare(name, code=True)}\fR" for name in entry.names)
            metavar = rf" \fI{_bare(entry.metavar)}\fR" if entry.metavar else ""
            yield from _term(names + metavar, _about(entry))


def _about(entry: Entry) -> str:
    """What an option does, its default and its variable."""
    told = [entry.help]
    if entry.required:
        told.append("Required.")
    if entry.default:
        told.append(f"Default: `{entry.default}`.")
    if entry.variable:
        told.append(f"Variable: `{entry.variable}`.")
    return " ".join(told)


def _commands(group: Any, context: typer.Context) -> Iterator[str]:
    for name, about in commands(group, context):
        yield from _term(_inline(f"`{name}`"), about)


def _exits(group: Any, context: typer.Context) -> Iterator[str]:
    for code, meaning in EXIT_MEANINGS.items():
        yield from _term(_inline(f"`{int(code)}`"), meaning)


def _backends(group: Any, context: typer.Context) -> Iterator[str]:
    for name, entry in BACKENDS.items():
        yield from _term(_inline(f"`{name}`"), f"{entry.summary[:1].upper()}{entry.summary[1:]}.")


def _schema(group: Any, context: typer.Context) -> list[str]:
    lines = json.dumps(SCHEMA, indent=1).splitlines()
    return [".IP", ".EX", *map(_shown, lines), ".EE"]


_KNOWN = {"commands": _commands, "exit": _exits, "backends": _backends, "schema": _schema}


def _filled(text: str) -> list[str]:
    """Running text: a new line for each sentence, as roff likes it."""
    lines = []
    for sentence in re.split(r"(?<=[.?!]) +(?=[A-Z`*])", " ".join(text.split())):
        wrapped = textwrap.wrap(
            _inline(sentence), 78, break_long_words=False, break_on_hyphens=False
        )
        lines += [rf"\&{line}" if line[0] in ".'" else line for line in wrapped]
    return lines


def _shown(line: str) -> str:
    """A line shown as it is."""
    line = _bare(line, code=True)
    return rf"\&{line}" if line.startswith(".") else line


def _inline(text: str) -> str:
    """Text with `code` in bold and *NAME* in italics."""
    parts, at = [], 0
    for match in _INLINE.finditer(text):
        parts.append(_bare(text[at : match.start()]))
        code, name = match.groups()
        parts.append(_code(code) if code else rf"\fI{_bare(name)}\fR")
        at = match.end()
    return "".join(parts) + _bare(text[at:])


def _code(text: str) -> str:
    """Code in bold; its words are not hyphenated."""
    words = [rf"\%{_bare(word, code=True)}" for word in text.split(" ")]
    return rf"\fB{' '.join(words)}\fR"


def _bare(text: str, code: bool = False) -> str:
    """Text with roff's special characters escaped; in `code` they are to be copied exactly."""
    escapes = {**_ESCAPES, "-": r"\-"} if code else {"\\": r"\e"}
    return "".join(
        escapes.get(letter, letter) if letter.isascii() else rf"\[u{ord(letter):04X}]"
        for letter in text
    )


def main() -> None:
    """Write every file under the folder named, or this one; remove pages of no command."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    made = files()
    for stale in folder.glob("man/*.1"):
        if f"man/{stale.name}" not in made:
            stale.unlink()
    for name, content in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
