"""Learning labels: a classification head over an encoder, one label a text or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from nlpcli.backends.ct2.convert import quiet
from nlpcli.metrics import Figure
from nlpcli.training.data import Data, Example
from nlpcli.training.objective import IGNORED, Feature, Objective, padded
from nlpcli.training.recipe import Recipe

_THRESHOLD = 0.5


class Classify(Objective):
    """`scores` takes each text's probabilities."""

    best = "accuracy"

    def __init__(self, tokenizer: Any, recipe: Recipe, data: Data) -> None:
        self._tokenizer = tokenizer
        self._labels = data.labels
        self._code = {label: code for code, label in enumerate(data.labels)}
        self._several = data.multi_label
        self._smoothing = recipe.label_smoothing or 0.0
        self._weights = _balanced(data) if recipe.class_weights == "balanced" else None
        self.figures = (Figure("accuracy", "Accuracy", 3), Figure("f1", "macro F1", 3))
        if self._several:
            self.figures += (Figure("micro-f1", "micro F1", 3),)
            self.best = "micro-f1"

    def features(self, examples: Sequence[Example]) -> list[Feature]:
        with quiet():
            found = self._tokenizer([each.source for each in examples], truncation=False)
        rows = found["input_ids"]
        return [
            Feature(ids, self._gold(example), place, len(ids), len(ids))
            for place, (ids, example) in enumerate(zip(rows, examples, strict=True))
        ]

    def cut(self, feature: Feature, limit: int) -> Feature:
        """Cuts the end of the text; the special token behind it stays."""
        if len(feature.ids) <= limit:
            return feature
        ids = feature.ids[: limit - 1] + feature.ids[-1:]
        return feature._replace(ids=ids, window=limit, length=limit)

    def collate(self, features: Sequence[Feature], epoch: int) -> dict[str, torch.Tensor]:
        pad = self._tokenizer.pad_token_id
        labels = [each.labels if self._several else each.labels[0] for each in features]
        return {
            "input_ids": padded([each.ids for each in features], pad),
            "attention_mask": padded([[1] * len(each.ids) for each in features], 0),
            "labels": torch.tensor(labels),
        }

    def loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        labels = inputs["labels"]
        given = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**given).logits.float()
        weights = None if self._weights is None else self._weights.to(logits.device)
        if not self._several:
            return functional.cross_entropy(
                logits,
                labels,
                weights,
                ignore_index=IGNORED,
                reduction="sum",
                label_smoothing=self._smoothing,
            ), logits
        learnt = (labels != IGNORED).float()
        gold = labels.clamp(min=0) * (1 - self._smoothing) + self._smoothing / 2
        loss = functional.binary_cross_entropy_with_logits(
            logits, gold, learnt, reduction="sum", pos_weight=weights
        )
        return loss, logits

    def outputs(self, logits: Any, inputs: dict[str, torch.Tensor]) -> list[Any]:
        likely = logits.sigmoid() if self._several else logits.softmax(-1)
        found: list[Any] = likely.tolist()
        return found

    def scores(self, outputs: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        from nlpcli.metrics.classification import Classification, MultiLabel

        known = sorted({*self._labels, *(label for each in examples for label in each.targets)})
        if self._several:
            metric: Any = MultiLabel(known)
            said: list[Any] = [
                [self._labels[code] for code, p in enumerate(row) if p >= _THRESHOLD]
                for row in outputs
            ]
            sample = metric.sample(said, [list(each.targets) for each in examples])
        else:
            metric = Classification(known)
            said = [self._labels[max(range(len(row)), key=row.__getitem__)] for row in outputs]
            sample = metric.sample(said, [each.targets[0] for each in examples])
        found = dict(zip((each.name for each in metric.figures), sample.scores(), strict=True))
        return {figure.name: found[figure.name] for figure in self.figures}

    def _gold(self, example: Example) -> list[Any]:
        if not self._several:
            return [self._code[example.targets[0]]]
        return [float(label in example.targets) for label in self._labels]


def _balanced(data: Data) -> torch.Tensor:
    """A weight for each label, such that all labels weigh the same over the training data: one
    that is n times as rare counts n times as much. In the mean over the records it is 1."""
    counts = Counter(label for each in data.train for label in each.targets)
    if data.multi_label:  # what a positive counts beside a negative
        every = len(data.train)
        return torch.tensor([(every / counts[label] - 1) or 1.0 for label in data.labels])
    share = len(data.train) / len(data.labels)
    return torch.tensor([share / counts[label] for label in data.labels])
