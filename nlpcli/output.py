"""Bytes out: to standard output at once, or to a file that takes its name only when all is
written."""

from __future__ import annotations

import errno
import os
import select
import stat
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

from nlpcli.errors import NlpcliError, UsageError

_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


def unwritable(name: str, error: OSError) -> NlpcliError:
    """What to say of `error` in writing to `name`."""
    hints = {
        errno.ENOENT: "make its folder first",
        errno.ENOSPC: "free some space, or write it elsewhere",
        errno.EDQUOT: "free some space, or write it elsewhere",
    }
    hint = hints.get(error.errno or 0, "write it elsewhere")
    return NlpcliError(f"{name}: cannot be written: {error.strerror}", hint)


def not_made(name: str, error: OSError) -> NlpcliError:
    """What to say of `error` where nothing is written yet: but for a full disk, a wrong name."""
    problem = unwritable(name, error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return problem if full else UsageError(problem.message, problem.hint)


def check_writable(path: str) -> None:
    """Raise PermissionError for a file that may not be written: a rename would replace it."""
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class Output:
    """A byte stream to standard output, or to a file that takes its name only when all is written.

    Used as a context: left by an exception, a half-written file is removed. A device or a FIFO
    cannot be renamed over and is written as it is. A name in .gz or .zst is compressed, the same
    bytes each time. `part` is the name it has until then, where the caller alone writes that one.
    Raises UsageError if the file cannot be made.
    """

    def __init__(self, path: str | None, *, part: str = "") -> None:
        self._name = path or "-"
        self._part = ""
        self._target = ""
        self._compressor: Any = None
        if self._name in _STANDARD_OUTPUT:
            self._name = "standard output"
            self._file = 1
            return
        try:
            self._file = self._open(part)
        except OSError as error:
            raise not_made(self._name, error) from error
        self._compressor = _compressor(self._name)

    def _open(self, part: str) -> int:
        # Opened by the name given: what /dev/fd/N points to need not have a path of its own.
        if os.path.exists(self._name):
            if not stat.S_ISREG(os.stat(self._name).st_mode):
                return os.open(self._name, os.O_WRONLY | _BINARY)
            check_writable(self._name)
        self._target = os.path.realpath(self._name)
        folder, name = os.path.split(self._target)
        mode = os.O_TRUNC if part else os.O_EXCL
        part = part or os.path.join(folder, f".{name[:40]}.{os.urandom(4).hex()}.part")
        file = os.open(part, os.O_WRONLY | os.O_CREAT | mode | _BINARY, 0o666)
        self._part = part
        return file

    def write(self, data: bytes) -> None:
        """Write all of `data`; to a pipe or terminal it goes at once."""
        try:
            self._write(self._compressor.compress(data) if self._compressor else data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(self._name, error) from error

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._file, view) :]
            except BlockingIOError:  # whoever shares the pipe has made it non-blocking
                select.select([], [self._file], [])

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BrokenPipeError:
            raise
        except OSError as problem:
            raise unwritable(self._name, problem) from problem
        finally:
            if self._file > 2:
                os.close(self._file)
            if self._part:
                with suppress(OSError):
                    os.unlink(self._part)

    def _finish(self) -> None:
        """Write what is left and name the file."""
        if self._compressor:
            self._write(self._compressor.flush())
        if not self._part:
            return
        os.fsync(self._file)
        part, self._part = self._part, ""
        put_in_place(part, self._target, self._name)


def put_in_place(part: str, target: str, name: str) -> None:
    """Rename the file `part` to `target`, which the user called `name`; an existing file's
    permissions are kept."""
    with suppress(FileNotFoundError):
        os.chmod(part, stat.S_IMODE(os.stat(target).st_mode))
    try:
        os.replace(part, target)
    except OSError as error:
        raise NlpcliError(
            f"{name}: cannot be replaced: {error.strerror}", f"the result is in {part}"
        ) from error


def regular(path: str) -> bool:
    """Whether `path` names a file to be made or replaced, not a stream or a device."""
    if path in _STANDARD_OUTPUT:
        return False
    return not os.path.exists(path) or stat.S_ISREG(os.stat(path).st_mode)


def _compressor(path: str) -> Any:
    """An object with compress(bytes) and flush(), or None for a file that is not compressed."""
    if path.lower().endswith(".gz"):
        import zlib

        return zlib.compressobj(6, zlib.DEFLATED, 31)
    if path.lower().endswith(".zst"):
        import zstandard

        return zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return None


class Sink(Protocol):
    """Where bytes go: an Output, or a partfile.PartFile."""

    def write(self, data: bytes) -> None: ...
