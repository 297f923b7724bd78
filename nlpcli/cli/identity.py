"""What settles the bytes of a job's output: its inputs, models and options, told in JSON."""

import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nlpcli import __version__
from nlpcli.remote import is_remote, path_of
from nlpcli.runners import Job, Leg
from nlpcli.streams import STDIN

_WHOLE = 1 << 26  # of a file up to this many bytes each is read; of a longer one, both ends
_BLOCK = 1 << 20

# How much is computed at once is no part of what is asked for.
_LEFT_OUT = ("batch_size",)


def identity(inputs: list[str], job: Job, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of the job over `inputs` with the further `settings`, by names that tell a user
    what each is."""
    told: dict[str, Any] = {"version of nlpcli": __version__}
    for number, path in enumerate(inputs, 1):
        told[f"input {number}"] = path_of(path)  # a signature is another each time
        told |= {f"{what} of {path}": value for what, value in _of_file(path)}
    for leg in job.legs:
        name = leg.model.spec.name
        told |= {f"{what} of {name}": value for what, value in _of_leg(leg)}
    if job.legs:
        told["device"] = job.device.kind
        told["dtype"] = job.device.dtype
    told |= settings
    told |= dict(_flat("", job.task))
    return told


def _of_file(path: str) -> Iterator[tuple[str, Any]]:
    """Size and content of a file; its time too where only the ends of its content are read."""
    if path == STDIN or is_remote(path):
        return
    found = os.stat(path)
    if stat.S_ISREG(found.st_mode):
        yield "size", found.st_size
        yield "content", f"{_crc(path, found.st_size):08x}"
        if found.st_size > _WHOLE:
            yield "time", found.st_mtime


def _crc(path: str, size: int) -> int:
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
            if size > _WHOLE and file.tell() == _BLOCK:
                file.seek(-_BLOCK, os.SEEK_END)
    return crc


def _of_leg(leg: Leg) -> Iterator[tuple[str, Any]]:
    model = leg.model
    yield "backend", leg.backend
    if model.spec.format == "openai":
        yield "server", os.environ.get("OPENAI_BASE_URL", "")
    yield "revision", " ".join(filter(None, (source.revision for source in model.spec.sources)))
    if model.spec.files:
        yield "hash", f"{zlib.crc32(repr(sorted(model.spec.files)).encode()):08x}"
    elif model.folder != Path():
        yield "folder", str(model.folder)
        files = [model.folder] if model.folder.is_file() else sorted(model.folder.rglob("*"))
        contents = [(file.name, *_of_file(str(file))) for file in files if file.is_file()]
        yield "hash", f"{zlib.crc32(repr(contents).encode()):08x}"


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a NamedTuple, and of those within it, by name."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        yield (name + " kind").strip(), type(value).__name__
        for field, inner in value._asdict().items():
            if field not in _LEFT_OUT:
                yield from _flat(f"{name} {field}".strip().replace("decoding ", ""), inner)
    elif value is None or isinstance(value, str | int | float | bool):
        yield name, value
    else:
        yield name, repr(value)
