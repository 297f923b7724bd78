"""Zero-shot classification: labels that the model was never trained on, read as texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from nlpcli.backends import Encoder, Request
from nlpcli.tasks.classify import Scores, sigmoid, softmax
from nlpcli.tasks.labels import Label

TEMPLATES = (
    "the topic is {}",
    "the overall impression is {}",
    "my question is about {}",
    "{}?",
)
"""What is embedded of a label; chosen on training texts of sst2 and banking77 (tests/bench)."""
HYPOTHESIS = "This example is {}."
# On training texts of sst2 and banking77 the mean score of the best label is then nearest to how
# often it is right.
_TEMPERATURE = 0.04
# Where a label's own score is 0.5, and how steep it is there: fitted to banking77's training texts,
# right and wrong labels weighing the same, then raised to where most of what is given is right.
_MIDDLE, _WIDTH = 0.5, 0.08

# Separators around a second text beyond those around the first; RoBERTa's are two.
_SEPARATORS = 2


class Similarity(NamedTuple):
    """By sentence embeddings: a label is a mixture of its templates, each the likelier the smaller
    its angle to the text. `independent` goes by the angle alone, whatever the other labels."""

    labels: tuple[Label, ...]
    independent: bool = False

    def names(self, backend: Encoder) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    def room(self, backend: Any) -> int:
        return int(backend.window)

    def score(self, texts: Sequence[str], backend: Any, batch_size: int = 0) -> Scores:
        import numpy

        embeddings = backend.embed(texts, batch_size)
        # Matrix by vector for each text: a product of matrices is rounded as its shape has it.
        cosines = numpy.matmul(_directions(self.labels, backend), embeddings[:, :, None])
        powers = numpy.exp(cosines.reshape(len(texts), -1, len(TEMPLATES)) / _TEMPERATURE).mean(2)
        if self.independent:
            return Scores(sigmoid((_TEMPERATURE * numpy.log(powers) - _MIDDLE) / _WIDTH))
        return Scores(powers / powers.sum(1, keepdims=True))


class Entailment(NamedTuple):
    """By a classifier of natural language inference: whether the text entails that it is of the
    label. `independent` weighs that against contradiction, label by label."""

    labels: tuple[Label, ...]
    independent: bool = False

    def names(self, backend: Encoder) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    def room(self, backend: Any) -> int:
        return _beside(self.hypotheses, backend)

    def score(self, texts: Sequence[str], backend: Any, batch_size: int = 0) -> Scores:
        pairs = [Request(text, pair=pair) for text in texts for pair in self.hypotheses]
        logits = backend.classify(pairs, batch_size)
        logits = logits.reshape(len(texts), len(self.labels), len(backend.labels))
        yes, no = entailment(backend.labels)
        if self.independent:
            return Scores(softmax(logits[:, :, [no, yes]])[:, :, 1])
        return Scores(softmax(logits[:, :, yes]))

    @property
    def hypotheses(self) -> tuple[str, ...]:
        """What each label is read as."""
        return tuple(HYPOTHESIS.format(label.text) for label in self.labels)


def entailment(labels: Sequence[str]) -> tuple[int, int]:
    """The places of entailment and of its contrary among the labels of a head; (-1, -1) where it
    is no classifier of natural language inference."""
    names = [label.lower() for label in labels]
    yes = next((i for i, name in enumerate(names) if name.startswith("entail")), -1)
    if yes < 0:
        return -1, -1
    no = next((i for i, name in enumerate(names) if name.startswith(("contra", "not"))), None)
    return yes, (0 if yes else len(names) - 1) if no is None else no


@lru_cache(1)
def _directions(labels: tuple[Label, ...], backend: Any) -> Any:
    """float32 array (labels * templates, dimensions): unit vectors."""
    return backend.embed([each.format(label.text) for label in labels for each in TEMPLATES])


@lru_cache(1)
def _beside(hypotheses: tuple[str, ...], backend: Any) -> int:
    """What the longest hypothesis leaves of the window."""
    longest: int = max(backend.measure(each) for each in hypotheses)
    return int(backend.window) - longest - _SEPARATORS
