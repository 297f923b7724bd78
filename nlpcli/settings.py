"""Where nlpcli keeps its files (XDG base directories) and how it reads `config.toml`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nlpcli.errors import UsageError


def _folder(variable: str, default: str) -> Path:
    # The XDG specification says that a relative path is to be ignored.
    value = os.environ.get(variable, "")
    if os.path.isabs(value):
        return Path(value) / "nlpcli"
    try:
        return Path.home() / default / "nlpcli"
    except RuntimeError as error:
        raise UsageError("this user has no home folder", f"set HOME or {variable}") from error


def cache_dir() -> Path:
    """Downloads and conversions: everything here can be made again."""
    return _folder("XDG_CACHE_HOME", ".cache")


def data_dir() -> Path:
    """The user's registry and fine-tuned models: nothing here can be made again."""
    return _folder("XDG_DATA_HOME", ".local/share")


def state_dir() -> Path:
    """What the user did: the lines typed in a chat."""
    return _folder("XDG_STATE_HOME", ".local/state")


def config_file() -> Path:
    return _folder("XDG_CONFIG_HOME", ".config") / "config.toml"


def read_config(path: Path | None = None) -> dict[str, Any]:
    """The parsed `config.toml`, or {} where there is none. Raises UsageError if it is not TOML."""
    path = path or config_file()
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not valid UTF-8: byte {error.start + 1}") from error
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
