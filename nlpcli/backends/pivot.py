"""Two translation backends in a row: source to a third language, and from there to the target."""

from __future__ import annotations

from collections.abc import Sequence

from nlpcli.backends import Backend, Decoding, Request, Result


class Pivot:
    """Translates through the language `via`. Alternatives and scores are the second model's."""

    def __init__(self, first: Backend, second: Backend, via: str) -> None:
        self._first = first
        self._second = second
        self._via = via
        # The text between may be longer than the source, and has to fit as well.
        self.window = first.window * 2 // 3

    def measure(self, text: str) -> int:
        return self._first.measure(text)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        inward = [request._replace(target=self._via) for request in requests]
        between = self._first.run(inward, decoding._replace(nbest=1, scores=False))
        outward = [
            Request(middle.text, self._via, request.target)
            for request, middle in zip(requests, between, strict=True)
        ]
        return self._second.run(outward, decoding)

    def close(self) -> None:
        self._first.close()
        self._second.close()
