"""Every failure a user can meet: its one-line message, its hint, and its exit code."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; the manual prints this table."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MODEL = 3
    DATA = 4
    DEVICE = 5
    SCORE = 6
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_MEANINGS = {
    ExitCode.DONE: "Done.",
    ExitCode.FAILED: "Ran, but some records failed; or an internal failure.",
    ExitCode.USAGE: "Wrong usage: an unknown option, value, file or command.",
    ExitCode.MODEL: "Model not available: unknown, offline, or it failed verification.",
    ExitCode.DATA: "Bad input data.",
    ExitCode.DEVICE: "Device or memory: none such, or not enough.",
    ExitCode.SCORE: "A score asked for by --fail-under was missed.",
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C (SIGINT).",
    ExitCode.TERMINATED: "Terminated (SIGTERM).",
}


class NlpcliError(Exception):
    """A failure with a cure. `message` says what happened, `hint` what to do; one line each."""

    code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Terminated(BaseException):
    """SIGTERM came: as with Ctrl-C, what is open is closed and nothing half-written stays."""


class UsageError(NlpcliError):
    """The command line, an environment variable or config.toml is wrong."""

    code = ExitCode.USAGE


class ModelError(NlpcliError):
    """A model is unknown, cannot be had, or is not what its hash says."""

    code = ExitCode.MODEL


class DataError(NlpcliError):
    """An input record cannot be read."""

    code = ExitCode.DATA


class DeviceError(NlpcliError):
    """A device is missing, or its memory does not suffice."""

    code = ExitCode.DEVICE


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The names in `known` most like `name`, those it begins first; empty where none is close."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=limit, cutoff=0.6)
    return sorted(close, key=lambda each: not each.startswith(name))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint naming the nearest of `known`, or an empty string."""
    names = nearest(name, known)
    return f"did you mean {' or '.join(names)}?" if names else ""
