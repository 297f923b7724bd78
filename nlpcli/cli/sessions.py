"""A chat in a file: one JSON object on one line, which `nlpcli generate` reads too."""

import json
import os
from typing import Any, NamedTuple

from nlpcli.backends import Message
from nlpcli.errors import DataError, UsageError
from nlpcli.output import Output
from nlpcli.records import Reader


class Session(NamedTuple):
    """What was said, by which model, and the settings that were made."""

    messages: tuple[Message, ...]
    model: str = ""
    settings: dict[str, Any] = {}


def save(path: str, session: Session) -> None:
    """Write `session` to the file `path`, in place of what was there. Raises UsageError."""
    fields = session._asdict()
    fields["messages"] = [message._asdict() for message in session.messages]
    with Output(_named(path)) as output:
        output.write(json.dumps(fields, ensure_ascii=False).encode(errors="replace") + b"\n")


def load(path: str) -> Session:
    """The session in the file `path`: what `save` wrote, or any object with `messages`.

    Raises UsageError where there is no such file, DataError where it holds no dialogue.
    """
    file = _named(path)
    if not os.path.lexists(file):
        raise UsageError(f"no such file: {path}", "name one that /save has written")
    reader = Reader([file], "jsonl", "", also=("messages",))
    records = [record for some in reader for record in some]
    if len(records) != 1:
        raise DataError(f"{path}: {len(records)} records, not one dialogue")
    record = records[0]
    if record.error:
        raise DataError(f"{record.where}: {record.error}")
    fields = record.fields("")
    model, settings = fields.get("model", ""), fields.get("settings", {})
    if not isinstance(model, str) or not isinstance(settings, dict):
        raise DataError(f"{record.where}: its model or settings are not a chat's")
    return Session(tuple(Message(*turn) for turn in record.messages), model, settings)


def _named(path: str) -> str:
    if not path or path == "-":
        raise UsageError("no file is named", "such as: /save talk.jsonl")
    return os.path.expanduser(path)
