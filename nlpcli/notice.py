"""What the layers below the CLI tell the user while they work."""

from __future__ import annotations

import sys

quiet = False
"""Set by the CLI where nothing is to be told."""


def notice(message: str) -> None:
    """Print one line to standard error, unless `quiet`."""
    if quiet or sys.stderr is None:
        return
    try:
        sys.stderr.write(f"nlpcli: {' '.join(message.splitlines())}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody is there to be told


def on_terminal() -> bool:
    """Whether progress is to be shown: standard error is a terminal, and not `quiet`."""
    return not quiet and sys.stderr is not None and sys.stderr.isatty()
