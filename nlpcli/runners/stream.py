"""From records to records: what is read is answered by a runner and written, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from nlpcli.errors import DataError
from nlpcli.records import Record
from nlpcli.runners import Runner
from nlpcli.tasks import Text
from nlpcli.writing import Writer

ON_ERROR = ("fail", "skip", "null")


class Summary:
    """What a run did: records written, records that failed, and warnings by their text."""

    def __init__(self) -> None:
        self.written = 0
        self.failed = 0
        self.warnings: dict[str, int] = {}


def run(
    windows: Iterable[list[Record]],
    runner: Runner,
    writer: Writer,
    *,
    fields: tuple[str, ...],
    on_error: str = "fail",
    report: Callable[[str], None] = lambda message: None,
    advance: Callable[[int], None] = lambda count: None,
) -> Summary:
    """Answer every record and write it.

    A bad record ends the run with DataError after all before it are written (`fail`), is left
    out (`skip`), or is written without an answer (`null`). `report` gets a line for each bad
    record that does not end the run, `advance` the number of records done.
    """
    summary = Summary()

    def texts() -> Iterator[tuple[list[Record], list[Text]]]:
        for window in windows:
            yield window, [record.messages or record.text for record in window if not record.error]

    for window, answers in runner.map(texts()):
        ready = iter(answers)
        for record in window:
            answer = None if record.error else next(ready)
            error = answer.error if answer else record.error
            if answer and not error:
                writer.add(record, answer.values, answer.line)
                summary.written += 1
                if answer.warning:
                    count = summary.warnings.get(answer.warning, 0)
                    summary.warnings[answer.warning] = count + 1
                continue
            message = f"{record.where}: {error}"
            if on_error == "fail":
                writer.flush()
                raise DataError(message, cure(error))
            report(message)
            summary.failed += 1
            if on_error == "null":
                empty = dict.fromkeys(fields)
                writer.add(record, {**empty, "error": message}, "")
        writer.flush()
        advance(len(window))
    return summary


def cure(error: str) -> str:
    """What to do about a record that failed with `error`."""
    leave = "leave bad records out: --on-error skip, or null"
    if error.startswith("not valid UTF-8"):
        return f"convert the input: iconv -f ENCODING -t UTF-8; or {leave}"
    return leave
