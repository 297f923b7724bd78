"""Whole runs in this process: what the recipe's settings do, and what is left where they fail."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import tiny_decoders
import tiny_encoders
import tiny_models
from nlpcli import registry
from nlpcli.device import Device
from nlpcli.errors import DeviceError, ModelError, NlpcliError, UsageError
from nlpcli.registry import own_folder
from nlpcli.training import checkpoints, result
from nlpcli.training.history import History, Scores
from nlpcli.training.loop import Loop
from nlpcli.training.recipe import Recipe
from nlpcli.training.run import Job, run_folder, train

CPU = Device("cpu", dtype="float32", threads=2)
TEXTS = tiny_models.sentences(48, seed=3)


class Seen:
    """Keeps what a run shows."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.scores: list[Scores] = []
        self.history: History | None = None

    def table(self, rows: Sequence[tuple[str, ...]]) -> None: ...
    def begin(self, figures: Any) -> None: ...
    def step(self, progress: Any) -> None: ...

    def told(self, message: str) -> None:
        self.messages.append(message)

    def epoch(self, scores: Scores) -> None:
        self.scores.append(scores)

    def end(self, history: History) -> None:
        self.history = history


def trained(task: str, name: str = "mine", **settings: Any) -> Seen:
    settings = {"epochs": 1.0, "dtype": "float32", "learning_rate": 2e-3, **settings}
    seen = Seen()
    train(Recipe(task, **settings), Job(name, CPU, overwrite=True), seen)
    return seen


def jsonl(path: Path, records: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return (str(path),)


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[str, ...]:
    labels = ["a", "b", "a", "a"] * 12
    return jsonl(
        tmp_path / "labelled.jsonl",
        [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)],
    )


@pytest.fixture
def bert(tmp_path: Path) -> str:
    tiny_encoders.build(tmp_path / "bert", "bert")
    return str(tmp_path / "bert")


def changed(base: str, name: str = "mine") -> set[str]:
    """The weights of the base that are others in the trained model."""
    before = load_file(f"{base}/model.safetensors")
    after = load_file(own_folder(name) / "model.safetensors")
    bare = {key.removeprefix("bert."): value for key, value in after.items()}
    shared = [key for key in before if key.removeprefix("bert.") in bare]
    assert len(shared) > 20
    return {key for key in shared if (bare[key.removeprefix("bert.")] != before[key]).any()}


def test_frozen_layers_stay_as_they_are(bert: str, labelled: tuple[str, ...]) -> None:
    trained("classify", model=bert, train=labelled, freeze="all")
    assert changed(bert) == set()
    trained("classify", model=bert, train=labelled, freeze="1")
    moved = changed(bert)
    assert moved and not any("embeddings" in key or "layer.0." in key for key in moved)
    trained("classify", model=bert, train=labelled)
    assert {key for key in changed(bert) if "layer.0." in key}


def test_it_ends_early_when_nothing_gets_better(bert: str, labelled: tuple[str, ...]) -> None:
    options = {"epochs": 9.0, "learning_rate": 0.0, "early_stopping": 2}
    seen = trained("classify", model=bert, train=labelled, **options)
    assert [each.best for each in seen.scores] == [True, False, False]


def test_it_ends_when_the_time_is_up(bert: str, labelled: tuple[str, ...]) -> None:
    seen = trained("classify", model=bert, train=labelled, epochs=1e5, max_minutes=0.02)
    assert 0.02 * 60 <= seen.scores[-1].seconds < 20
    assert own_folder("mine").is_dir()


def test_a_run_that_has_ended_is_not_trained_further(
    bert: str, labelled: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"model": bert, "train": labelled, "epochs": 1.5, "batch_size": "8"}
    trained("classify", "whole", **options)
    keep = result.keep

    def full(*given: Any) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(result, "keep", full)
    with pytest.raises(OSError, match="No space"):
        trained("classify", **options)
    steps = checkpoints.last(run_folder("mine"))
    monkeypatch.setattr(result, "keep", keep)
    monkeypatch.setattr(Loop, "training_step", full)
    seen = Seen()
    recipe = Recipe("classify", dtype="float32", learning_rate=2e-3, **options)
    train(recipe, Job("mine", CPU, resume=True), seen)
    assert seen.history and steps and seen.history.scores[-1].step == int(steps.name[11:])
    first, other = (load_file(own_folder(name) / "model.safetensors") for name in ("whole", "mine"))
    assert all((first[key] == other[key]).all() for key in first) and len(first) > 20


def test_the_best_epoch_is_kept(bert: str, labelled: tuple[str, ...]) -> None:
    seen = trained("classify", model=bert, train=labelled, epochs=4.0, best="loss")
    assert seen.history and seen.history.figure == "loss"
    losses = [each.loss for each in seen.scores]
    best = max(n for n, each in enumerate(seen.scores) if each.best)
    assert losses[best] == min(losses)
    with pytest.raises(UsageError, match="--best acuracy: no such figure") as caught:
        trained("classify", model=bert, train=labelled, best="acuracy")
    assert caught.value.hint == "did you mean accuracy?"


def test_without_validation_the_last_weights_are_kept(bert: str, labelled: tuple[str, ...]) -> None:
    seen = trained("classify", model=bert, train=labelled, valid_share=0.0)
    assert seen.scores == [] and seen.history and seen.history.losses
    assert changed(bert)


def test_a_record_with_several_labels(bert: str, tmp_path: Path) -> None:
    names = [["glad", "loud"], [], ["loud"], ["glad"]] * 12
    records = [{"text": text, "labels": some} for text, some in zip(TEXTS, names, strict=True)]
    data = jsonl(tmp_path / "several.jsonl", records)
    options = {"multi_label": True, "class_weights": "balanced", "label_smoothing": 0.1}
    seen = trained("classify", model=bert, train=data, **options)
    assert set(seen.scores[0].figures) == {"accuracy", "f1", "micro-f1"}
    config = registry.read_json(own_folder("mine") / "config.json")
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "glad", "1": "loud"}


@pytest.mark.parametrize("name", ["nllb", "t5", "mbart", "marian"])
def test_a_translator_goes_on_learning(name: str, tmp_path: Path) -> None:
    folder = tiny_models.FAMILIES[name](tmp_path / name)
    records = [{"source": text, "target": text.upper()} for text in TEXTS]
    options = {"source_language": "en", "target_language": "pt", "learning_rate": 1e-2}
    seen = trained(
        "translate",
        model=str(folder),
        train=jsonl(tmp_path / "pairs.jsonl", records),
        epochs=3.0,
        eval_records=2,
        **options,
    )
    assert seen.scores[-1].loss < seen.scores[0].loss
    assert set(seen.scores[0].figures) == {"bleu", "chrf"}


def test_a_summarizer_goes_on_learning(tmp_path: Path) -> None:
    folder = tiny_models.bart(tmp_path / "bart")
    records = [{"document": f"{text} . " * 3, "summary": text} for text in TEXTS if text.strip()]
    seen = trained(
        "summarize",
        model=str(folder),
        train=jsonl(tmp_path / "documents.jsonl", records),
        too_long="cut",
        eval_records=2,
        learning_rate=1e-2,
        epochs=2.0,
    )
    assert seen.scores[-1].loss < seen.scores[0].loss
    assert set(seen.scores[0].figures) == {"rouge1", "rouge2", "rougeL"}


def test_a_chat_model_learns_from_dialogues(tmp_path: Path) -> None:
    folder = tiny_decoders.llama(tmp_path / "llama")
    records = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]}
        for text in TEXTS
    ]
    data = jsonl(tmp_path / "dialogues.jsonl", records)
    options = {"learning_rate": 1e-2, "epochs": 3.0, "duplicates": "keep"}
    seen = trained("generate", model=str(folder), train=data, **options)
    perplexities = [each.figures["perplexity"] for each in seen.scores]
    assert perplexities[-1] < 0.5 * perplexities[0]
    trained("generate", "new", from_scratch=True, size="tiny", train=data, duplicates="keep")
    words = json.loads((own_folder("new") / "tokenizer.json").read_text())["model"]["vocab"]
    assert len(words) > 100


def test_a_model_gets_to_know_a_text(bert: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS * 4))
    seen = trained("pretrain", model=bert, train=(str(text),), max_length=32, epochs=2.0)
    assert seen.scores[-1].figures["perplexity"] < seen.scores[0].figures["perplexity"]
    trained("classify", "told", model="mine", train=_labelled(tmp_path))
    with pytest.raises(UsageError, match=r"--objective causal: .* is an encoder"):
        trained("pretrain", model=bert, train=(str(text),), objective="causal")


def _labelled(folder: Path) -> tuple[str, ...]:
    records = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(TEXTS)]
    return jsonl(folder / "ab.jsonl", records)


def test_the_wrong_kind_of_model_is_told(bert: str, labelled: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="finetune generate takes"):
        data = jsonl(Path(bert) / "texts.jsonl", [{"text": text} for text in TEXTS])
        trained("generate", model=bert, train=data)
    assert not own_folder("mine").exists() and not run_folder("mine").exists()


def test_a_step_that_does_not_fit_is_computed_in_parts(
    bert: str, labelled: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns what a run learns whose steps fit; more parts than records there cannot be."""
    whole = trained("classify", "whole", model=bert, train=labelled, dropout=0.0)
    compute = Loop.compute_loss

    def fits(most: int) -> None:
        def limited(self: Loop, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
            if model.training and len(inputs["labels"]) > most:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to …")
            return compute(self, model, inputs, *more, **named)

        monkeypatch.setattr(Loop, "compute_loss", limited)

    fits(9)
    seen = trained("classify", "parts", model=bert, train=labelled, dropout=0.0)
    assert seen.messages[-2:] == [
        "not enough memory: each step is computed in 2 parts",
        "not enough memory: each step is computed in 4 parts",
    ]
    assert whole.history and seen.history
    for one, other in zip(whole.history.losses, seen.history.losses, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    fits(0)
    with pytest.raises(DeviceError, match=r"not enough memory for a step in (16|32) parts"):
        trained("classify", "none", model=bert, train=labelled)
    assert not own_folder("none").exists() and not run_folder("none").exists()


def test_a_loss_that_is_no_number_ends_the_run(bert: str, labelled: tuple[str, ...]) -> None:
    with pytest.raises(NlpcliError, match=r"the loss is (nan|inf) at step") as caught:
        trained("classify", model=bert, train=labelled, learning_rate=1e30, epochs=3.0, clip=0.0)
    assert "--learning-rate" in caught.value.hint
    assert not own_folder("mine").exists()


def test_a_checkpoint_counts_when_it_is_whole(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if step != 20:  # cut short
            checkpoints.finish(folder, {"losses": [[step, 0.5]]})
    found = checkpoints.last(tmp_path)
    assert found and found.name == "checkpoint-15"
    assert checkpoints.state(found) == {"losses": [[15, 0.5]]}
    checkpoints.prune(tmp_path, str(tmp_path / "checkpoint-5"))
    assert {each.name for each in tmp_path.glob("checkpoint-*")} == {
        "checkpoint-5",
        "checkpoint-15",
    }
    assert checkpoints.last(tmp_path / "none") is None
