"""Explanations of classifications: the words that carried the decision, and the self-attention.

A word's weight is what the best label's probability loses where the word is left out (occlusion):
above zero it speaks for the label, below against it. That works with whatever tells probabilities.
Attention is the model's own softmax(QKᵀ/√d), of a backend that shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nlpcli.backends import Request
from nlpcli.errors import ModelError, UsageError
from nlpcli.tasks import Answer
from nlpcli.tasks.classify import Classify
from nlpcli.tasks.words import Span, without, words

# So many texts less a word are held at once; a long text has as many of them as it has words.
_AT_ONCE = 256
_DIGITS = 8


class Explain(NamedTuple):
    """Classifies with `classify` and adds the field `explanation`.

    `layer` and `head` (from 1; 0: the mean over all) choose the attention. Raises UsageError for
    one that the model does not have.
    """

    classify: Classify
    layer: int = 0
    head: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.classify.fields, "explanation")

    def run(self, texts: Sequence[str], *backends: Any) -> list[Answer]:
        (backend,) = backends
        return [self._explained(text, backend) for text in texts]

    def _explained(self, text: str, backend: Any) -> Answer:
        (answer,) = self.classify.run([text], backend)
        if answer.error:
            return answer
        if not text.strip():
            return _with(answer, None)
        scores = self.classify.score([text], backend)
        if not scores.told:
            return _with(answer, None, "lacks an explanation: the model tells no probabilities")
        best = int(scores.values[0].argmax())
        spans = words(text)
        left, error = self._left([without(text, span) for span in spans], best, backend)
        if error:
            return _with(answer, None, f"lacks an explanation: {error}")
        whole = float(scores.values[0][best])
        attention, warning = self._attention(text, best, backend)
        explanation = {
            "label": self.classify.scorer.names(backend)[best],
            "score": _rounded(whole),
            "words": [
                _word(text, span, whole - each) for span, each in zip(spans, left, strict=True)
            ],
            "attention": attention,
        }
        return _with(answer, explanation, warning)

    def _left(self, texts: Sequence[str], label: int, backend: Any) -> tuple[list[float], str]:
        """The probability of `label` for each text; or why there is none for one of them."""
        found: list[float] = []
        for start in range(0, len(texts), _AT_ONCE):
            scores = self.classify.score(texts[start : start + _AT_ONCE], backend)
            if scores.errors:
                return [], next(iter(scores.errors.values()))
            found += scores.values[:, label].tolist()
        return found, ""

    def _attention(self, text: str, label: int, backend: Any) -> tuple[dict[str, Any] | None, str]:
        """The attention for the text, beside the hypothesis of `label` where the classifier is
        one of natural language inference; or None and why."""
        if not hasattr(backend, "attend"):
            return None, ""
        scorer = self.classify.scorer
        if backend.measure(text) > scorer.room(backend):
            return None, "lacks attention: the text is longer than the model's window"
        hypotheses = getattr(scorer, "hypotheses", None)
        try:
            found = backend.attend(Request(text, pair=hypotheses[label] if hypotheses else None))
        except ModelError as error:
            if self.layer or self.head:
                raise
            return None, f"lacks attention: {error.message}"
        return {
            "layer": self.layer or "mean",
            "head": self.head or "mean",
            "tokens": list(found.tokens),
            "weights": _rows(chosen(found.weights, self.layer, self.head)),
        }, ""


def chosen(weights: Any, layer: int, head: int) -> Any:
    """The matrix (tokens, tokens) of a layer and head of `weights` (layers, heads, tokens,
    tokens), each from 1, or of the mean over them where it is 0. Raises UsageError."""
    for name, number, count in zip(("layer", "head"), (layer, head), weights.shape, strict=False):
        if number > count:
            raise UsageError(
                f"--{name} {number}: the model has {count} {name}{'s' * (count > 1)}",
                f"give 1 to {count}, or leave it out for their mean",
            )
    layers = weights[layer - 1 : layer] if layer else weights
    heads = layers[:, head - 1 : head] if head else layers
    return heads.mean((0, 1), dtype="float64")


def _rows(weights: Any) -> list[list[float]]:
    return [[_rounded(weight) for weight in row] for row in weights.tolist()]


def _word(text: str, span: Span, weight: float) -> dict[str, Any]:
    word = text[span.start : span.end]
    return {"word": word, "start": span.start, "end": span.end, "weight": _rounded(weight)}


def _rounded(value: float) -> float:
    return round(value, _DIGITS)


def _with(answer: Answer, explanation: dict[str, Any] | None, warning: str = "") -> Answer:
    values = {**answer.values, "explanation": explanation}
    return answer._replace(values=values, warning=answer.warning or warning)
