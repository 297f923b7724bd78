"""From records to records: what is read is answered by a runner and written, in order."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from nlpcli.errors import DataError
from nlpcli.records import Record
from nlpcli.runners import Runner
from nlpcli.runners.dedupe import Cell, Once
from nlpcli.tasks import Text
from nlpcli.writing import Writer

ON_ERROR = ("fail", "skip", "null")


class Summary:
    """What a run did: records read, written and failed, and warnings by their text. `seen` is the
    CRC-32 of the records read."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self.read: int = state.get("read", 0)
        self.written: int = state.get("written", 0)
        self.failed: int = state.get("failed", 0)
        self.seen: int = state.get("seen", 0)
        self.warnings: dict[str, int] = {**state.get("warnings", {})}

    def state(self) -> dict[str, Any]:
        """What makes a Summary equal to this one, as JSON values."""
        return dict(vars(self))

    def see(self, record: Record) -> None:
        """Count `record` as read."""
        self.read += 1
        content = record.raw or "\t".join(record.row or ()) or record.text
        self.seen = zlib.crc32(f"{content}\n".encode(errors="surrogatepass"), self.seen)


def run(
    windows: Iterable[list[Record]],
    runner: Runner,
    writer: Writer,
    *,
    fields: tuple[str, ...],
    on_error: str = "fail",
    report: Callable[[str], None] = lambda message: None,
    advance: Callable[[int], None] = lambda count: None,
    summary: Summary | None = None,
    dedupe: bool = True,
    save: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Answer every record and write it; equal texts are computed once with `dedupe`.

    A bad record ends the run with DataError after all before it are written (`fail`), is left
    out (`skip`), or is written without an answer (`null`). `report` gets a line for each bad
    record that does not end the run, `advance` the number of records done, `save` the `summary`
    each time that all the records it counts are written.
    """
    summary = summary or Summary()
    once = Once() if dedupe else Once(0)

    def texts() -> Iterator[tuple[tuple[list[Record], list[Cell], list[Cell]], list[Text]]]:
        for window in windows:
            good = (record.messages or record.text for record in window if not record.error)
            cells, new, new_cells = once.cells(good)
            yield (window, cells, new_cells), new

    for (window, cells, new), answers in runner.map(texts()):
        for cell, answer in zip(new, answers, strict=True):
            cell.append(answer)
        ready = iter(cells)
        for record in window:
            done = None if record.error else next(ready)[0]
            error, hint = done.error if done else record.error, ""
            if done and not error:
                try:
                    writer.add(record, done.values, done.line)
                except DataError as unfit:
                    error, hint = unfit.message, unfit.hint
            if done and not error:
                summary.see(record)
                summary.written += 1
                if done.warning:
                    summary.warnings[done.warning] = summary.warnings.get(done.warning, 0) + 1
                continue
            message = f"{record.where}: {error}"
            if on_error == "fail":
                writer.flush()
                save(summary)
                raise DataError(message, hint or cure(error))
            report(message)
            summary.see(record)
            summary.failed += 1
            if on_error == "null":
                empty = dict.fromkeys(fields)
                writer.add(record._replace(error=error), {**empty, "error": message}, "")
        writer.flush()
        save(summary)
        advance(len(window))
    return summary


def cure(error: str) -> str:
    """What to do about a record that failed with `error`."""
    leave = "leave bad records out: --on-error skip, or null"
    if error.startswith("not valid UTF-8"):
        return f"convert the input: iconv -f ENCODING -t UTF-8; or {leave}"
    return leave
