"""Checkpoints of a run: the last one that is whole, and which of them are kept."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlpcli.errors import NlpcliError

_STATE = "history.json"
"""Written last: a checkpoint without it was cut short."""

_NAME = re.compile(r"checkpoint-(\d+)")


def last(folder: Path) -> Path | None:
    """The latest checkpoint in `folder` that is whole; None where there is none."""
    whole = [each for each in _all(folder) if (each / _STATE).is_file()]
    return max(whole, key=_step, default=None)


def state(checkpoint: Path) -> dict[str, Any]:
    """What `finish` kept in it."""
    found: dict[str, Any] = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    return found


def finish(checkpoint: Path, state: dict[str, Any]) -> None:
    """Keep `state` in a checkpoint, which makes it a whole one."""
    part = checkpoint / f".{_STATE}"
    part.write_text(json.dumps(state), encoding="utf-8")
    part.replace(checkpoint / _STATE)


def prune(folder: Path, best: str | None) -> None:
    """Delete all checkpoints but the last whole one and the `best`."""
    newest = last(folder)
    for each in _all(folder):
        if each != newest and str(each) != best:
            shutil.rmtree(each, ignore_errors=True)


@contextmanager
def writing(folder: Path, run: Path) -> Iterator[None]:
    """Raise NlpcliError where what is written to `folder` does not fit or may not be written; `run`
    is where the run has its checkpoints."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        if isinstance(error, RuntimeError) and "write" not in why:
            raise
        hint = "free some space, or name another folder with XDG_DATA_HOME"
        if last(run):
            hint = "free some space, then --resume"
        raise NlpcliError(f"{folder}: cannot be written: {why}", hint) from error


def _all(folder: Path) -> list[Path]:
    return [each for each in folder.glob("checkpoint-*") if _NAME.fullmatch(each.name)]


def _step(checkpoint: Path) -> int:
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1
