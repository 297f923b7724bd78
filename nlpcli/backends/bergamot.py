"""Firefox Translations models through fxtranslate: on the CPU, one sentence a call.

The engine searches greedily and tells no scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fxtranslate import Translator

from nlpcli.backends import Decoding, Hypothesis, Request, Result
from nlpcli.device import Device
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel


class Bergamot:
    """One model and its lexical shortlist. `measure` counts characters."""

    # The models stop at about 100 tokens and drop what lies beyond; 300 characters stay below.
    window = 300

    def __init__(self, model: LocalModel, device: Device) -> None:
        folder = model.folder
        source = _one(folder, "srcvocab*.spm", "vocab*.spm").read_bytes()
        target = _one(folder, "trgvocab*.spm", "vocab*.spm").read_bytes()
        shortlist = next(folder.glob("lex*.bin"), None)
        self._translator = Translator(
            _one(folder, "model*.bin").read_bytes(),
            source,
            target,
            shortlist.read_bytes() if shortlist else None,
        )

    def measure(self, text: str) -> int:
        return len(text)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        translate = self._translator.translate
        return [Result((Hypothesis(translate(request.text)),)) for request in requests]

    def close(self) -> None:
        """Nothing to do: the memory goes with the object, or with the process."""


def _one(folder: Path, *patterns: str) -> Path:
    """The first file that one of `patterns` finds. Raises ModelError where there is none."""
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise ModelError(
        f"{folder}: no {patterns[-1]} here", "pull the model again: nlpcli models pull"
    )
