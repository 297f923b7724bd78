"""What a task is: texts in, answers out, over any backend. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Answer(NamedTuple):
    """What became of one text: `values` are the fields added to its record, `line` what text
    output shows. `warning` names something odd about it, counted and reported at the end; `error`
    says why this text alone cannot be answered, and makes its record a bad one."""

    values: dict[str, Any]
    line: str = ""
    warning: str = ""
    error: str = ""


# What a task works on: a text, or a dialogue as (role, content) pairs.
Text = str | tuple[tuple[str, str], ...]


class Task(Protocol):
    """Picklable, so that a worker process can run it."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that every answer adds, in order."""

    def run(self, texts: Sequence[Any], *backends: Any) -> list[Answer]:
        """One answer for each text (a Text), in order; none depends on the other texts.

        `backends` are the job's models, in the order in which the job names them: a
        backends.Backend, LanguageModel or Encoder each, as the task needs.
        """
