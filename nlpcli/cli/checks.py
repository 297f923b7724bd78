"""Whether the shared options go together, and the formats that they ask for."""

import os
from importlib import import_module

from nlpcli import device, notice, partfile
from nlpcli.backends import choice
from nlpcli.cli.options import Shared
from nlpcli.errors import UsageError
from nlpcli.output import regular
from nlpcli.records import FORMATS, format_of
from nlpcli.remote import is_remote
from nlpcli.runners.stream import ON_ERROR
from nlpcli.streams import STDIN


def check(given: Shared) -> None:
    """Raise UsageError for a value that no option takes, DeviceError for a device not here."""
    notice.quiet = given.quiet
    for name, value, known in (
        ("--input-format", given.input_format, ("auto", *FORMATS)),
        ("--output-format", given.output_format, ("auto", *FORMATS)),
        ("--on-error", given.on_error, ON_ERROR),
        ("--backend", given.backend, ("auto", *choice.BACKENDS)),
        ("--dtype", given.dtype, device.DTYPES),
    ):
        if value not in known:
            raise UsageError(f"{name} {value}: no such value", f"name one of {', '.join(known)}")
    if given.output == "":
        raise UsageError("--output is empty", "name a file, or - for standard output")
    if given.output and given.output.endswith("/"):
        raise UsageError(f"{given.output}: output goes to a file", "name one in that folder")
    if is_remote(given.output or ""):
        raise UsageError(
            f"{given.output}: output goes to a file of this machine, or to standard output",
            "copy it from there",
        )
    if output_format(given) == "parquet":
        if not (given.output and regular(given.output)):
            raise UsageError("Parquet output needs a file", "name one: -o FILE.parquet")
        import_module("nlpcli.parquet").library()
    if given.inputs and given.text:
        raise UsageError("--text and input files do not go together", "leave one of them out")
    if given.batch_size != "auto" and not (given.batch_size.isdecimal() and int(given.batch_size)):
        raise UsageError(
            f"--batch-size {given.batch_size}: no such size", "give auto, or a number from 1 on"
        )
    if given.ray_address and given.runner not in ("auto", "ray"):
        raise UsageError("--ray-address is for --runner ray", "leave one of them out")
    inputs = given.inputs or [STDIN]
    if given.shard and any(
        path == STDIN or not (is_remote(path) or regular(path)) for path in inputs
    ):
        raise UsageError("--shard reads its input twice", "name files")
    if given.output and regular(given.output):
        for path in inputs:
            _apart(path, given.output)
    device.check(given.device)


def _apart(path: str, output: str) -> None:
    """Raise UsageError where the input `path` is the output, or what it grows in."""
    for made in (output, *partfile.files(output)):
        if os.path.exists(path) and os.path.exists(made) and os.path.samefile(path, made):
            raise UsageError(
                f"{path} is both input and output", "write to another file, and rename it then"
            )


def streamed(given: Shared) -> None:
    """Raise UsageError for an option that one text, answered as it comes, has no use for."""
    for option, asked in (
        ("--resume", given.resume),
        ("--restart", given.restart),
        ("--shard", given.shard),
    ):
        if asked:
            raise UsageError(f"{option} is for many records", "leave it out, or add --lines")


def input_format(given: Shared) -> str:
    """The format of the first input."""
    if given.text or given.input_format != "auto":
        return "text" if given.text else given.input_format
    return format_of(given.inputs[0]) if given.inputs else "text"


def output_format(given: Shared) -> str:
    """The format to write: the one asked for, else the output file's, else the first input's."""
    if given.output_format != "auto":
        return given.output_format
    return format_of(given.output or "", "") or input_format(given)
