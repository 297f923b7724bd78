"""The real command on the real weights: what a user types and what comes back."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fxtranslate import Translator
from sentencex import segment

from command import COMMAND, run, start

pytestmark = pytest.mark.usefixtures("weights")

SENTENCES = [
    "The train leaves at nine.",
    "I would like a cup of coffee, please.",
    "She has lived in Lisbon for ten years.",
    "Where can I buy a ticket?",
    "The children are playing in the garden.",
]


def engine(cache: Path, pair: str) -> Translator:
    """fxtranslate driven by hand over the pulled files."""
    folder = cache / "nlpcli" / "models" / f"bergamot-{pair}"
    vocabulary = next(folder.glob("vocab*.spm")).read_bytes()
    model = next(folder.glob("model*.bin")).read_bytes()
    return Translator(model, vocabulary, vocabulary, next(folder.glob("lex*.bin")).read_bytes())


def test_three_lines_in_three_lines_out() -> None:
    done = run("translate", "--to", "pt", stdin="Good morning.\n\nThe train leaves at nine.\n")
    assert done.returncode == 0
    assert done.stdout.decode() == "Bom dia.\n\nO trem sai aos nove.\n"
    assert done.stderr == b""


@pytest.mark.parametrize(("source", "target"), [("en", "pt"), ("pt", "en")])
def test_each_sentence_is_what_the_engine_gives(weights: Path, source: str, target: str) -> None:
    by_hand = engine(weights, f"{source}-{target}")
    texts = (
        SENTENCES if source == "en" else [engine(weights, "en-pt").translate(s) for s in SENTENCES]
    )
    done = run("translate", "--from", source, "--to", target, stdin="\n".join(texts))
    assert done.stdout.decode().splitlines() == [by_hand.translate(text) for text in texts]


def test_a_long_line_comes_back_on_one_line_with_every_sentence(weights: Path) -> None:
    paragraph = "  ".join(
        f"{SENTENCES[i % 5][:-1]} number {i}{SENTENCES[i % 5][-1]}" for i in range(240)
    )
    assert len(paragraph.split()) > 2000
    done = run("translate", "--to", "pt", stdin=paragraph + "\n")
    by_hand = engine(weights, "en-pt")
    expected = [by_hand.translate(sentence.strip()) for sentence in segment("en", paragraph)]
    assert len(expected) == 240
    assert done.stdout.decode() == "  ".join(expected) + "\n"


def test_a_csv_keeps_all_its_columns(tmp_path: Path) -> None:
    header = [f"c{i}" for i in range(9)]
    rows = [[f"v{i},{j}" for j in range(9)] for i in range(3)]
    source = tmp_path / "in.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerow([*header[:4], "text", *header[4:]])
        for row, text in zip(rows, SENTENCES, strict=False):
            csv.writer(file).writerow([*row[:4], text, *row[4:]])
    done = run("translate", "--to", "pt", str(source))
    table = list(csv.reader(io.StringIO(done.stdout.decode())))
    assert table[0] == [*header[:4], "text", *header[4:], "translation"]
    assert [[*line[:4], *line[5:10]] for line in table[1:]] == rows
    assert all(line[10] and line[10] != line[4] for line in table[1:])


def test_jsonl_keeps_its_fields_and_their_order() -> None:
    line = '{"id": 1.10, "text": "Good morning.", "tags": ["a",  "b"]}'
    done = run("translate", "--to", "pt", "-i", "jsonl", stdin=line)
    assert done.stdout.decode() == line[:-1] + ', "translation": "Bom dia."}\n'


def test_one_process_and_several_give_the_same() -> None:
    text = "\n".join(f"{sentence} {i}" for i in range(40) for sentence in SENTENCES)
    one = run("translate", "--to", "pt", "--runner", "local", stdin=text)
    two = run("translate", "--to", "pt", "--jobs", "2", stdin=text)
    assert one.stdout == two.stdout
    assert len(one.stdout.splitlines()) == 200


def test_a_pivot_runs_both_models(weights: Path) -> None:
    done = run(
        "translate", "--from", "pt", "--to", "pt-BR", "--via", "en", "--text", "Bom dia.", "-v"
    )
    there, back = engine(weights, "pt-en"), engine(weights, "en-pt")
    assert done.stdout.decode() == back.translate(there.translate("Bom dia.")) + "\n"
    assert b"bergamot-pt-en" in done.stderr and b"bergamot-en-pt" in done.stderr


def test_a_closed_pipe_ends_quietly() -> None:
    begun = time.monotonic()
    done = subprocess.run(
        f"yes 'Hello.' | {COMMAND} translate --to pt | head -3; echo ${{PIPESTATUS[1]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        timeout=60,
        check=False,
    )
    first, second, third, code = done.stdout.decode().splitlines()
    assert first == second == third == "Olá."
    assert code == "0" and done.stderr == b""
    assert time.monotonic() - begun < 20


def test_a_slow_producer_is_answered_line_by_line() -> None:
    process = start("translate", "--to", "pt")
    assert process.stdin and process.stdout
    for sentence in SENTENCES:
        process.stdin.write(f"{sentence}\n".encode())
        process.stdin.flush()
        # Blocks for ever, up to the test's time limit, if the answer waits for more input.
        assert process.stdout.readline().strip()
    process.stdin.close()
    assert process.wait(20) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_done_and_resume_goes_on(
    tmp_path: Path, number: int, code: int
) -> None:
    source, out, part = tmp_path / "in.txt", tmp_path / "out.txt", tmp_path / "out.txt.part"
    source.write_text("".join(f"The train leaves at {n}.\n" for n in range(2000)))
    command = ["translate", "--to", "pt", str(source), "-o", str(out)]
    process = start(*command, "--jobs", "2")
    assert process.stderr
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    os.killpg(process.pid, number)
    assert process.wait(20) == code
    told = process.stderr.read().decode()
    assert "finishing what is in flight; once more leaves at once" in told
    assert f"what is done is kept in {part}: --resume goes on with it" in told
    assert 0 < part.read_bytes().count(b"\n") < 2000 and not out.exists()
    refused = run(*command)
    assert refused.returncode == 2 and b"an earlier run left this unfinished" in refused.stderr
    assert run(*command, "--resume").returncode == 0
    assert not part.exists() and not Path(f"{part}.ledger").exists()
    assert out.read_bytes() == run(*command[:-2]).stdout


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    process = start("translate", "--to", "pt", "-o", str(tmp_path / "out.txt"))
    assert process.stdin and process.stderr
    process.stdin.write("".join(f"Page {n} is missing.\n" for n in range(3000)).encode())
    process.stdin.flush()
    wait_for(lambda: any(path.stat().st_size for path in tmp_path.glob("*.part")))
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith(b"nlpcli: finishing")
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130


def wait_for(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_offline_translates_what_is_here_and_names_it_otherwise() -> None:
    assert run("translate", "--to", "pt", "--offline", "--text", "Good morning.").returncode == 0
    done = run("translate", "--from", "en", "--to", "xh", "--offline", "--text", "Good morning.")
    assert done.returncode == 3
    what, hint = done.stderr.decode().splitlines()
    assert what.startswith("nlpcli: no model for en to xh")
    assert "en-pt" in what and "pt-en" in what
    assert "models pull" in hint


def test_scores_and_alternatives_are_refused_where_the_engine_has_none() -> None:
    for option in (["--scores"], ["--nbest", "2"], ["--beam", "4"]):
        done = run("translate", "--to", "pt", "--text", "Good morning.", *option)
        assert done.returncode == 2
        assert option[0].encode() in done.stderr


def test_the_same_bytes_in_json_and_text() -> None:
    text = run("translate", "--to", "pt", stdin="\n".join(SENTENCES)).stdout.decode().splitlines()
    lines = run("translate", "--to", "pt", "-f", "jsonl", stdin="\n".join(SENTENCES)).stdout
    assert [json.loads(line)["translation"] for line in lines.splitlines()] == text


LINK = (
    "Please open https://example.org/documents/2024/report-0137-final-v2.html?user=anna&id=99812 "
    "and https://example.org/documents/2025/report-0138-final-v3.html?user=anna&id=99813 before "
    "the meeting, read them with care, and then send me a letter when the work is finished."
)


def test_a_sentence_of_many_tokens_is_split_before_the_engine_cuts_it() -> None:
    numbers = ", ".join(str(number) for number in range(1001, 1060)) + " and a banana."
    done = run("translate", "--from", "en", "--to", "pt", "--text", LINK, "--text", numbers)
    link, counted = done.stdout.decode().splitlines()
    assert "carta" in link and "trabalho" in link
    assert "banana" in counted and all(str(n) in counted for n in (1001, 1030, 1059))


def test_the_language_shows_in_the_first_line_that_says_something() -> None:
    process = start("translate", "--to", "en")
    assert process.stdin and process.stdout
    process.stdin.write(b"\n")
    process.stdin.flush()
    time.sleep(0.5)
    output, error = process.communicate("Onde fica a estação de comboios?\n".encode(), timeout=30)
    assert output.startswith(b"\nWhere") and error == b""


@pytest.mark.parametrize("tag", ["PT", "pt_BR", "por", "pt-PT"])
def test_languages_may_be_written_in_several_ways(tag: str) -> None:
    assert run("translate", "--to", tag, "--text", "Good morning.").stdout == b"Bom dia.\n"


@pytest.mark.parametrize(
    ("number", "code", "message"), [(signal.SIGTERM, 143, b"terminated"), (signal.SIGKILL, -9, b"")]
)
def test_workers_go_with_their_parent(
    tmp_path: Path, number: int, code: int, message: bytes
) -> None:
    process = start("translate", "--to", "pt", "--jobs", "2", "-o", str(tmp_path / "out.txt"))
    assert process.stdin and process.stderr
    process.stdin.write("".join(f"The train leaves at {n}.\n" for n in range(400)).encode())
    process.stdin.flush()
    workers = children(process.pid)
    os.kill(process.pid, number)
    assert process.wait(20) == code
    assert message in process.stderr.read()
    end = time.monotonic() + 15
    while (alive := [pid for pid in workers if Path(f"/proc/{pid}").exists()]) and (
        time.monotonic() < end
    ):
        time.sleep(0.05)
    assert alive == []


def children(parent: int) -> list[int]:
    """The child processes of `parent`, once the two workers are among them."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(folder.name))
        if len(found) >= 3:  # the resource tracker is one of them
            return found
        time.sleep(0.05)
    raise AssertionError("no workers came")


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """A real terminal: the bar is drawn while the run goes on, and is gone when it ends."""
    source, out = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("".join(f"The train leaves at {n}.\n" for n in range(1200)))
    main, terminal = pty.openpty()
    process = start("translate", "--to", "pt", str(source), "-o", str(out), stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main, 4096)
        except OSError:  # the terminal's other end is closed
            break
    assert process.wait(30) == 0
    assert b" records" in shown and b"/s" in shown
    assert out.read_text().count("\n") == 1200


def test_closed_standard_streams(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    for closed in ("<&- 2>&-", "<&- >&-", "<&- >&- 2>&-"):
        command = f"{COMMAND} translate --to pt --text 'Good morning.' -o {out} {closed}"
        assert subprocess.run(command, shell=True, check=False).returncode == 0
        assert out.read_text() == "Bom dia.\n"
        out.unlink()


def test_what_holds_no_letter_passes_through() -> None:
    lines = "1984\n😀😀\n@@@ 3.14 --\n"
    assert run("translate", "--to", "pt", "--from", "en", stdin=lines).stdout.decode() == lines
