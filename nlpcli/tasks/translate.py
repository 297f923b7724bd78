"""Translation: a text is split into sentences, each is translated, and they are joined again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from nlpcli.backends import Backend, Decoding, Hypothesis, Request, Result
from nlpcli.tasks import Answer
from nlpcli.tasks.repetition import loops
from nlpcli.tasks.sentences import Piece, halves, join, split

_REPEATED = "repeats itself"


class _Output(NamedTuple):
    """What became of one sentence, and what is odd about it."""

    result: Result
    warning: str = ""


class Translate(NamedTuple):
    """From `source` to `target` (BCP 47 tags). `field` names the field that is added.

    A sentence whose translation falls into a loop is tried again with repeated 4-grams forbidden,
    then in halves; the first way out is taken, and a loop that stays is reported.
    """

    source: str
    target: str
    decoding: Decoding
    field: str = "translation"

    @property
    def fields(self) -> tuple[str, ...]:
        fields = [self.field]
        if self.decoding.scores:
            fields.append("score")
        if self.decoding.nbest > 1:
            fields.append(f"{self.field}s")
        return tuple(fields)

    def run(self, texts: Sequence[str], *backends: Backend) -> list[Answer]:
        (backend,) = backends
        cut = partial(split, language=self.source, measure=backend.measure, window=backend.window)
        pieces = [cut(text) if _says(text) else [] for text in texts]
        outputs = self._translate([p.text for row in pieces for p in row if p.text], backend)
        answers, start = [], 0
        for text, row in zip(texts, pieces, strict=True):
            count = sum(1 for piece in row if piece.text)
            answers.append(self._answer(text, row, outputs[start : start + count]))
            start += count
        return answers

    def _translate(self, texts: list[str], backend: Backend) -> list[_Output]:
        requests = [Request(text, self.source, self.target) for text in texts]
        results = backend.run(requests, self.decoding) if requests else []
        return [
            self._repair(request, result, backend)
            if loops(result.text, request.text)
            else _Output(result)
            for request, result in zip(requests, results, strict=True)
        ]

    def _repair(self, request: Request, looping: Result, backend: Backend) -> _Output:
        strict = self.decoding._replace(no_repeat_ngram=4)
        result = backend.run([request], strict)[0]
        if not loops(result.text, request.text):
            return _Output(result)
        parts = halves(request.text)
        if parts is None:
            return _Output(looping, _REPEATED)
        first, second = parts
        outputs = self._translate([first.strip(), second.strip()], backend)
        pieces = [Piece(first.rstrip(), first[len(first.rstrip()) :]), Piece(second, "")]
        warning = max(output.warning for output in outputs)
        return _Output(_joined(pieces, [output.result for output in outputs], self.target), warning)

    def _answer(self, text: str, pieces: list[Piece], outputs: list[_Output]) -> Answer:
        every: tuple[Hypothesis, ...] = (Hypothesis(text),)
        if outputs:
            every = _joined(pieces, [o.result for o in outputs], self.target).hypotheses
        best = every[0]
        values: dict[str, object] = {self.field: best.text}
        if self.decoding.scores:
            values["score"] = _rounded(best)
        if self.decoding.nbest > 1:
            values[f"{self.field}s"] = [
                {
                    self.field: each.text,
                    **({"score": _rounded(each)} if self.decoding.scores else {}),
                }
                for each in every
            ]
        warning = max((output.warning for output in outputs), default="")
        return Answer(values, self._line(every), warning)

    def _line(self, hypotheses: tuple[Hypothesis, ...]) -> str:
        """One line: the hypotheses, each with its score where asked for, between tabs."""
        cells: list[str] = []
        for hypothesis in hypotheses[: self.decoding.nbest]:
            plain = len(hypotheses) == 1 and not self.decoding.scores
            cells.append(hypothesis.text if plain else hypothesis.text.replace("\t", " "))
            if hypothesis.score is not None and self.decoding.scores:
                cells.append(f"{_rounded(hypothesis)}")
        return "\t".join(cells)


def _says(text: str) -> bool:
    """Whether `text` has a letter; numbers, signs and emoji are the same in any language."""
    return any(character.isalpha() for character in text)


def _joined(pieces: list[Piece], results: list[Result], target: str) -> Result:
    """The k-th hypotheses of all pieces as the k-th of the whole; scores are means over tokens."""
    if len(pieces) == 1 and not pieces[0].gap:
        return results[0]
    count = min(len(result.hypotheses) for result in results)
    joined = []
    for rank in range(count):
        ranked = iter([result.hypotheses[rank] for result in results])
        parts = [next(ranked) if piece.text else Hypothesis("") for piece in pieces]
        tokens = sum(part.tokens for part in parts)
        scores = [part.score for part in parts if part.score is not None]
        score = None
        if scores:
            total = sum((part.score or 0.0) * part.tokens for part in parts)
            score = total / tokens if tokens else math.fsum(scores) / len(scores)
        text = join(pieces, [part.text for part in parts], target)
        joined.append(Hypothesis(text, score, tokens))
    return Result(tuple(joined))


def _rounded(hypothesis: Hypothesis) -> float | None:
    return None if hypothesis.score is None else round(hypothesis.score, 4)
