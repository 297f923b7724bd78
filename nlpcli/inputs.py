"""Which inputs a command line names: files, folders, patterns, and locations elsewhere (fsspec)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from nlpcli.errors import DataError, UsageError
from nlpcli.records import ENDINGS, format_of
from nlpcli.remote import as_os_errors, filesystem, is_remote, path_of

_PATTERN = set("*?[")


def expand(paths: Sequence[str]) -> list[str]:
    """`paths` with each folder and pattern replaced by its files, by name.

    A folder stands for the files below it that have a known ending; hidden ones are left out. A
    file whose own name looks like a pattern is that file. Raises UsageError where one names none,
    DataError where a folder cannot be listed.
    """
    if not any(_several(path) for path in paths):
        return list(paths)
    found: list[str] = []
    for path in paths:
        try:
            some = sorted(_files(path)) if _several(path) else [path]
        except OSError as error:
            why = error.strerror or error
            raise DataError(f"{error.filename or path}: cannot be listed: {why}") from error
        if not some:
            raise UsageError(f"{path}: no files there", f"their names end in {', '.join(ENDINGS)}")
        found += some
    return found


def _several(path: str) -> bool:
    if is_remote(path):
        return bool(_PATTERN & set(path_of(path))) or path.endswith("/")
    return os.path.isdir(path) or (bool(_PATTERN & set(path)) and not os.path.exists(path))


def _files(path: str) -> Iterator[str]:
    if is_remote(path):
        yield from _remote(path)
    elif os.path.isdir(path):
        for folder, folders, names in os.walk(path, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (os.path.join(folder, name) for name in names if _wanted(name))
    else:
        from glob import iglob

        yield from (name for name in iglob(path, recursive=True) if os.path.isfile(name))


def _remote(location: str) -> Iterator[str]:
    """The files of a pattern, or of a folder that ends in a slash."""
    files, inner = filesystem(location)
    folder = not _PATTERN & set(path_of(location))
    with as_os_errors():
        for name in files.find(inner) if folder else files.glob(inner):
            if _wanted(name) if folder else files.isfile(name):
                yield files.unstrip_protocol(name)


def _raise(error: OSError) -> None:
    raise error


def _wanted(name: str) -> bool:
    name = os.path.basename(name)
    return not name.startswith(".") and format_of(name, "") != ""
