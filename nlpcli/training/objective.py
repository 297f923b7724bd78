"""What is learnt: from examples to token ids, from a batch to a loss, from outputs to figures.

One class for each way of learning, in a module of its own. A loss is summed over the items of a
batch (records or tokens), so that it can be divided by the items of a whole step, whatever parts
the step is computed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from nlpcli.errors import DataError
from nlpcli.metrics import Figure
from nlpcli.training.data import Example

IGNORED = -100
"""The label of what is not learnt: torch's own mark."""


class Feature(NamedTuple):
    """An example as token ids. `labels` are the ids to foretell, IGNORED where none is; for a
    classifier the number of the label, or 1.0 or 0.0 for each. `place` is the example's place in
    its list. `window` tells the longest sequence of it in tokens, `length` what it costs."""

    ids: list[int]
    labels: list[Any]
    place: int
    window: int
    length: int


class Objective:
    """What all ways of learning have in common. `figures` are what `scores` gives, `best` the one
    that decides."""

    figures: tuple[Figure, ...] = ()
    best = ""
    writes = False
    """Whether outputs are written, token by token, to be scored."""

    def features(self, examples: Sequence[Example]) -> list[Feature]:
        """The examples as token ids, none of them cut."""
        raise NotImplementedError

    def cut(self, feature: Feature, limit: int) -> Feature:
        """`feature` with sequences of at most `limit` tokens."""
        raise NotImplementedError

    def collate(self, features: Sequence[Feature], epoch: int) -> dict[str, torch.Tensor]:
        """The tensors of a batch, among them `labels`; `epoch` is -1 for validation."""
        raise NotImplementedError

    def loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """The loss summed over the items of the batch, and the logits."""
        raise NotImplementedError

    def outputs(self, logits: Any, inputs: dict[str, torch.Tensor]) -> list[Any]:
        """What the model says of each row, where the logits of the loss tell it."""
        return [None] * len(inputs["labels"])

    def write(self, model: Any, examples: Sequence[Example]) -> list[str]:
        """The model's outputs for the examples, greedily."""
        raise NotImplementedError

    def scores(self, outputs: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """The figures of the outputs, one for each of `examples`."""
        return {}


def items(inputs: dict[str, torch.Tensor]) -> int:
    """How many items of a batch are learnt."""
    return int((inputs["labels"] != IGNORED).sum())


def blank(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch with nothing in it to learn, for a process that has no record of a step."""
    return {**inputs, "labels": torch.full_like(inputs["labels"], IGNORED)}


def padded(rows: Sequence[Sequence[Any]], fill: Any, *, left: bool = False) -> torch.Tensor:
    """`rows` as a tensor (rows, longest)."""
    longest = max(map(len, rows))
    fills = [[fill] * (longest - len(row)) for row in rows]
    pairs = zip(fills, rows, strict=True)
    return torch.tensor([[*some, *row] if left else [*row, *some] for some, row in pairs])


def fitted(
    objective: Objective, examples: Sequence[Example], limit: int, policy: str
) -> tuple[list[Feature], int]:
    """The features of `examples`, none longer than `limit` tokens, and how many were: `policy`
    cuts them, skips them, or raises DataError (fail)."""
    features = objective.features(examples) if examples else []
    long = [feature for feature in features if feature.window > limit]
    if long and policy == "fail":
        worst = max(long, key=lambda feature: feature.window)
        count = f"{len(long):,} of {len(features):,} records are"
        if len(long) == 1:
            count = f"1 of {len(features):,} records is"
        raise DataError(
            f"{count} longer than the model's window of {limit} tokens; the longest,"
            f" {examples[worst.place].where}, has {worst.window}",
            "--too-long skip leaves them out, cut cuts them; or split them into parts",
        )
    if policy == "cut":
        return [objective.cut(feature, limit) for feature in features], len(long)
    return [feature for feature in features if feature.window <= limit], len(long)
