"""Workers that die, and workers that never begin: every text is answered, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpcli.errors import DeviceError
from nlpcli.runners.workers import Worker, WorkerDied, Workers
from nlpcli.tasks import Answer, Text


class Upper:
    """Answers in capitals, and dies of some texts."""

    def __init__(self, poison: frozenset[str] = frozenset()) -> None:
        self._poison = poison

    def begin(self) -> None: ...

    def answer(self, texts: Sequence[Text]) -> list[Answer]:
        if self._poison.intersection(map(str, texts)):
            raise WorkerDied("killed by SIGKILL")
        return [Answer({"text": str(text).upper()}) for text in texts]

    def close(self) -> None: ...


def answers(start: Callable[[int], Worker], count: int, windows: list[list[str]]) -> list[Answer]:
    workers = Workers(start, count)
    try:
        found = list(workers.map(enumerate(windows)))
    finally:
        workers.close()
    assert [key for key, _ in found] == list(range(len(windows)))
    return [answer for _, each in found for answer in each]


@given(
    windows=st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=20),
    poison=st.frozensets(st.sampled_from("abcdefgh"), max_size=3),
    count=st.integers(1, 3),
)
def test_only_what_ends_every_worker_goes_unanswered(
    windows: list[list[str]], poison: frozenset[str], count: int
) -> None:
    found = answers(lambda slot: Upper(poison), count, windows)
    error = "ends every worker that computes it (killed by SIGKILL)"
    assert found == [
        Answer({}, error=error) if text in poison else Answer({"text": text.upper()})
        for texts in windows
        for text in texts
    ]


def test_a_worker_that_does_not_begin_keeps_nothing_waiting() -> None:
    never = threading.Event()

    class Late(Upper):
        def begin(self) -> None:
            never.wait(60)

    found = answers(lambda slot: Late() if slot else Upper(), 3, [["a"], ["b"]] * 40)
    assert not never.is_set()
    never.set()
    assert [answer.values["text"] for answer in found] == ["A", "B"] * 40


@pytest.mark.parametrize("windows", [[["a"]], [["a"], ["b"]], [["a"]] * 30])
@pytest.mark.parametrize("count", [1, 3])
def test_workers_that_always_end_while_they_begin_end_the_job(
    windows: list[list[str]], count: int
) -> None:
    def start(slot: int) -> Worker:
        raise WorkerDied("killed by SIGKILL")

    with pytest.raises(DeviceError, match="end while they load the model"):
        answers(start, count, windows)


def test_one_that_cannot_begin_leaves_the_work_to_the_others() -> None:
    def start(slot: int) -> Worker:
        if slot:
            raise WorkerDied("killed by SIGKILL")
        return Upper()

    found = answers(start, 3, [["a"], ["b"]] * 40)
    assert [answer.values["text"] for answer in found] == ["A", "B"] * 40
