"""Puts a folder of verified files into place: whole or not at all, by one process at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nlpcli import __version__, registry
from nlpcli.errors import ModelError
from nlpcli.notice import notice
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.settings import cache_dir

Stamp = tuple[str, int, int]
"""A file's sha256, its size in bytes and its modification time in nanoseconds."""

Stamps = dict[str, Stamp]


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lock of the model `name`; says that it waits, after a second."""
    from filelock import FileLock, Timeout

    path = cache_dir() / "locks" / f"{registry.quoted(name)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        notice(f"waiting for another process that prepares {name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A fresh folder beside `target`, on the same file system; removed at the end if still there.

    Call it under `exclusive`: what an earlier, killed process left is removed first.
    """
    import shutil

    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.partial-"
    for stale in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = target.parent / f"{prefix}{os.getpid()}-{time.time_ns()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def install(spec: ModelSpec, origin: str, staged: Path) -> LocalModel:
    """Move the verified files in `staged` to the model's folder, described for the next start."""
    stamps = stamp(staged, sorted(file.name for file in staged.iterdir()))
    files = tuple((name, sha256) for name, (sha256, _, _) in stamps.items())
    spec = spec._replace(files=files)
    _describe(spec, origin, stamps, staged)
    target = registry.store_folder(spec.name)
    move(staged, target)
    return LocalModel(spec, target)


def installed(spec: ModelSpec) -> LocalModel | None:
    """The model as `install` left it; None where it is not here, or is another model's content.

    Raises ModelError where a file is not what it was when it was put there.
    """
    folder = registry.store_folder(spec.name)
    described = registry.read_description(folder / registry.SPEC_FILE)
    if not described:
        return None
    kept: ModelSpec = described["spec"]
    if spec.files and not dict(spec.files).items() <= dict(kept.files).items():
        return None
    stamps = described.get("stamps", {})
    model = LocalModel(spec if spec.files else kept, folder)
    if not untouched(folder, stamps):
        wrong = changed(folder, stamps, thorough=True)
        if wrong:
            raise changed_error(spec.name, folder, wrong)
        stamps = stamp(folder, stamps)
    elif described.get("nlpcli") == __version__:
        return model
    # What was learnt is noted, or the next start would learn it again.
    with suppress(OSError):
        _describe(model.spec, described.get("origin", ""), stamps, folder)
    return model


def _describe(spec: ModelSpec, origin: str, stamps: Stamps, folder: Path) -> None:
    """Write the description that the next start reads."""
    described = {
        "nlpcli": __version__,
        "origin": origin,
        "spec": registry.to_json(spec),
        "stamps": stamps,
    }
    registry.write_json(folder / registry.SPEC_FILE, described)


def move(staged: Path, target: Path) -> None:
    """Put `staged` on the disk for good and rename it to `target`, in place of what is there."""
    for file in staged.iterdir():
        _sync(file)
    _sync(staged)
    discard(target)
    staged.rename(target)
    _sync(target.parent)


def discard(folder: Path) -> bool:
    """Delete `folder`; whether it was there. Renamed first, so that no reader meets half of it."""
    import shutil

    old = f".{folder.name}.partial-old-"
    for stale in folder.parent.glob(f"{old}*"):  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    doomed = folder.with_name(f"{old}{os.getpid()}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return False
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(folder: Path, names: Iterable[str]) -> Stamps:
    """Hash the files `names` of `folder`."""
    stamps: Stamps = {}
    for name in names:
        status = (folder / name).stat()
        stamps[name] = (sha256_of(folder / name), status.st_size, status.st_mtime_ns)
    return stamps


def untouched(folder: Path, stamps: Stamps) -> bool:
    """Whether every file has the size and the time that `stamps` says."""
    try:
        for name, (_, size, modified) in stamps.items():
            status = os.stat(folder / name)
            if status.st_size != size or status.st_mtime_ns != modified:
                return False
    except OSError:
        return False
    return True


def changed(folder: Path, stamps: Stamps, *, thorough: bool) -> list[str]:
    """The files whose content is not as in `stamps`.

    Hashes those whose size or time differ, or all where `thorough`.
    """
    wrong = []
    for name, (sha256, size, modified) in stamps.items():
        path = folder / name
        try:
            status = path.stat()
            same = status.st_size == size and (
                (status.st_mtime_ns == modified and not thorough) or sha256_of(path) == sha256
            )
        except OSError:
            same = False
        if not same:
            wrong.append(name)
    return wrong


def changed_error(model: str, folder: Path, wrong: list[str]) -> ModelError:
    """The refusal of a model whose files `wrong` are not what was pulled."""
    return ModelError(
        f"{model}: {folder / wrong[0]} is not the file that was pulled (its sha256 differs)",
        f"nlpcli models pull {model} fetches it again",
    )


def check_hash(model: str, path: Path, sha256: str, what: str) -> None:
    """Raises ModelError where the file's content does not have the hash `sha256`."""
    found = sha256_of(path)
    if found != sha256:
        raise ModelError(
            f"{model}: {what} is not the one pinned: sha256 {found[:12]}…, expected {sha256[:12]}…",
            "nothing was kept; the index serves another build, or the download was tampered with",
        )


def _sync(path: Path) -> None:
    # Not every system opens folders, nor can every file system sync them.
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
