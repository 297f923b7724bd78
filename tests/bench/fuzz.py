"""Random bytes through every reader, writer, shard and ledger, for as long as asked: no exception
but ours, no record lost or counted twice, no part file that is believed though it was altered.

    python tests/bench/fuzz.py [SECONDS]
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

from nlpcli.errors import NlpcliError, UsageError
from nlpcli.output import Output
from nlpcli.partfile import PartFile
from nlpcli.records import FORMATS, Reader, Record
from nlpcli.runners.stream import run
from nlpcli.tasks import Answer
from nlpcli.writing import Writer

SEEDS = [
    b'{"text": "a", "n": 1.50}\n',
    b'id,text\n1,"a ""q""\nb"\n2,c\n',
    b"id\ttext\n1\ta\\tb\n",
    b"\xef\xbb\xbfa\r\nb\n\n",
    b'{"text": "\\ud800"}\n[]\nnull\n{"a": {"text": []}}\n',
    b"\x1f\x8b\x08\x00",
    b"\x28\xb5\x2f\xfd",
    bytes(range(256)),
]


def altered(data: bytes, chance: random.Random) -> bytes:
    """`data` with a few bytes changed, cut, doubled or put elsewhere."""
    made = bytearray(data)
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(made) + 1)
        other = chance.choice(SEEDS)
        match chance.randrange(5):
            case 0:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del made[at : at + chance.randrange(1, 9)]
            case 2:
                made[at:at] = other
            case 3:
                made[at:at] = chance.choice([b"\n", b"\r", b'"', b",", b"\t", b"\0", b"{", b"}"])
            case 4:
                made *= chance.randrange(1, 3)
    return bytes(made[:4000])


class Same:
    """A runner that answers each text with itself."""

    window = 16

    def map(self, windows):  # type: ignore[no-untyped-def]
        for key, texts in windows:
            yield key, [Answer({"out": text}, str(text)) for text in texts]


def records(path: Path, format: str) -> tuple[list[Record], bool]:
    """What can be read, and whether that is all."""
    found: list[Record] = []
    try:
        for some in Reader([str(path)], format):
            assert some
            found += some
    except NlpcliError:
        return found, False
    return found, True


def whole(path: Path, format: str, out: Path, chance: random.Random) -> None:
    """Read, answer and write: as many out as in; the shards are the whole."""
    found, all_read = records(path, format)
    try:
        counted = Reader([str(path)], format).count()
        # A header without the field is refused by what reads the records, not by what counts them.
        assert counted == len(found) or not all_read, (counted, len(found))
    except NlpcliError:
        return
    target = chance.choice(FORMATS)
    with Output(str(out)) as output:
        writer = Writer(output, target, "text", ("out", "error"))
        try:
            summary = run([found], Same(), writer, fields=("out",), on_error="null")  # type: ignore[arg-type]
            writer.finish(())
        except NlpcliError:
            return
    assert summary.read == len(found) == summary.written + summary.failed
    if target in ("text", "jsonl"):
        assert out.read_bytes().count(b"\n") == len(found)
    if target == "jsonl" and found:
        again, _ = records(out, "jsonl")
        assert len(again) == len(found)


def ledger(folder: Path, chance: random.Random) -> None:
    """A part file that was cut or altered is made whole or refused."""
    path = folder / "out"
    lines = [b"%d\n" % chance.randrange(10**9) for _ in range(chance.randrange(1, 30))]
    until = chance.randrange(len(lines) + 1)

    def work(until: int, resume: bool) -> None:
        with PartFile(str(path), {"a": 1}, resume=resume) as output:
            for n in range(output.last.state.get("read", 0), until):
                output.write(lines[n])
                if chance.random() < 0.7 or n + 1 == until:
                    output.checkpoint({"read": n + 1})
            if resume:
                output.finish()

    work(until, False)
    for name in ("out.part", "out.part.ledger"):
        file = folder / name
        if file.exists() and chance.random() < 0.6:
            data = file.read_bytes()
            file.write_bytes(
                altered(data, chance) if chance.random() < 0.7 else data[: len(data) // 2]
            )
    try:
        work(len(lines), True)
        assert path.read_bytes() == b"".join(lines)
    except UsageError:
        work(0, False)
    for file in folder.glob("out*"):
        file.unlink()


def main(seconds: float) -> None:
    seed = int(time.time())
    chance = random.Random(seed)
    print(f"{describe()}, seed {seed}", flush=True)
    end, runs = time.monotonic() + seconds, 0
    os.environ["NLPCLI_QUIET"] = "1"
    from nlpcli import notice

    notice.quiet = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while time.monotonic() < end:
            data = altered(chance.choice(SEEDS), chance)
            path = folder / "in"
            path.write_bytes(data)
            begun = time.monotonic()
            try:
                whole(path, chance.choice(FORMATS), folder / "written", chance)
                ledger(folder, chance)
            except BaseException:
                print(f"run {runs}: {data!r}", flush=True)
                raise
            assert time.monotonic() - begun < 10
            runs += 1
    print(f"{runs:,} inputs in {seconds:,.0f} s: no fault found")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 600)
