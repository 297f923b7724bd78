"""Runs the installed `nlpcli` command as a user would: a real process and real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("nlpcli"))


def run(
    *arguments: str, stdin: bytes | str = b"", timeout: float = 60, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `nlpcli` with `arguments`; `variables` are added to its environment."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    return subprocess.run(
        [COMMAND, *arguments],
        input=data,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **variables},
        check=False,
    )


def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    """Start `nlpcli` with pipes for its three streams, in a process group of its own."""
    pipe = subprocess.PIPE
    settings = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "start_new_session": True}
    return subprocess.Popen([COMMAND, *arguments], **{**settings, **options})  # type: ignore[call-overload]
