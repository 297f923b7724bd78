"""What `classify --explain` adds to a plan: the task, the backend that shows attention, and the
drawing of the output."""

from collections.abc import Callable
from typing import Any

from nlpcli.backends import choice
from nlpcli.cli.inference import Plan
from nlpcli.cli.options import Shared
from nlpcli.errors import UsageError
from nlpcli.output import Sink
from nlpcli.streams import COMPRESSED
from nlpcli.tasks.classify import Classify
from nlpcli.tasks.explain import Explain

_PICTURES = (".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".pdf")


def explained(made: Plan, task: Classify, given: Shared, layer: int, head: int) -> Plan:
    """The plan with the explanations of `task`, with attention where the model can show it.

    Raises UsageError where `layer` or `head` (0: all) ask for attention that it cannot.
    """
    if task.choice.field == "explanation":
        raise UsageError("--output-field explanation: that field is taken", "name another")
    # One record at a time: each is many texts, and its attention may be large.
    made = made._replace(task=Explain(task, layer, head), window=1)
    asked = "--layer" if layer else "--head" if head else ""
    if not made.models:
        return made
    (model,) = made.models
    if "likelihoods" in made.needs or "constrain" in made.needs:
        if asked:
            raise UsageError(
                f"{asked}: {model.name} is a language model, whose attention is not shown",
                "leave it out, or name an encoder or a classifier",
            )
        return _alone(made, f"{model.name} is a language model")
    # In 16 bits rounding would change probabilities as much as many a word does.
    made = made._replace(dtype="float32")
    if asked or "torch" in choice.able(model, given.backend):
        return made._replace(needs={**made.needs, "attention": asked or "--explain"})
    return _alone(made, f"the {given.backend} backend shows none")


def _alone(made: Plan, why: str) -> Plan:
    note = f"the words are explained without attention: {why}"
    return made._replace(notes=(*made.notes, note))


def picture(given: Shared) -> str:
    """The ending of the output's name where it is that of a picture, and no format is named."""
    name = (given.output or "").lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    ending = name[name.rfind(".") :]
    return ending if ending in _PICTURES and given.output_format == "auto" else ""


def drawing(given: Shared) -> tuple[Shared, Callable[[Sink], Any]]:
    """The options, and what draws text output: a page for -o FILE.svg, else for the terminal."""
    if picture(given):
        from nlpcli.cli.svg import Page

        return given._replace(output_format="text"), Page

    def draw(output: Sink) -> Any:
        from nlpcli.cli.heatmap import HeatMaps, terminal

        return HeatMaps(output, *terminal(given.output))

    return given, draw
