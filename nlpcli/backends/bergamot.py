"""Firefox Translations models through fxtranslate: on the CPU, one sentence a call.

The engine searches greedily and tells no scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fxtranslate import Translator

from nlpcli.backends import Decoding, Hypothesis, Request, Result
from nlpcli.device import Device
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel


class Bergamot:
    """One model and its lexical shortlist. `measure` counts tokens."""

    # The engine stops at about 100 tokens, in the output too, and drops what lies beyond.
    window = 80

    def __init__(self, model: LocalModel, device: Device) -> None:
        folder = model.folder
        self._source = _one(folder, "srcvocab*.spm", "vocab*.spm").read_bytes()
        split = next(folder.glob("trgvocab*.spm"), None)
        shortlist = next(folder.glob("lex*.bin"), None)
        self._translator = Translator(
            _one(folder, "model*.bin").read_bytes(),
            self._source,
            split.read_bytes() if split else self._source,
            shortlist.read_bytes() if shortlist else None,
        )
        self._tokenizer: Any = None

    def measure(self, text: str) -> int:
        # A token is a character at least: short texts fit, and need no tokenizer to be loaded.
        if len(text) <= self.window:
            return len(text)
        if self._tokenizer is None:
            from sentencepiece import SentencePieceProcessor

            self._tokenizer = SentencePieceProcessor(model_proto=self._source)
        return len(self._tokenizer.encode(text))

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
        f"{folder}: no {patterns[-1]} here", f"pull it again: nlpcli models pull {folder.name}"
    )
