"""Defaults from config.toml: shared options at the top, each command's own in its table."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from nlpcli.errors import UsageError, did_you_mean
from nlpcli.settings import config_file, read_config


def defaults(arguments: list[str]) -> dict[str, Any]:
    """The defaults of the command that `arguments` call, as typer wants them: {command: {parameter:
    value}}, those of its subcommands within.

    Keys are long option names without dashes: `batch-size = 8`. Raises UsageError for a key that
    is no option, in the file's top or in the table of that command.
    """
    from nlpcli.cli import COMMANDS, app

    called = next((word for word in arguments if word in COMMANDS), "")
    config = read_config() if called else {}
    if not config:
        return {}
    import typer

    tables = {key: value for key, value in config.items() if isinstance(value, dict)}
    top = {_name(key): value for key, value in config.items() if not isinstance(value, dict)}
    _check(tables, COMMANDS, "table")
    group: Any = typer.main.get_command(app)
    command = group.get_command(None, called)
    own = {_name(key): value for key, value in tables.get(called, {}).items()}
    known = {name for each in _with_subcommands(command) for name in _options(each)}
    _check(top, {*_shared(), *known}, "option")
    _check(own, known, "option")
    return {called: _values(command, {**top, **own})}


def _values(command: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """What of `settings` the command takes, by parameter, and its subcommands by name."""
    options = _options(command)
    values: dict[str, Any] = {
        options[key]: _text(key, value) for key, value in settings.items() if key in options
    }
    for name, subcommand in getattr(command, "commands", {}).items():
        values[name] = _values(subcommand, settings)
    return values


def _text(key: str, value: Any) -> str:
    """A setting as it would be typed, so that it is read and refused as an option is."""
    if isinstance(value, list | dict):
        raise UsageError(f"{config_file()}: {key} is not one value", f'write {key} = "…"')
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_subcommands(command: Any) -> list[Any]:
    return [command, *getattr(command, "commands", {}).values()]


def _options(command: Any) -> dict[str, str]:
    """The long names of a command's options that take one value, and the parameter each sets."""
    names = {}
    for parameter in command.params:
        for name in getattr(parameter, "opts", ()):
            if name.startswith("--") and not getattr(parameter, "multiple", False):
                names[_name(name)] = parameter.name
    return names


def _shared() -> tuple[str, ...]:
    from nlpcli.cli.options import Shared

    return Shared._fields


def _name(key: str) -> str:
    return key.strip("-").replace("-", "_")


def _check(given: Iterable[str], known: Collection[str], what: str) -> None:
    for key in given:
        if key not in known:
            hint = (
                did_you_mean(key, known)
                or f"it knows: {', '.join(sorted(known)).replace('_', '-')}"
            )
            raise UsageError(f"{config_file()}: no such {what}: {key}", hint)
