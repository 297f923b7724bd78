"""Classification: probabilities of labels for each text, and which of them are put out.

A text beyond the model's window is classified piece by piece; its probabilities are the means of
the pieces', weighted by their length. Where probabilities come from is a Scorer's matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nlpcli.backends import Encoder, Request
from nlpcli.errors import UsageError
from nlpcli.tasks import Answer
from nlpcli.tasks.sentences import split

THRESHOLD = 0.5
"""What a label's score must reach where several are given."""


class Scores(NamedTuple):
    """`values` is an array (texts, labels) of probabilities. `errors` says which texts cannot be
    answered, and why; `told` is False where the model only chooses and tells no probability."""

    values: Any
    errors: Mapping[int, str] = {}
    told: bool = True


class Scorer(Protocol):
    """Gives labels their probabilities. Picklable."""

    def names(self, backend: Any) -> tuple[str, ...]:
        """The labels, in the order of the columns of `score`."""

    def room(self, backend: Any) -> int:
        """The longest text it takes, in the units of `backend.measure`."""

    def score(self, texts: Sequence[str], backend: Any, batch_size: int = 0) -> Scores:
        """The probabilities of the labels for texts that fit."""


class Choice(NamedTuple):
    """Which labels are put out: the best, or the `top_k` best; with `multi_label` all of them
    (`top_k` at most). None whose score is below `threshold`."""

    field: str = "label"
    top_k: int = 0
    threshold: float | None = None
    multi_label: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        several = (f"{self.field}s",) if self.several else ()
        return (self.field, "score", *several)

    @property
    def several(self) -> bool:
        """Whether a list of labels is put out."""
        return self.multi_label or self.top_k > 0

    def answer(self, names: Sequence[str], row: Sequence[float], told: bool = True) -> Answer:
        """The answer for a text with the probabilities `row`; equal ones stay in their order."""
        scores = [round(value, 4) for value in row]
        ranked = sorted(range(len(row)), key=lambda index: -row[index])
        count = self.top_k or (len(ranked) if self.multi_label else 1)
        least = (
            (THRESHOLD if self.multi_label else 0.0) if self.threshold is None else self.threshold
        )
        kept = [index for index in ranked[:count] if scores[index] >= least]
        given = [(names[index], scores[index] if told else None) for index in kept]
        best, score = given[0] if given else (None, scores[ranked[0]] if told else None)
        values: dict[str, Any] = {self.field: best, "score": score}
        if self.several:
            values[f"{self.field}s"] = [{self.field: name, "score": each} for name, each in given]
        return Answer(values, "\t".join(_cells(given or [("", score)])))

    def blank(self) -> Answer:
        """The answer for a text that says nothing."""
        values: dict[str, Any] = {self.field: None, "score": None}
        if self.several:
            values[f"{self.field}s"] = []
        return Answer(values)


class Classify(NamedTuple):
    """Chooses among the labels of `scorer`."""

    scorer: Scorer
    choice: Choice
    batch_size: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        return self.choice.fields

    def run(self, texts: Sequence[str], *backends: Any) -> list[Answer]:
        (backend,) = backends
        said = [text for text in texts if text and not text.isspace()]
        if not said:
            return [self.choice.blank()] * len(texts)
        names = self.scorer.names(backend)
        scores = self.score(said, backend)
        rows = iter(enumerate(scores.values.tolist()))
        answers = []
        for text in texts:
            if not text or text.isspace():
                answers.append(self.choice.blank())
                continue
            index, row = next(rows)
            error = scores.errors.get(index)
            answer = self.choice.answer(names, row, scores.told)
            answers.append(Answer({}, error=error) if error else answer)
        return answers

    def score(self, texts: Sequence[str], backend: Any) -> Scores:
        """The probabilities of the labels for texts of any length, none of them blank."""
        room = self.scorer.room(backend)
        pieces = [_pieces(text, backend, room) for text in texts]
        flat = [piece for row in pieces for piece in row]
        scores = self.scorer.score(flat, backend, self.batch_size)
        if len(flat) == len(texts):
            return scores
        return _combined(scores, pieces, backend)


class Head(NamedTuple):
    """The labels of the model's own classification head. `independent` gives each label a
    probability of its own (sigmoid), else all sum to one (softmax)."""

    independent: bool = False

    def names(self, backend: Encoder) -> tuple[str, ...]:
        return backend.labels

    def room(self, backend: Encoder) -> int:
        return backend.window

    def score(self, texts: Sequence[str], backend: Encoder, batch_size: int = 0) -> Scores:
        logits = backend.classify([Request(text) for text in texts], batch_size)
        return Scores(sigmoid(logits) if self.independent else softmax(logits))


def softmax(logits: Any) -> Any:
    """Probabilities along the last axis."""
    import numpy

    powers = numpy.exp(logits - logits.max(-1, keepdims=True, initial=-numpy.inf))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(logits: Any) -> Any:
    """A probability for each."""
    import numpy

    return 0.5 + 0.5 * numpy.tanh(0.5 * logits)  # which does not overflow


def _cells(given: Sequence[tuple[str, float | None]]) -> list[str]:
    cells: list[str] = []
    for name, score in given:
        cells += (name.replace("\t", " "), "" if score is None else f"{score}")
    return cells


def _pieces(text: str, backend: Any, room: int) -> list[str]:
    """`text` in pieces that fit, as few as sentence ends allow."""
    # No tokenizer makes more tokens than this of a text: so most need not be measured.
    if len(text) * (1 if text.isascii() else 4) <= room:
        return [text]
    if room < 1:
        raise UsageError(
            "the labels leave no room for a text in the model's window", "shorten them"
        )
    if backend.measure(text) <= room:
        return [text]
    found = [""]
    for piece in split(text, "en", backend.measure, room):
        longer = found[-1] + piece.text
        if found[-1].strip() and piece.text and backend.measure(longer) > room:
            found.append(piece.text + piece.gap)
        else:
            found[-1] = longer + piece.gap
    return [piece.strip() for piece in found if piece.strip()]


def _combined(scores: Scores, pieces: Sequence[Sequence[str]], backend: Any) -> Scores:
    """The scores of whole texts from those of their pieces, in a row."""
    import numpy

    values = numpy.empty((len(pieces), scores.values.shape[1]), scores.values.dtype)
    errors: dict[int, str] = {}
    start = 0
    for index, row in enumerate(pieces):
        end = start + len(row)
        values[index] = scores.values[start]
        if len(row) > 1:
            weights = [max(1, backend.measure(piece)) for piece in row]
            values[index] = numpy.average(scores.values[start:end], axis=0, weights=weights)
        if bad := [at for at in range(start, end) if at in scores.errors]:
            errors[index] = scores.errors[bad[0]]
        start = end
    return scores._replace(values=values, errors=errors)
