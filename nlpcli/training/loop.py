"""HF Trainer with our data, losses and scores; what is shown of it is the caller's affair.

A step's records are the same for any number of processes, and its loss is divided by the items of
the whole step, so that neither processes nor parts of a step change what is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerState, TrainingArguments

from nlpcli.backends.memory import of_batch
from nlpcli.batching import by_length
from nlpcli.errors import DeviceError
from nlpcli.training import checkpoints
from nlpcli.training.batches import Steps
from nlpcli.training.causal import perplexity
from nlpcli.training.data import Example
from nlpcli.training.objective import Feature, Objective, blank, items

_JUDGED = 2048  # padded tokens of a validation batch


class Log(Protocol):
    """What keeps the history of a run across checkpoints."""

    def add(self, loss: torch.Tensor) -> None:
        """Note the loss of a step."""

    def state(self) -> dict[str, Any]:
        """All of it as JSON values."""


class Loop(Trainer):  # type: ignore[misc]
    """Trains `model` on `train` and scores it on `valid`, features of `examples`; outputs are
    written for the first `written` examples that have features. `told` gets what the user is to
    know."""

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        objective: Objective,
        steps: Steps,
        train: list[Feature],
        valid: list[Feature],
        examples: Sequence[Example],
        *,
        written: int,
        parts: int,
        log: Log,
        told: Callable[[str], None],
        callbacks: list[Any],
    ) -> None:
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=train,
            eval_dataset=valid or None,
            callbacks=callbacks,
        )
        self.objective, self.steps = objective, steps
        self._train, self._valid = train, valid
        short = {feature.place for feature in valid}
        fitting = [example for place, example in enumerate(examples) if place in short]
        self._examples, self._written = examples, fitting[: written or None]
        self._parts, self._log, self._told = parts, log, told
        # Losses come divided by the items of the whole step.
        self.loss_is_scaled_for_ga = True

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(
            self._train,  # type: ignore[arg-type]
            batch_sampler=self.steps,
            collate_fn=self._collated,
            generator=torch.Generator(),  # so that none is drawn from the global one
        )

    def _collated(self, features: list[Feature]) -> dict[str, torch.Tensor]:
        if not features:
            return blank(self.objective.collate(self._train[:1], self.steps.epoch))
        return self.objective.collate(features, self.steps.epoch)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> torch.Tensor:
        count = torch.tensor(float(sum(map(items, batch_samples))), device=device)
        total: torch.Tensor = self.accelerator.reduce(count, "sum")
        return total.clamp(min=1)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        loss, logits = self.objective.loss(model, inputs)
        # The mean over the processes, which the gradients become, is to be the sum.
        loss = loss * self.accelerator.num_processes / num_items_in_batch
        return (loss, logits) if return_outputs else loss

    def training_step(
        self, model: Any, inputs: dict[str, torch.Tensor], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """A step in as many parts as memory takes; twice as many where it does not suffice."""
        while True:
            try:
                loss = self._in_parts(model, inputs, num_items_in_batch)
                self._log.add(loss)
                return loss
            except DeviceError:
                several = self.accelerator.num_processes > 1
                if several or self._parts >= len(inputs["labels"]):
                    raise DeviceError(
                        f"{self.args.device}: not enough memory for a step in {self._parts} parts",
                        f"try --accumulate {2 * self._parts}"
                        if several
                        else "use a smaller model, --lora, or a shorter --max-length",
                    ) from None
            model.zero_grad()
            if self.args.device.type == "cuda":
                torch.cuda.empty_cache()
            self._parts *= 2
            self._told(f"not enough memory: each step is computed in {self._parts} parts")

    def take(self, checkpoint: Path) -> None:
        """Take the best weights of a run that has ended, of which `checkpoint` is the last."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        best = Path(self.state.best_model_checkpoint or checkpoint).name
        self._load_from_checkpoint(str(checkpoint.with_name(best)))

    def _in_parts(self, model: Any, inputs: dict[str, torch.Tensor], count: Any) -> torch.Tensor:
        rows = len(inputs["labels"])
        size = -(-rows // self._parts)
        total = torch.zeros((), device=self.args.device)
        for start in range(0, rows, size):
            part = {name: value[start : start + size] for name, value in inputs.items()}
            last = start + size >= rows
            alone = nullcontext() if last else self.accelerator.no_sync(model)
            with alone, of_batch(self.args.device):
                total += super().training_step(model, part, count)
        return total

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The loss in nats an item and the figures of the validation data, the same in every
        process; each computes its share."""
        self.model.eval()
        with torch.inference_mode(), of_batch(self.args.device):
            judged = self._judged()
            written = self._written_outputs()
        loss = sum(row[0] for row in judged) / max(sum(row[1] for row in judged), 1)
        said = {place: output for row in judged for place, output in row[2]}
        if self.objective.writes:
            figures = self.objective.scores(
                [written[place] for place in range(len(self._written))], self._written
            )
        elif any(output is not None for output in said.values()):
            order = sorted(said)
            figures = self.objective.scores(
                [said[place] for place in order], [self._examples[place] for place in order]
            )
        else:
            figures = {}
        if "perplexity" in {figure.name for figure in self.objective.figures}:
            figures["perplexity"] = perplexity(loss)
        found = {"eval_loss": loss} | {f"eval_{name}": each for name, each in figures.items()}
        self.log(found)
        handler: Any = self.callback_handler
        self.control: Any = handler.on_evaluate(self.args, self.state, self.control, metrics=found)
        return found

    def _judged(self) -> list[tuple[float, int, list[tuple[int, Any]]]]:
        """For each validation batch the summed loss, the items, and the outputs by place."""
        lengths = [feature.length for feature in self._valid]
        found = []
        for batch in by_length(lengths, budget=_JUDGED)[self._rank :: self._world]:
            features = [self._valid[index] for index in batch]
            inputs = self._prepare_inputs(self.objective.collate(features, -1))
            with self.compute_loss_context_manager():
                loss, logits = self.objective.loss(self.model, inputs)
            outputs = self.objective.outputs(logits, inputs)
            places = [feature.place for feature in features]
            found.append((float(loss), items(inputs), [*zip(places, outputs, strict=True)]))
        return self._gathered(found)

    def _written_outputs(self) -> dict[int, str]:
        """What the model writes for the examples to write for, by place."""
        if not self.objective.writes:
            return {}
        places = [*range(len(self._written))][self._rank :: self._world]
        with self.compute_loss_context_manager():
            texts = self.objective.write(self.model, [self._written[each] for each in places])
        return dict(self._gathered([*zip(places, texts, strict=True)]))

    @property
    def _rank(self) -> int:
        return int(self.accelerator.process_index)

    @property
    def _world(self) -> int:
        return int(self.accelerator.num_processes)

    def _gathered(self, rows: list[Any]) -> list[Any]:
        """The rows of all processes, in an order of their own."""
        from accelerate.utils import gather_object

        return list(gather_object(rows)) if self._world > 1 else rows

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        folder = Path(self.args.output_dir)
        with checkpoints.writing(folder, folder):
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                name = f"checkpoint-{self.state.global_step}"
                checkpoints.finish(folder / name, self._log.state())
                checkpoints.prune(folder, self.state.best_model_checkpoint)
