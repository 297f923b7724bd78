"""An output file that a killed run goes on with: `FILE.part` grows, and `FILE.part.ledger` beside
it says how far it is whole, and what it was made from.

The ledger's lines are JSON after their CRC-32: first the identity of the job, then a checkpoint
for each window of records. A checkpoint holds the CRC-32 of all bytes before it, so that what was
cut off or altered since is found, and made again from the last checkpoint that still holds.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

from nlpcli.errors import UsageError
from nlpcli.notice import notice
from nlpcli.output import Output, check_writable, not_made, put_in_place, regular, unwritable

_BLOCK = 1 << 20
_LONGEST_NAME = 240  # bytes; folders take 255, and the endings need some
_RESUME = "--resume goes on with it, --restart begins again"


class Checkpoint(NamedTuple):
    """How far a file is: `size` bytes with the CRC-32 `crc`, and `state`, which is the caller's."""

    size: int = 0
    crc: int = 0
    state: Mapping[str, Any] = {}


def files(path: str) -> tuple[str, str, str]:
    """The part file and the ledger of the output `path`, and what a part file is converted to."""
    part = _part(path)
    return part, f"{part}.ledger", f"{part}.new"


def check(path: str | None, *, resume: bool, restart: bool) -> None:
    """Raise UsageError where an output cannot be gone on with, or is there and neither is said."""
    option = "--resume" if resume else "--restart"
    if resume and restart:
        raise UsageError("--resume and --restart do not go together", "leave one of them out")
    if not (path and regular(path)):
        if resume or restart:
            raise UsageError(f"{option} needs an output file", "name one: -o FILE")
        return
    part, ledger, _ = files(path)
    if os.path.exists(part) and os.path.getsize(part) and not (resume or restart):
        with suppress(OSError), open(ledger, "rb") as log:
            _lock(log, path)
        raise UsageError(f"{part}: an earlier run left this unfinished", _RESUME)


_FIELDS = {*Checkpoint._fields}


class PartFile:
    """The output of a job, made to be gone on with. Used as a context.

    `identity` is JSON and settles the output's bytes: with `resume` it must be that of the run
    before. `last` is the checkpoint that holds. `convert` turns the finished part file, by its
    name, into the output. Raises UsageError where the files cannot be made, or are another run's.
    """

    def __init__(
        self,
        path: str,
        identity: Mapping[str, Any],
        *,
        resume: bool = False,
        convert: Callable[[str, Output], None] | None = None,
    ) -> None:
        self._name = path
        self._target = os.path.realpath(path)
        self._part, self._ledger, self._new = files(path)
        self._convert = convert or (_copy if path.lower().endswith((".gz", ".zst")) else None)
        self.last = Checkpoint()
        self._finished = False
        self._size = self._crc = 0
        try:
            check_writable(self._target)
            self._log = self._locked()
            try:
                self._file = self._open(identity, resume)
            except BaseException:
                for file in (self._part, self._ledger):
                    if os.path.isfile(file) and not os.path.getsize(file):
                        os.unlink(file)
                with suppress(OSError):  # told already
                    self._log.close()
                raise
        except OSError as error:
            raise not_made(path, error) from error

    def __enter__(self) -> PartFile:
        return self

    def write(self, data: bytes) -> None:
        """Add `data` at the end of the part file. Raises NlpcliError where that cannot be."""
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise unwritable(self._name, error) from error
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """All that was written is whole, and `state` tells how to go on."""
        self.last = Checkpoint(self._size, self._crc, state)
        try:
            self._log.write(_line(self.last._asdict()))
            self._log.flush()
        except OSError as error:
            raise unwritable(self._ledger, error) from error

    def finish(self) -> None:
        """The output is complete, and a checkpoint tells so: it takes its name when the context
        ends."""
        self._finished = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        placed = False
        try:
            if self._finished and kind is None:
                self._place()
                placed = True
            elif not self.last.state:
                os.unlink(self._part)
                os.unlink(self._ledger)
        except OSError as problem:
            raise unwritable(self._name, problem) from problem
        finally:
            if self.last.state and not placed:
                notice(f"{self._name}: what is done is kept in {self._part}: {_RESUME}")
            self._file.close()
            with suppress(OSError):  # a full disk, told already
                self._log.close()

    def _place(self) -> None:
        os.fsync(self._file.fileno())
        if self._convert:
            with Output(self._name, part=self._new) as output:
                self._convert(self._part, output)
            os.unlink(self._part)
        else:
            put_in_place(self._part, self._target, self._name)
        os.unlink(self._ledger)

    def _locked(self) -> BinaryIO:
        """The ledger, for this process alone."""
        while True:
            log = open(self._ledger, "a+b")  # noqa: SIM115
            try:
                _lock(log, self._name)
                with suppress(FileNotFoundError):  # whoever had it has just removed it
                    if os.path.samestat(os.fstat(log.fileno()), os.stat(self._ledger)):
                        return log
            except UsageError:
                log.close()
                raise
            log.close()

    def _open(self, identity: Mapping[str, Any], resume: bool) -> BinaryIO:
        """The part file, cut after the last checkpoint that holds; empty without one."""
        there = os.path.exists(self._part)
        self._log.seek(0)
        lines = list(_lines(self._log)) if resume else []
        if resume and not lines and there and os.path.getsize(self._part):
            raise UsageError(
                f"{self._ledger}: damaged, or not there: it cannot be told what is done",
                "--restart begins again",
            )
        if lines:
            _compare(lines[0][1], identity)
        checkpoints = [
            (end, Checkpoint(**value))
            for end, value in takewhile(lambda line: line[1].keys() == _FIELDS, lines[1:])
        ]
        file = open(self._part, "r+b" if there and lines else "wb", buffering=0)  # noqa: SIM115
        kept = lines[0][0] if lines else 0
        if there and lines:
            kept, self.last = _holding(file, checkpoints, kept)
        file.truncate(self.last.size)
        file.seek(self.last.size)
        self._size, self._crc = self.last.size, self.last.crc
        self._log.seek(kept)
        self._log.truncate(kept)
        if not lines:
            self._log.write(_line(identity))
            self._log.flush()
        return file


def _part(path: str) -> str:
    folder, name = os.path.split(os.path.realpath(path))
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f"{name[:40]}.{zlib.crc32(os.fsencode(name)):08x}"
    return os.path.join(folder, f"{name}.part")


def _lock(log: BinaryIO, name: str) -> None:
    """Raise UsageError where another process holds the ledger of the output `name`."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # Windows
        return
    try:
        flock(log, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"{name}: another run is writing it", "wait for it, or name another -o FILE"
        ) from None


def _line(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _lines(log: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a ledger up to the first that is damaged: where each ends, and its value."""
    end = 0
    for line in log:
        crc, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or crc != b"%08x" % zlib.crc32(text):
            return
        end += len(line)
        yield end, json.loads(text)


def _holding(
    file: BinaryIO, checkpoints: list[tuple[int, Checkpoint]], first: int
) -> tuple[int, Checkpoint]:
    """The last of `checkpoints` that the bytes of `file` agree with, and where its line ends;
    (`first`, none) without one."""
    held = first, Checkpoint()
    crc = at = 0
    for end, checkpoint in checkpoints:
        while at < checkpoint.size:
            block = file.read(min(_BLOCK, checkpoint.size - at))
            if not block:
                return held
            crc = zlib.crc32(block, crc)
            at += len(block)
        if crc != checkpoint.crc or at != checkpoint.size:
            return held
        held = end, checkpoint
    return held


def _compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise UsageError that names the first things in which two identities differ."""
    now = json.loads(json.dumps(now))
    changed = [
        f"{name} was {_told(before.get(name))}, is {_told(now.get(name))}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if changed:
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UsageError(
            f"--resume: not the job that was begun: {'; '.join(changed[:3])}{more}",
            "give what it was begun with, or --restart begins again",
        )


def _told(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _copy(part: str, output: Output) -> None:
    with open(part, "rb") as file:
        while block := file.read(_BLOCK):
            output.write(block)
