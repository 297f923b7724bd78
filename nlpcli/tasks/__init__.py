"""What a task is: texts in, answers out, over any backend. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from nlpcli.backends import Backend


class Answer(NamedTuple):
    """What became of one text: `values` are the fields added to its record, `line` what text
    output shows. `warning` names something odd about it, counted and reported at the end."""

    values: dict[str, Any]
    line: str = ""
    warning: str = ""


class Task(Protocol):
    """Picklable, so that a worker process can run it."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that every answer adds, in order."""

    def run(self, texts: Sequence[str], *backends: Backend) -> list[Answer]:
        """One answer for each text, in order; none depends on the other texts.

        `backends` are the job's models, in the order in which the job names them.
        """
