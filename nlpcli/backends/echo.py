"""Returns each text as it came: what --dry-run and the tests run on."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from nlpcli.backends import Decoding, Delta, Hypothesis, Request, Result, Scored, Token, sliding
from nlpcli.device import Device
from nlpcli.registry import LocalModel


class Echo:
    """Every kind of model: a decoder says the last message, an encoder counts characters.

    `measure` counts characters; the window is that of a small translation model.
    """

    window = 300
    chat = True
    labels = ("even", "odd")
    multi_label = False

    def __init__(self, model: LocalModel, device: Device) -> None:
        pass

    def measure(self, text: str) -> int:
        return len(text)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        """NLPCLI_ECHO_POISON names a text that kills this process, as a bad driver would."""
        poison = os.environ.get("NLPCLI_ECHO_POISON")
        if poison and any(request.text == poison for request in requests):
            os.kill(os.getpid(), signal.SIGKILL)
        return [
            Result((_hypothesis(request, decoding),) * max(1, decoding.nbest))
            for request in requests
        ]

    def stream(self, request: Request, decoding: Decoding) -> Iterator[Delta]:
        """Word by word."""
        for word in _words(_said(request, decoding)):
            yield Delta(word)
        yield Delta("", "stop")

    def likelihoods(
        self, requests: Sequence[Request], continuations: Sequence[str]
    ) -> list[list[float]]:
        """The shorter, the likelier."""
        return [[-float(len(each)) for each in continuations] for _ in requests]

    def logprobs(self, text: str, window: int = 0, stride: int = 0) -> list[Scored]:
        """Each character is a token, and one as likely as another."""
        ids, spans = list(map(ord, text)), [(at, at + 1) for at in range(len(text))]

        def score(_: list[list[int]], counts: list[int]) -> list[list[float]]:
            return [[-1.0] * count for count in counts]

        return sliding.logprobs(ids, spans, self.window, window, stride, score)

    def embed(self, texts: Sequence[str], batch_size: int = 0) -> Any:
        """How often each of 64 residues of the characters occurs, made a row of length one."""
        import numpy

        counts = numpy.full((len(texts), 64), 1e-6, numpy.float32)
        for row, text in zip(counts, texts, strict=True):
            for character in text:
                row[ord(character) % 64] += 1
        return counts / numpy.linalg.norm(counts, axis=1, keepdims=True)

    def classify(self, requests: Sequence[Request], batch_size: int = 0) -> Any:
        """Whether the number of characters is even or odd."""
        import numpy

        odd = [(len(request.text) + len(request.pair or "")) % 2 for request in requests]
        return numpy.array([(1 - each, each) for each in odd], numpy.float32).reshape(-1, 2)

    def close(self) -> None:
        pass


def _said(request: Request, decoding: Decoding) -> str:
    said = request.messages[-1].content if request.messages else request.text
    return json.dumps(said, ensure_ascii=False) if decoding.schema else said


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


def _hypothesis(request: Request, decoding: Decoding) -> Hypothesis:
    said = _said(request, decoding)
    if decoding.logprobs is None:
        return Hypothesis(said, 0.0, 1)
    tokens = tuple(
        Token(word, 0.0, ((word, 0.0),) * min(1, decoding.logprobs)) for word in _words(said)
    )
    return Hypothesis(said, 0.0, len(tokens), logprobs=tokens)
