"""The job in this process. The model is loaded with the first text, not before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nlpcli.backends import Backend
from nlpcli.runners import Job, Key
from nlpcli.tasks import Answer


class Local:
    """`jobs` is there for the runners' common signature; it is 1."""

    window = 512

    def __init__(self, job: Job, jobs: int = 1) -> None:
        self._job = job
        self._backend: Backend | None = None

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *error: object) -> None:
        if self._backend is not None:
            self._backend.close()

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """One answer for each text."""
        if not texts:
            return []
        if self._backend is None:
            self._backend = self._job.open()
        return self._job.task.run(texts, self._backend)

    def map(
        self, windows: Iterable[tuple[Key, Sequence[str]]]
    ) -> Iterator[tuple[Key, list[Answer]]]:
        for key, texts in windows:
            yield key, self.answer(texts)
