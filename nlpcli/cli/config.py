"""Defaults from config.toml: shared options at the top, each command's own in its table."""

from __future__ import annotations

from typing import Any

from nlpcli.errors import UsageError, did_you_mean
from nlpcli.settings import config_file, read_config


def defaults(arguments: list[str]) -> dict[str, Any]:
    """The defaults for each command as typer wants them, keyed by command and parameter name.

    Keys are long option names without dashes: `batch-size = 8`. Only the table of the command that
    `arguments` call is checked. Raises UsageError for a key that is no option.
    """
    config = read_config()
    if not config:
        return {}
    from nlpcli.cli import COMMANDS, app

    tables = {key: value for key, value in config.items() if isinstance(value, dict)}
    top = {_name(key): value for key, value in config.items() if not isinstance(value, dict)}
    _check(tables, COMMANDS, "table")
    called = next((word for word in arguments if word in COMMANDS), "")
    if not called:
        return {}
    import typer

    group: Any = typer.main.get_command(app)
    options = _options(group.get_command(None, called))
    own = {_name(key): value for key, value in tables.get(called, {}).items()}
    _check(top, {**_shared(), **options}, "option")
    _check(own, options, "option")
    values = {**{key: top[key] for key in top if key in options}, **own}
    return {called: {options[key]: value for key, value in values.items()}}


def _options(command: Any) -> dict[str, str]:
    """The long option names of a command, and the parameter each sets."""
    names = {}
    for parameter in command.params:
        for name in getattr(parameter, "opts", ()):
            if name.startswith("--"):
                names[_name(name)] = parameter.name
    return names


def _shared() -> dict[str, str]:
    from nlpcli.cli.options import Shared

    return {name: name for name in Shared._fields}


def _name(key: str) -> str:
    return key.strip("-").replace("-", "_")


def _check(given: dict[str, Any], known: dict[str, Any], what: str) -> None:
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known) or f"it knows: {', '.join(sorted(known))}"
            raise UsageError(f"{config_file()}: no such {what}: {key}", hint)
