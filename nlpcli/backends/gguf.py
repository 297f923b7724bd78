"""A GGUF to a transformers folder, made once and kept in the cache."""

from __future__ import annotations

from nlpcli.registry import LocalModel


def unpacked(model: LocalModel) -> LocalModel:
    """The transformers folder of a GGUF."""
    raise NotImplementedError
