"""The job in this process. The model is loaded with the first text, not before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nlpcli.runners import Job, Key
from nlpcli.tasks import Answer, Text


class Local:
    """One process, without any start-up but the models'."""

    window = 512

    def __init__(self, job: Job) -> None:
        self._job = job
        self._backends: list[Any] = []

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the models; they are loaded again where more texts come."""
        while self._backends:
            self._backends.pop().close()

    def open(self) -> None:
        """Load the models, if they are not yet."""
        self._backends = self._backends or self._job.open()

    def answer(self, texts: Sequence[Text]) -> list[Answer]:
        """One answer for each text."""
        if not texts:
            return []
        self.open()
        return self._job.task.run(texts, *self._backends)

    def map(
        self, windows: Iterable[tuple[Key, Sequence[Text]]]
    ) -> Iterator[tuple[Key, list[Answer]]]:
        for key, texts in windows:
            yield key, self.answer(texts)
