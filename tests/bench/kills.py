"""Jobs killed by SIGKILL, the whole process group, at random moments, and gone on with each time:
is the output the same?

    python tests/bench/kills.py [LINES [KILLS]]
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe, table

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
JOBS = {
    "translate, text": ("txt", ["translate", "--from", "en", "--to", "pt", "--jobs", "2"]),
    "translate, JSONL": ("jsonl", ["translate", "--from", "en", "--to", "pt", "--jobs", "2"]),
    "classify, JSONL": ("jsonl", ["classify", "--labels", "trains,planes,food,money"]),
}


def kill_and_resume(command: list[str], out: Path, kills: int, size: int) -> int:
    """The kills that the job, whose output has `size` bytes, saw; it is then let end.

    Every other kill comes in the first 1.5 seconds of a run, the others when the part file has
    grown to the next share of the whole, so that they spread over the job.
    """
    part, done = Path(f"{out}.part"), 0
    chance = random.Random(1)
    while done < kills:
        process = subprocess.Popen(
            [*command, "-o", str(out), "--resume"],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if done % 2:
            while process.poll() is None and grown(part) < size * done / kills:
                time.sleep(0.01)
        try:
            process.wait(chance.uniform(0, 0.3 if done % 2 else 1.5))
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
    if part.exists():
        subprocess.run([*command, "-o", str(out), "--resume"], check=True)
    return done


def grown(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    print(describe("ctranslate2"), flush=True)
    rows: list[tuple[str, ...]] = [("job", "records", "kills", "same bytes")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for job, (ending, arguments) in JOBS.items():
            source = folder / f"in.{ending}"
            texts = [f"Train {n} leaves platform {n % 9 + 1} at nine." for n in range(count)]
            lines = (
                [json.dumps({"id": n, "text": text, "more": [n]}) for n, text in enumerate(texts)]
                if ending == "jsonl"
                else texts
            )
            source.write_text("".join(f"{line}\n" for line in lines))
            command = [COMMAND, *arguments, str(source)]
            whole, out = folder / f"whole.{ending}", folder / f"out.{ending}"
            subprocess.run([*command, "-o", str(whole)], check=True)
            done = kill_and_resume(command, out, kills, whole.stat().st_size)
            same = "yes" if out.read_bytes() == whole.read_bytes() else "NO"
            rows.append((job, f"{count:,}", str(done), same))
            print(rows[-1], file=sys.stderr, flush=True)
            out.unlink()
            whole.unlink()
    print(table(rows))


if __name__ == "__main__":
    main()
