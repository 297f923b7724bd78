"""Long jobs: 10 million lines through echo beside programs that copy lines, with the memory that
each takes; and 200,000 JSONL records through Firefox Translations, 1 % of them malformed.

    python tests/bench/soak.py [LINES [RECORDS]]
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe, table

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
TRANSLATE = [COMMAND, "translate", "--from", "en", "--to", "pt"]
ECHO = [*TRANSLATE, "--backend", "echo"]
COPY = "import sys\nfor line in sys.stdin: sys.stdout.write(line)"


def measured(command: list[str], source: Path, out: Path) -> tuple[float, float]:
    """Seconds, and the peak resident memory in MiB of the process itself."""
    with source.open("rb") as read, out.open("wb") as write:
        begun = time.perf_counter()
        pid = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, read.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, write.fileno(), 1),
            ],
        )
        _, status, usage = os.wait4(pid, 0)
    assert status == 0
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


def echo(folder: Path, count: int) -> None:
    rows: list[tuple[str, ...]] = [("command", "lines", "lines/s", "MiB")]
    source, out = folder / "in.txt", folder / "out.txt"
    for lines in (count // 10, count):
        with source.open("w") as file:
            file.writelines(f"This is line {n} of a file with many.\n" for n in range(lines))
        for name, command in (
            ("cat", ["/bin/cat"]),
            ("python, a loop", [sys.executable, "-c", COPY]),
            ("nlpcli, echo", ECHO),
        ):
            seconds, peak = measured(command, source, out)
            assert subprocess.run(["cmp", source, out], check=False).returncode == 0
            rows.append((name, f"{lines:,}", f"{lines / seconds:,.0f}", f"{peak:.0f}"))
            print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))


def malformed(folder: Path, count: int) -> None:
    chance = random.Random(1)
    source, out = folder / "in.jsonl", folder / "out.jsonl"
    bad = set()
    with source.open("wb") as file:
        for n in range(count):
            line = json.dumps({"id": n, "text": f"Train {n} leaves at nine."}).encode()
            if chance.random() < 0.01:
                bad.add(n)
                line = chance.choice([line[:-1], b"\xff" + line, b"[]", b'{"id": 1}', b"nothing"])
            file.write(line + b"\n")
    begun = time.perf_counter()
    done = subprocess.run(
        [*TRANSLATE, "--on-error", "null", str(source), "-o", str(out)],
        stderr=subprocess.PIPE,
        check=False,
    )
    seconds = time.perf_counter() - begun
    records = [json.loads(line) for line in out.read_text().splitlines()]
    wrong = sum((n in bad) != bool(record.get("error")) for n, record in enumerate(records))
    named = sum(f"{source}:{n + 1}: " in records[n]["error"] for n in bad)
    print(
        f"\n{count:,} records, {len(bad):,} malformed: {len(records):,} written, exit "
        f"{done.returncode}, {wrong} of the wrong kind, {named:,} errors name their line; "
        f"{count / seconds:,.0f} records/s"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    records = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    print(describe(), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        echo(Path(folder), count)
        malformed(Path(folder), records)


if __name__ == "__main__":
    main()
