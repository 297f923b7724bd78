"""Zero-shot classification by a language model: the labels as answers to a question."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from nlpcli.backends import Decoding, Hypothesis, Message, Request
from nlpcli.tasks.classify import Scores, softmax
from nlpcli.tasks.labels import Label

YES_NO = ("yes", "no")
# Texts that say nothing: what a model answers to them is its taste for a label, not the text's.
_EMPTY = ("N/A", "", "[MASK]", "text")
# What a chat template writes around a question, in tokens or in characters.
_AROUND = 100
_ALTERNATIVES = 20


class Prompted(NamedTuple):
    """By how likely each label is as the answer, per token and beside how likely it is for texts
    that say nothing. `independent` asks for each label whether it fits. `constrained` lets the
    model answer by itself, in nothing but labels: for those that tell no likelihoods of others."""

    labels: tuple[Label, ...]
    independent: bool = False
    constrained: bool = False

    def names(self, backend: Any) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    def room(self, backend: Any) -> int:
        return _left(self, backend)

    def score(self, texts: Sequence[str], backend: Any, batch_size: int = 0) -> Scores:
        import numpy

        requests = [each for text in texts for each in self.questions(text)]
        if self.constrained:
            scores = _answered(requests, self.answers, backend, batch_size)
        else:
            scores = Scores(_likelihoods(requests, self, backend))
        if not self.independent:
            return scores
        count = len(self.labels)
        values = scores.values[:, YES_NO.index("yes")].reshape(len(texts), count)
        errors = {index // count: why for index, why in scores.errors.items()}
        return scores._replace(values=numpy.ascontiguousarray(values), errors=errors)

    @property
    def answers(self) -> tuple[str, ...]:
        """What the model may answer."""
        if self.independent:
            return YES_NO
        return tuple(label.name if self.constrained else label.spaced for label in self.labels)

    def questions(self, text: str) -> list[Request]:
        """What it is asked about a text, one question or one for each label; or the beginning
        of what it continues with an answer, which says more of a small model than a dialogue."""
        if self.independent:
            asked = [f'Does the label "{_told(each)}" fit, yes or no?' for each in self.labels]
            every = [f"Text: {text}\n{question}" for question in asked]
        elif self.constrained:
            listed = "\n".join(f"- {label.name}: {label.text}" for label in self.labels)
            every = [f"Which of these labels fits the text best?\n{listed}\n\nText: {text}"]
        else:
            listed = ", ".join(map(_told, self.labels))
            every = [f"Labels: {listed}\n\nText: {text}\nLabel:"]
        if self.constrained:
            return [Request(each, messages=(Message("user", each),)) for each in every]
        return [Request(f"{each}\nAnswer:" if self.independent else each) for each in every]


def _told(label: Label) -> str:
    return f"{label.spaced} ({label.description})" if label.description else label.spaced


def _likelihoods(requests: Sequence[Request], asked: Prompted, backend: Any) -> Any:
    """float array (requests, answers): probabilities."""
    import numpy

    found = numpy.array(backend.likelihoods(requests, _continuations(asked)))
    taste = _taste(asked, backend)
    taste = numpy.tile(taste, (len(found) // len(taste), 1))
    return softmax((found - taste) / _lengths(asked, backend))


def _continuations(asked: Prompted) -> list[str]:
    return [f" {answer}" for answer in asked.answers]


@lru_cache(1)
def _lengths(asked: Prompted, backend: Any) -> Any:
    import numpy

    return numpy.array([max(1, backend.measure(each)) for each in _continuations(asked)])


@lru_cache(1)
def _taste(asked: Prompted, backend: Any) -> Any:
    """float array (questions of a text, answers): log-probabilities for texts that say nothing."""
    import numpy

    requests = [each for text in _EMPTY for each in asked.questions(text)]
    found = numpy.array(backend.likelihoods(requests, _continuations(asked)))
    return found.reshape(len(_EMPTY), -1, found.shape[1]).mean(0)


@lru_cache(1)
def _left(asked: Prompted, backend: Any) -> int:
    """What the longest question and answer leave of the window."""
    questions = (backend.measure(each.text) for each in asked.questions(""))
    answers = (backend.measure(each) for each in asked.answers)
    taken: int = max(questions) + max(answers) + _AROUND
    return int(backend.window) - taken


def _answered(
    requests: Sequence[Request], answers: tuple[str, ...], backend: Any, batch_size: int
) -> Scores:
    """The probabilities of the answers the model gives."""
    import numpy

    label = {"type": "string", "enum": list(answers)}
    schema = {"type": "object", "properties": {"label": label}, "required": ["label"]}
    decoding = Decoding(
        schema=json.dumps({**schema, "additionalProperties": False}),
        logprobs=_ALTERNATIVES,
        batch_size=batch_size,
    )
    values = numpy.zeros((len(requests), len(answers)))
    errors, told = {}, True
    for index, result in enumerate(backend.run(requests, decoding)):
        answer = "" if result.error else _label(result.text)
        if answer not in answers:
            errors[index] = result.error or f"the model's answer is no label: {result.text[:80]}"
            continue
        told = told and bool(result.hypotheses[0].logprobs)
        values[index] = shares(result.hypotheses[0], answers, answer)
    return Scores(values, errors, told)


def _label(text: str) -> str:
    try:
        return str(json.loads(text)["label"])
    except (ValueError, KeyError, TypeError):
        return ""


def shares(hypothesis: Hypothesis, answers: Sequence[str], given: str) -> list[float]:
    """The probability of each of `answers` at the places where the model could have turned from
    the one `given` to another; what it saw in no other is not known, and shared by none."""
    found = dict.fromkeys(answers, 0.0)
    encoded = {answer: json.dumps(answer, ensure_ascii=False)[1:] for answer in answers}
    text = "".join(token.text for token in hypothesis.logprobs)
    start = text.find(encoded[given], text.find(":"))
    alive, mass, place = list(answers), 1.0, 0
    for token in hypothesis.logprobs:
        end = place + len(token.text)
        if start < 0 or len(alive) == 1:
            break
        if end > start:
            here = _fitting(text[start:end], alive, encoded)
            for other, logprob in token.top:
                begun = text[:place] + other
                if other == token.text or begun[:start] != text[:start]:
                    continue
                turned = set(_fitting(begun[start:], alive, encoded)) - set(here)
                for answer in turned:
                    found[answer] += mass * math.exp(logprob) / len(turned)
            mass *= math.exp(token.logprob)
            alive = here
        place = end
    found[given] += mass
    total = math.fsum(found.values())
    return [found[answer] / total for answer in answers]


def _fitting(begun: str, answers: Sequence[str], encoded: dict[str, str]) -> list[str]:
    """Those of `answers` whose JSON may begin like that, or is it whole."""
    return [
        answer
        for answer in answers
        if begun and (encoded[answer].startswith(begun) or begun.startswith(encoded[answer]))
    ]
