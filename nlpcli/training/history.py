"""What became known of a run while it trained: losses by step, scores by epoch."""

from __future__ import annotations

from typing import NamedTuple


class Loss(NamedTuple):
    """The mean training loss of the steps since the last one told; `step` counts from 1."""

    step: int
    value: float


class Scores(NamedTuple):
    """What the model reached on the validation data after `step` steps, which are `epoch` passes.

    `training` is the mean training loss of the epoch, `loss` that of the validation data in nats
    an item; `figures` are those of the task by name, in the order in which they are shown. `best`
    tells whether no scores before were as good. `seconds` have passed since the run began.
    """

    step: int
    epoch: float
    training: float
    loss: float
    figures: dict[str, float]
    best: bool
    seconds: float


class Progress(NamedTuple):
    """Where a run is: `step` of `steps`, after `epoch` of `epochs` passes; the mean training loss
    of the latest steps, records computed a second, and seconds passed and left."""

    step: int
    steps: int
    epoch: float
    epochs: float
    loss: float
    rate: float
    seconds: float
    left: float


class History(NamedTuple):
    """All of a run, in the order in which it came. `figure` names the one that tells which scores
    are best."""

    losses: list[Loss]
    scores: list[Scores]
    figure: str
