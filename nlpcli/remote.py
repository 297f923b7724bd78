"""Locations such as s3://… or https://…, through fsspec and its packages for each protocol."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nlpcli.errors import UsageError

_WEB = ("http", "https")
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "abfs": "adlfs",
    "az": "adlfs",
    "hf": "huggingface_hub",
    "sftp": "paramiko",
    "ssh": "paramiko",
}


def is_remote(path: str) -> bool:
    """Whether `path` is a location with a protocol, not a file's name."""
    return "://" in path


def path_of(location: str) -> str:
    """`location` without the query that a web address may end in; a file's name as it is."""
    return location.partition("?")[0] if _protocol(location) in _WEB else location


def filesystem(location: str) -> tuple[Any, str]:
    """The fsspec filesystem of `location`, and its path there. Raises UsageError where the
    packages for its protocol are missing or nothing knows it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise UsageError(
            f"{location}: locations need fsspec", "pip install 'nlpcli[remote]'"
        ) from None
    try:
        files, inner = url_to_fs(location)
    except ImportError as error:
        package = _PACKAGES.get(_protocol(location))
        hint = f"pip install {package}" if package else "install what it names"
        raise UsageError(f"{location}: cannot be opened: {_line(error)}", hint) from None
    except ValueError as error:
        raise UsageError(f"{location}: cannot be opened: {_line(error)}") from None
    return files, inner.rstrip("/") + "/" if location.endswith("/") else inner


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Whatever a filesystem raises, as an OSError of one line."""
    try:
        yield
    except FileNotFoundError as error:
        if error.__cause__ and not isinstance(error.__cause__, FileNotFoundError):
            raise OSError(_line(error.__cause__)) from error
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    except Exception as error:  # each protocol's package has errors of its own
        if isinstance(error, OSError) and error.strerror:
            raise
        raise OSError(_line(error)) from error


class RemoteFile:
    """The bytes of a location. Every method raises OSError where they cannot be had."""

    closed = False

    def __init__(self, location: str) -> None:
        files, inner = filesystem(location)
        self._web = _protocol(location) in _WEB
        # A server need not give parts of a file: without blocks it is read in one piece.
        options = {"block_size": 0} if self._web else {}
        with as_os_errors():
            self._file = files.open(inner, "rb", **options)

    def __enter__(self) -> RemoteFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int = -1) -> bytes:
        with as_os_errors():
            data: bytes = self._file.read(size)
        return data

    def seekable(self) -> bool:
        return not self._web and bool(self._file.seekable())

    def seek(self, offset: int, whence: int = 0) -> int:
        with as_os_errors():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        self.closed = True


def _protocol(location: str) -> str:
    return location.partition("://")[0].rpartition("::")[2].lower() if "://" in location else ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
