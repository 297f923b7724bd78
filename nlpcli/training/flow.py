"""When to save, to stop and to tell, and the history of the run across checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import isfinite
from typing import Any

import torch
from transformers import TrainerCallback

from nlpcli.errors import NlpcliError
from nlpcli.metrics import Figure
from nlpcli.training.history import History, Loss, Progress, Scores
from nlpcli.training.recipe import Recipe
from nlpcli.training.signals import Leaving

_POINTS = 200  # of the learning curve


class Flow(TrainerCallback):  # type: ignore[misc]
    """`figure` decides which scores are best. `on_step` and `on_scores` are called as it goes;
    `records` is the number of training records. `state`, of an earlier run, is gone on with."""

    def __init__(
        self,
        recipe: Recipe,
        figure: Figure,
        records: int,
        leaving: Leaving,
        on_step: Callable[[Progress], None],
        on_scores: Callable[[Scores], None],
        state: dict[str, Any] | None = None,
    ) -> None:
        self._recipe, self._figure, self._records = recipe, figure, records
        self._leaving, self._on_step, self._on_scores = leaving, on_step, on_scores
        self.loop: Any = None
        self._begun = time.monotonic()
        self._first_step = 0
        kept = state or {}
        self.losses = [Loss(*row) for row in kept.get("losses", ())]
        self.scores = [Scores(*row) for row in kept.get("scores", ())]
        self._sum = torch.tensor(kept.get("sum", 0.0))
        self._count: int = kept.get("count", 0)
        self._earlier: float = kept.get("seconds", 0.0)
        self.saved = 0
        # A run that --max-minutes ended may get more of them.
        self.ended: bool = kept.get("ended", False) and kept["minutes"] == recipe.max_minutes

    @property
    def history(self) -> History:
        return History(self.losses, self.scores, self._figure.name)

    @property
    def seconds(self) -> float:
        """Since the run began, pauses left out."""
        return self._earlier + time.monotonic() - self._begun

    def state(self) -> dict[str, Any]:
        state, control = self.loop.state, self.loop.control
        self.ended = control.should_training_stop or state.global_step >= state.max_steps
        return {
            "losses": self.losses,
            "scores": self.scores,
            "sum": float(self._sum),
            "count": self._count,
            "seconds": self.seconds,
            "ended": self.ended,
            "minutes": self._recipe.max_minutes,
        }

    def add(self, loss: torch.Tensor) -> None:
        self._sum = self._sum.to(loss.device) + loss
        self._count += 1

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._begun, self._first_step = time.monotonic(), state.global_step
        for scores in self.scores:
            self._on_scores(scores)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.loop.steps.epoch = int(state.epoch)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % max(1, state.max_steps // _POINTS) == 0:
            self._point(state.global_step)
        self._on_step(self._progress(state))
        ends = state.global_step % len(self.loop.steps) == 0 or control.should_training_stop
        if state.global_step % self._recipe.save_steps == 0 and not ends:
            control.should_save = True
        leaves, late = self._agreed()
        if leaves:
            control.should_save = True
        elif late:
            control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._point(state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **_: Any) -> None:
        known = (figure.name for figure in self.loop.objective.figures)
        figures = {name: metrics[f"eval_{name}"] for name in known if f"eval_{name}" in metrics}
        value = self._value(figures, metrics["eval_loss"])
        before = [self._value(each.figures, each.loss) for each in self.scores]
        best = all(value > each if self._figure.higher else value < each for each in before)
        since = self.scores[-1].step if self.scores else 0
        scores = Scores(
            state.global_step,
            state.epoch,
            self._mean_since(since),
            metrics["eval_loss"],
            figures,
            best,
            self.seconds,
        )
        self.scores.append(scores)
        self._on_scores(scores)
        since_best = len(self.scores) - max(n for n, each in enumerate(self.scores) if each.best)
        if self._recipe.early_stopping and since_best > self._recipe.early_stopping:
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = state.global_step
        if self._agreed()[0]:
            raise self._leaving.asked or KeyboardInterrupt

    def _agreed(self) -> tuple[bool, bool]:
        """Whether a signal asks any of the processes to leave, and whether time is up."""
        limit = 60 * self._recipe.max_minutes
        flags = (self._leaving.asked is not None, bool(limit) and self.seconds > limit)
        if self.loop.accelerator.num_processes == 1:
            return flags
        told = torch.tensor([float(flag) for flag in flags], device=self.loop.args.device)
        leaves, late = self.loop.accelerator.reduce(told, "sum").tolist()
        return leaves > 0, late > 0

    def _value(self, figures: dict[str, float], loss: float) -> float:
        return figures.get(self._figure.name, loss)

    def _point(self, step: int) -> None:
        """Note the mean loss since the last point."""
        if not self._count:
            return
        mean = self.loop.accelerator.reduce(self._sum, "mean")
        value = float(mean) / self._count
        self._sum, self._count = torch.zeros_like(self._sum), 0
        if not isfinite(value):
            raise NlpcliError(
                f"the loss is {value:g} at step {step}",
                "use a lower --learning-rate, a longer --warmup, or --dtype float32",
            )
        self.losses.append(Loss(step, value))
        self.loop.log({"loss": value})

    def _mean_since(self, start: int) -> float:
        """The mean training loss of the steps after `start`."""
        total = count = 0.0
        previous = start
        for step, value in self.losses:
            if step > start:
                total += value * (step - previous)
                count += step - previous
                previous = step
        return total / count if count else float("nan")

    def _progress(self, state: Any) -> Progress:
        here = state.global_step - self._first_step
        taken = time.monotonic() - self._begun
        left = taken / here * (state.max_steps - state.global_step)
        if self._recipe.max_minutes:
            left = min(left, max(60 * self._recipe.max_minutes - self.seconds, 0.0))
        rate = here / taken * self._records / len(self.loop.steps) if taken else 0.0
        epochs = float(self._recipe.epochs or 0)
        loss = self.losses[-1].value if self.losses else float("nan")
        step, steps = state.global_step, state.max_steps
        return Progress(step, steps, state.epoch, epochs, loss, rate, self.seconds, left)
