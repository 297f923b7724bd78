"""A progress bar on stderr for a download, on a terminal only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlpcli.notice import on_terminal


@contextmanager
def watching(label: str, total: int, *folders: Path) -> Iterator[None]:
    """Show how the files in `folders` grow towards `total` bytes (0 for unknown)."""
    if not on_terminal():
        yield
        return
    with bar(label, total) as advance_to:
        done = threading.Event()
        before = sum(_size(folder) for folder in folders)

        def poll() -> None:
            while not done.wait(0.1):
                advance_to(sum(_size(folder) for folder in folders) - before)

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class _Silent:
    def __call__(self, completed: int) -> None: ...


class _Shown:
    def __init__(self, label: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.task = self.progress.add_task(label, total=total or None)

    def __call__(self, completed: int) -> None:
        self.progress.update(self.task, completed=completed)


@contextmanager
def bar(label: str, total: int) -> Iterator[_Silent | _Shown]:
    """A function that takes the bytes done so far; it shows nothing off a terminal."""
    if not on_terminal():
        yield _Silent()
        return
    shown = _Shown(label, total)
    with shown.progress:
        yield shown


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            # pip moves and deletes its files while we look.
            continue
    return total
