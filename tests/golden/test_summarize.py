"""`nlpcli summarize` with the real encoder, through real pipes."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from command import COMMAND, run, start

pytestmark = pytest.mark.usefixtures("weights")

ARTICLE = """\
The city council voted on Tuesday to close the old harbour bridge for two years. The bridge, built
in 1931, carries forty thousand cars a day and has rusted badly. Engineers found cracks in three of
its main beams last winter. Since then lorries have had to take the tunnel.

"It is a hard decision, but safety comes first," the mayor said. Shop owners near the bridge fear
that they will lose customers. One of them has sold fish there since 1974. He says that he will
stay. The council promised to lower the rents while the work goes on.

A ferry will take walkers and cyclists across the harbour from May. It will run every ten minutes
and cost nothing. Drivers are asked to use the tunnel to the north. Repairs are expected to cost
ninety million crowns, most of it paid by the state. A new bridge would have cost three times as
much. The last large repair was in 1968. The bridge is due to open again in two years.
"""
FLAT = " ".join(ARTICLE.split())


def lines(*arguments: str, stdin: str = ARTICLE) -> list[str]:
    done = run("summarize", "-q", *arguments, stdin=stdin, timeout=200)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


def in_order(found: list[str]) -> bool:
    places = [FLAT.find(line) for line in found]
    return -1 not in places and places == sorted(places)


def test_an_article_becomes_three_of_its_sentences(tmp_path: Path) -> None:
    found = lines()
    assert len(found) == 3 and in_order(found)
    assert found[0].startswith("The city council voted")
    file = tmp_path / "article.txt"
    file.write_text(ARTICLE)
    assert lines(str(file), stdin="") == found
    assert lines("--text", ARTICLE, stdin="") == found


def test_options() -> None:
    short, medium, long = (lines("--length", name) for name in ("short", "medium", "long"))
    assert len(short) < len(medium) < len(long) and all(map(in_order, (short, medium, long)))
    assert len(lines("--length", "50%")) == 8
    assert lines("--bullets") == [f"- {line}" for line in medium]
    assert any(
        "ferry" in line for line in lines("--focus", "crossing by boat", "--length", "short")
    )
    assert "ferry" not in " ".join(lines("--focus", "what it costs", "--length", "short"))
    assert len(lines("--max-tokens", "30")) < 3


def test_the_pipe_to_translate() -> None:
    done = subprocess.run(
        f"cat | {COMMAND} summarize | {COMMAND} translate --to pt",
        shell=True,
        input=ARTICLE.encode(),
        capture_output=True,
        timeout=100,
        check=True,
    )
    translated = done.stdout.decode().splitlines()
    assert len(translated) == 3 and "ponte" in " ".join(translated).lower()


def test_records_keep_their_fields_their_number_and_their_order() -> None:
    records = [{"id": n, "text": text} for n, text in enumerate([FLAT, "", "Short.", FLAT])]
    stdin = "".join(json.dumps(record) + "\n" for record in records)
    for size in ("auto", "1", "3"):
        done = run("summarize", "-i", "jsonl", "--batch-size", size, stdin=stdin)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [each["id"] for each in found] == [0, 1, 2, 3]
        assert [each["summary"] for each in found[1:3]] == ["", "Short."]
        assert found[0]["summary"] == found[3]["summary"] == "\n".join(lines())
    table = f'n,text\n1,"{FLAT.replace(chr(34), chr(34) * 2)}"\n'
    done = run("summarize", "-i", "csv", "--output-field", "gist", stdin=table)
    (row,) = csv.DictReader(io.StringIO(done.stdout.decode()))
    assert row["gist"].splitlines() == lines()


def test_lines_are_texts_and_blank_ones_stay() -> None:
    found = lines("--lines", stdin=f"{FLAT}\n\nShort.\n")
    assert found == [" ".join(lines()), "", "Short."]


def test_a_long_text_is_a_page() -> None:
    text = "".join(f"In the year {1000 + n} it was said: {ARTICLE}\n" for n in range(44))
    found = lines(stdin=text)
    assert 8 <= len(found) <= 20 and len(text) > 40_000
    assert all(line in " ".join(text.split()) for line in found)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        ((), b"", 4),
        ((), b"  \n\n", 4),
        ((), b"ok \xff", 4),
        (("--length", "none"), b"a", 2),
        (("--max-tokens", "0"), b"a", 2),
        (("-m", "bergamot-en-pt"), b"a", 3),
        (("-m", "minilm"), b"a", 3),
        (("nowhere.txt",), b"", 2),
    ],
)
def test_what_is_wrong_is_said_in_two_lines(
    arguments: tuple[str, ...], stdin: bytes, code: int
) -> None:
    done = run("summarize", "-q", *arguments, stdin=stdin, timeout=200)
    assert (done.returncode, done.stdout) == (code, b"")
    assert len(done.stderr.splitlines()) == 2


def test_bad_files_are_left_out_on_request(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text(ARTICLE)
    bad.write_bytes(b"\xff")
    done = run("summarize", str(bad), str(good), "--on-error", "skip")
    assert done.returncode == 1 and done.stdout.decode().splitlines() == lines()
    assert b"bad.txt: not valid UTF-8" in done.stderr


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """A real terminal: the bytes done of all, while the run goes on."""
    source, out = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text(
        "".join(f"In the year {1000 + n} it was said: {ARTICLE}\n" for n in range(300))
    )
    main, terminal = pty.openpty()
    process = start("summarize", str(source), "-o", str(out), stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main, 4096)
        except OSError:  # the terminal's other end is closed
            break
    assert process.wait(30) == 0
    assert b" of 0.3 MB" in shown and b"kB/s" in shown
    assert len(out.read_text().splitlines()) == 20


def test_starts_soon() -> None:
    lines()  # converts the model where that has not been done
    taken = []
    for _ in range(3):
        begun = time.monotonic()
        lines()
        taken.append(time.monotonic() - begun)
    assert min(taken) < 5
