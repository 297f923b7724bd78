"""What a benchmark ran on, for the head of its table, and the medians of commands run in turn."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from importlib.metadata import version

from nlpcli.device import cpu_device, cpu_threads


def describe(*packages: str) -> str:
    """One line: date, processor, CPUs, Python, and the versions of `packages`."""
    parts = [time.strftime("%Y-%m-%d"), cpu_device().name, f"{cpu_threads()} CPUs"]
    parts.append(f"Python {platform.python_version()}")
    parts += [f"{package} {version(package)}" for package in packages]
    return ", ".join(parts)


def medians(
    commands: dict[str, list[str]], runs: int = 21, stdin: bytes = b"", **variables: str
) -> dict[str, float]:
    """The median seconds of each command; they take turns, so that a slow spell hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    environment = {**os.environ, **variables}
    for _ in range(runs + 1):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(
                command, input=stdin, stdout=subprocess.DEVNULL, env=environment, check=True
            )
            seconds[name].append(time.perf_counter() - begun)
    # The first round warms the caches.
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}


def table(rows: list[tuple[str, ...]]) -> str:
    """`rows` as a Markdown table; the first is the head."""
    head, *body = rows
    lines = ["| " + " | ".join(row) + " |" for row in [head, ("---",) * len(head), *body]]
    return "\n".join(lines)
