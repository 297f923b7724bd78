"""Locations such as s3://… or https://…, through fsspec and its packages for each protocol."""

from __future__ import annotations

from typing import Any

from nlpcli.errors import UsageError


def is_remote(path: str) -> bool:
    """Whether `path` is a location with a protocol, not a file's name."""
    return "://" in path


def filesystem(location: str) -> tuple[Any, str]:
    """The fsspec filesystem of `location`, and its path there. Raises UsageError where the
    packages for its protocol are missing."""
    try:
        from fsspec.core import url_to_fs

        files, inner = url_to_fs(location)
    except (ImportError, ValueError) as error:
        what = " ".join(str(error).split())
        raise UsageError(
            f"{location}: cannot be opened: {what}", "pip install 'nlpcli[remote]'"
        ) from None
    return files, inner.rstrip("/") + "/" if location.endswith("/") else inner
