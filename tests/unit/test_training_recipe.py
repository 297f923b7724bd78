"""Recipes: settings and options are one, what is written can be read, and what is wrong is told."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from nlpcli.errors import UsageError
from nlpcli.training import recipe as recipes
from nlpcli.training.recipe import SETTINGS, TASKS, Recipe, check, option, read, settled

GOOD = Recipe("classify", model="minilm-l6", train=("a.csv",))


def test_every_field_is_an_option_with_help() -> None:
    named = {each.name for each in fields(Recipe)} - {"task"}
    assert named == set(SETTINGS)
    assert all(setting.help and set(setting.tasks) <= {*TASKS} for setting in SETTINGS.values())
    assert len({option(name) for name in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_written_is_read(task: str, tmp_path: Path) -> None:
    given = replace(
        settled(replace(GOOD, task=task)), train=("a 'b' \"c\".csv", "é\n.csv"), epochs=2.5
    )
    given.write(tmp_path)
    found = read(tmp_path)
    assert found.pop("task") == task
    assert [Path(name).name for name in found.pop("train")] == ["a 'b' \"c\".csv", "é\n.csv"]
    for name, value in found.items():
        assert value == getattr(given, name), name
    assert {name for name in found if task not in SETTINGS[name].tasks} == set()
    assert read(tmp_path / recipes.FILE) == read(tmp_path)


def test_a_key_that_is_none_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("learning-rat = 1e-3\n")
    with pytest.raises(UsageError, match="no such setting: learning-rat") as caught:
        read(file)
    assert caught.value.hint == "did you mean learning-rate?"


@pytest.mark.parametrize("text", ["epochs = [1, 2]\n", "train = 'a.csv'\n", "[model]\nx = 1\n"])
def test_a_value_of_the_wrong_shape_is_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"train is not a list|(epochs|model) is not one value"):
        read(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": ()}, "nothing to learn from"),
        ({"batch_size": "0"}, "--batch-size 0: no such size"),
        ({"batch_size": "many"}, "--batch-size many: no such size"),
        ({"freeze": "-1"}, "--freeze -1: no such number"),
        ({"schedule": "steep"}, "--schedule steep: no such value"),
        ({"dtype": "int8"}, "--dtype int8: no such value"),
        ({"lora": 4, "freeze": "1"}, "--lora and --freeze do not go together"),
        ({"lora": 4, "from_scratch": True}, "--lora and --from-scratch do not go together"),
        ({"batch_size": "4", "batch_tokens": 9}, "--batch-size and --batch-tokens do not go"),
        ({"size": "tiny"}, "--model and --size do not go together"),
        ({"model": None}, "no model to begin with"),
        ({"model": None, "task": "translate"}, "no model to begin with"),
    ],
)
def test_what_contradicts_is_told(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(replace(GOOD, **change))  # type: ignore[arg-type]
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("scratch", [False, True])
def test_nothing_is_left_to_be_settled(task: str, scratch: bool) -> None:
    found = settled(replace(GOOD, task=task, from_scratch=scratch))
    for name in ("epochs", "learning_rate", "warmup", "label_smoothing"):
        assert getattr(found, name) is not None
    assert found.schedule != "auto"
    assert (found.batch_size != "auto") != bool(found.batch_tokens)
    assert settled(found) == found


def test_what_is_given_stays() -> None:
    given = replace(GOOD, epochs=7.0, learning_rate=1e-3, batch_size="4", schedule="constant")
    found = settled(given)
    assert (found.epochs, found.learning_rate, found.batch_size) == (7.0, 1e-3, "4")
    assert found.schedule == "constant"


def test_the_textbook_case_is_not_surprised() -> None:
    """Hugging Face's introduction: AdamW at 5e-5, a linear schedule, three epochs."""
    found = settled(GOOD)
    assert (found.learning_rate, found.schedule, found.epochs) == (5e-5, "linear", 3.0)
