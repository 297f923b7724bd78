"""A dialogue within a model's window: the oldest turns are left out of what the model sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nlpcli.backends import Message
from nlpcli.errors import DataError

_MARKUP = 8  # what a chat template puts around a message, in tokens; a little more than they do


def fit(
    turns: Sequence[Message], measure: Callable[[str], int], window: int, room: int
) -> list[Message]:
    """`turns` without its oldest, so that `room` is left in the window for an answer.

    The system message stays, and what is kept of the others begins with the user's. Raises
    DataError where the last message does not fit even alone.
    """
    most = sum(len(turn.content.encode(errors="replace")) + _MARKUP for turn in turns)
    if most <= window - room:  # no text has more tokens than bytes
        return list(turns)
    system = [turn for turn in turns[:1] if turn.role == "system"]
    space = window - room - sum(measure(turn.content) + _MARKUP for turn in system)
    rest: list[Message] = []
    for turn in reversed(turns[len(system) :]):
        space -= measure(turn.content) + _MARKUP
        if space < 0:
            break
        rest.insert(0, turn)
    while rest and rest[0].role != "user":
        del rest[0]
    if not rest:
        raise DataError(
            "the message is longer than the model's window", "shorten it, or name another model"
        )
    return [*system, *rest]
