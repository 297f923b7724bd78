"""Translation through a third language: two translations in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nlpcli.backends import Backend
from nlpcli.tasks import Answer
from nlpcli.tasks.translate import Translate


class Pivot(NamedTuple):
    """`first` translates to the language between, `second` from there.

    Each splits what it gets into what its own model takes. Alternatives and scores are `second`'s.
    """

    first: Translate
    second: Translate

    @property
    def fields(self) -> tuple[str, ...]:
        return self.second.fields

    def run(self, texts: Sequence[str], *backends: Backend) -> list[Answer]:
        one, other = backends
        between = self.first.run(texts, one)
        answers = self.second.run([answer.values[self.first.field] for answer in between], other)
        return [
            answer._replace(warning=answer.warning or middle.warning)
            for answer, middle in zip(answers, between, strict=True)
        ]
