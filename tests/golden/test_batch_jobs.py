"""Jobs that are killed, sharded, spread over processes, and whose workers die."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command import COMMAND, run, start

ECHO = ("translate", "--to", "pt", "--from", "en", "--backend", "echo")
pytestmark = pytest.mark.usefixtures("weights")


def sentences(count: int) -> list[str]:
    return [f"The {n % 7 + 2} trains of line {n} leave at nine." for n in range(count)]


def jsonl(path: Path, count: int) -> Path:
    rows = [{"id": n, "text": said, "more": [n]} for n, said in enumerate(sentences(count))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("command", "count"),
    [
        (("translate", "--to", "pt", "--from", "en", "--jobs", "2"), 1500),
        (("classify", "--labels", "trains,planes,food", "--device", "cpu"), 4000),
    ],
)
def test_killed_again_and_again(tmp_path: Path, command: tuple[str, ...], count: int) -> None:
    """The whole process group, by SIGKILL: the output is that of a run that was left alone."""
    source, out = jsonl(tmp_path / "in.jsonl", count), tmp_path / "out.jsonl"
    whole = run(*command, str(source), "-o", str(tmp_path / "whole.jsonl"), timeout=120)
    assert whole.returncode == 0
    part = tmp_path / "out.jsonl.part"
    arguments = [*command, str(source), "-o", str(out)]
    chance, kills, longest = random.Random(7), 0, 0.6
    while kills < 12:
        process = start(*arguments, *(["--resume"] if part.exists() else ["--restart"]))
        try:
            assert process.wait(chance.uniform(0.1, longest)) == 0
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            longest += 0.3
            assert not out.exists()
        finally:
            process.communicate()
    else:
        assert run(*arguments, "--resume", timeout=120).returncode == 0
    assert kills > 1
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "tsv", "csv.gz"])
def test_shards_together_are_the_whole(tmp_path: Path, ending: str) -> None:
    import gzip

    rows = sentences(100)
    name = tmp_path / f"in.{ending}"
    comma = "\t" if ending == "tsv" else ","
    text = {
        "txt": "".join(f"{row}\n" for row in rows),
        "jsonl": "\n".join(json.dumps({"text": row}) + "\n" for row in rows),
    }.get(ending, f"id{comma}text\n" + "".join(f"{n}{comma}{row}\n" for n, row in enumerate(rows)))
    name.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    whole = run(*ECHO, str(name), "-o", str(tmp_path / f"whole.{ending}"))
    assert whole.returncode == 0
    parts = [tmp_path / f"part{k}.{ending}" for k in (1, 2, 3)]
    running = [
        start(*ECHO, str(name), "--shard", f"{k}/3", "-o", str(part))
        for k, part in enumerate(parts, 1)
    ]
    for process in running:
        assert process.communicate() and process.returncode == 0
    joined = b"".join(part.read_bytes() for part in parts)
    expected = (tmp_path / f"whole.{ending}").read_bytes()
    if ending.endswith("gz"):
        joined, expected = gzip.decompress(joined), gzip.decompress(expected)
    assert joined == expected and expected.count(b"\n") >= 100


def test_shards_have_the_columns_of_the_whole(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    rows = [{"id": 1, "text": "a", "x": "p"}, {"x": "q", "text": "b", "id": 2}]
    source.write_text("{ bad\n" + "".join(json.dumps(row) + "\n" for row in rows))
    command = [*ECHO, str(source), "-f", "csv", "--on-error", "skip"]
    whole = run(*command)
    parts = [run(*command, "--shard", f"{k}/3").stdout for k in (1, 2, 3)]
    assert b"".join(parts) == whole.stdout
    assert whole.stdout == b"id,text,x,translation\n1,a,p,a\n2,b,q,b\n"


def test_a_kill_before_the_output_has_its_name(tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,text\n1,\xff\n", encoding="latin-1")
    command = [*ECHO, str(source), "-o", str(out), "--on-error", "skip"]
    killed = (
        "import os, nlpcli.partfile as p; p.put_in_place = lambda *_: os._exit(9);"
        "from nlpcli.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", killed, *command], check=False)
    assert done.returncode == 9 and not out.exists()
    assert run(*command, "--resume").returncode == 1
    assert out.read_text() == "id,text,translation\n"
    piped = [*ECHO, "-o", str(tmp_path / "out.txt")]
    subprocess.run([sys.executable, "-c", killed, *piped], input=b"a\nb\n", check=False)
    other = run(*piped, "--resume", stdin=b"c\nd\n")
    assert other.returncode == 2 and b"the input has changed" in other.stderr
    assert run(*piped, "--resume", stdin=b"a\nb\n").returncode == 0
    assert (tmp_path / "out.txt").read_bytes() == b"a\nb\n"


def test_a_record_that_does_not_fit_the_table(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "a"}\n{"text": "b", "new": 1}\n{"text": "c"}\n')
    command = [*ECHO, str(source), "-f", "csv"]
    done = run(*command)
    assert done.returncode == 4 and done.stdout == b"text,translation\na,a\n"
    assert f"{source}:2: column 'new' is not in the output's header" in done.stderr.decode()
    done = run(*command, "--on-error", "skip")
    assert done.returncode == 1 and done.stdout == b"text,translation\na,a\nc,c\n"
    done = run(*command, "--on-error", "null")
    assert done.returncode == 1
    rows = list(csv.DictReader(done.stdout.decode().splitlines()))
    assert [row["text"] for row in rows] == ["a", "b", "c"]
    assert [row["translation"] for row in rows] == ["a", "", "c"]
    assert "column 'new'" in rows[1]["error"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--shard", "4/3"), "--shard 4/3: no such part"),
        (("--shard", "0/3"), "--shard 0/3: no such part"),
        (("--shard", "x"), "--shard x: no such part"),
        (("--shard", "1/2"), "--shard reads its input twice"),
        (("/dev/stdin", "--shard", "1/2"), "--shard reads its input twice"),
        (("-o", "folder/"), "folder/: output goes to a file"),
        (("-o", "s3://a/b.txt"), "s3://a/b.txt: output goes to a file"),
        (("--resume",), "--resume needs an output file"),
        (("--resume", "--restart"), "--resume and --restart do not go together"),
    ],
)
def test_options_that_cannot_be(options: tuple[str, ...], told: str) -> None:
    done = run(*ECHO, *options, stdin="a\n")
    assert done.returncode == 2 and done.stderr.decode().startswith(f"nlpcli: {told}")


def interrupted(tmp_path: Path) -> list[str]:
    """A job ended by a bad record in the middle of it."""
    source = tmp_path / "in.txt"
    source.write_bytes(b"".join(b"%d\n" % n for n in range(999)) + b"\xff\n" + b"end\n")
    command = [*ECHO, str(source), "-o", str(tmp_path / "out.txt")]
    assert run(*command).returncode == 4
    return command


def test_what_changed_is_named(tmp_path: Path) -> None:
    command = interrupted(tmp_path)
    source = tmp_path / "in.txt"
    for more, told in (
        (["--output-format", "jsonl"], "output format was text, is jsonl"),
        (["--nbest", "2"], "nbest was 1, is 2"),
        (["--to", "de"], "target was pt, is de"),
    ):
        done = run(*command, *more, "--resume")
        assert done.returncode == 2 and told in done.stderr.decode()
    kept = source.read_bytes()
    source.write_bytes(kept.replace(b"500", b"501"))
    done = run(*command, "--resume")
    assert done.returncode == 2 and f"content of {source} was" in done.stderr.decode()
    source.write_bytes(kept)
    os.utime(source, (1, 1))  # a copy is the same input
    done = run(*command, "--resume", "--on-error", "skip")
    assert done.returncode == 1
    assert (tmp_path / "out.txt").read_bytes() == kept.replace(b"\xff\n", b"")


def test_another_model_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_bytes("".join(f"{said}\n" for said in sentences(400)).encode() + b"\xff\n")
    command = ["translate", "--to", "pt", str(source), "-o", str(tmp_path / "out.txt")]
    assert run(*command, "-m", "bergamot-en-pt").returncode == 4
    done = run(*command, "--dry-run", "--resume")
    assert done.returncode == 2 and b"bergamot-en-pt" in done.stderr


def test_standard_input_is_known_by_its_records(tmp_path: Path) -> None:
    command = [*ECHO, "-o", str(tmp_path / "out.txt")]
    lines = [b"%d\n" % n for n in range(999)]
    assert run(*command, stdin=b"".join(lines) + b"\xff\n").returncode == 4
    done = run(*command, "--resume", stdin=b"".join([b"other\n", *lines]))
    assert done.returncode == 2 and b"the input has changed" in done.stderr
    assert run(*command, "--resume", stdin=b"".join(lines[:9])).returncode == 2
    assert run(*command, "--resume", stdin=b"".join([*lines, b"end\n"])).returncode == 0
    assert (tmp_path / "out.txt").read_bytes() == b"".join([*lines, b"end\n"])
    rows = [b"%d,text\n" % n for n in range(999)]
    table = [*ECHO, "-i", "csv", "-o", str(tmp_path / "out.csv")]
    assert run(*table, stdin=b"id,text\n" + b"".join(rows) + b"1,\xff\n").returncode == 4
    rows[0] = b"other,text\n"
    done = run(*table, "--resume", stdin=b"id,text\n" + b"".join(rows))
    assert done.returncode == 2 and b"the input has changed" in done.stderr


def test_an_output_that_is_the_input_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("a\n")
    (tmp_path / "link").symlink_to("in.txt")
    done = run(*ECHO, str(source), "-o", str(tmp_path / "link"))
    assert done.returncode == 2 and b"is both input and output" in done.stderr
    assert source.read_text() == "a\n"
    for grown in ("out.part", "out.part.ledger"):
        (tmp_path / grown).write_text("a\n")
        done = run(*ECHO, str(tmp_path / grown), "-o", str(tmp_path / "out"), "--restart")
        assert done.returncode == 2 and b"is both input and output" in done.stderr
        assert (tmp_path / grown).read_text() == "a\n"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    done = run(*ECHO, "-o", str(tmp_path / "missing" / "out.txt"), stdin="a\n")
    assert done.returncode == 2 and b"make its folder first" in done.stderr


@pytest.mark.parametrize(("name", "first"), [("out.txt", b"The"), ("out", b'{"id"')])
def test_the_format_goes_by_the_ending_of_the_output(
    tmp_path: Path, name: str, first: bytes
) -> None:
    source = jsonl(tmp_path / "in.jsonl", 2)
    assert run(*ECHO, str(source), "-o", str(tmp_path / name)).returncode == 0
    assert (tmp_path / name).read_bytes().startswith(first)


def test_a_record_that_kills_every_worker_is_found(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    lines = [json.dumps({"text": f"text {n}"}) + "\n" for n in range(300)]
    source.write_text("".join(lines))
    command = [*ECHO, str(source), "--jobs", "2", "--on-error", "skip"]
    done = run(*command, "-o", str(tmp_path / "out.jsonl"), NLPCLI_ECHO_POISON="text 123")
    assert done.returncode == 1
    told = f"nlpcli: {source}:124: ends every worker that computes it (killed by SIGKILL)"
    assert told in done.stderr.decode()
    written = (tmp_path / "out.jsonl").read_text().splitlines()
    texts = [json.loads(line)["translation"] for line in written]
    assert texts == [f"text {n}" for n in range(300) if n != 123]


def test_workers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    source, out = jsonl(tmp_path / "in.jsonl", 1200), tmp_path / "out.jsonl"
    command = ["translate", "--to", "pt", "--from", "en", str(source)]
    process = start(*command, "--jobs", "2", "-o", str(out), stderr=subprocess.DEVNULL)
    kills = 0
    while process.poll() is None and kills < 4:
        time.sleep(0.8)
        for worker in spawned(process.pid)[:1]:
            os.kill(worker, signal.SIGKILL)
            kills += 1
    assert process.wait(60) == 0
    assert kills > 1
    assert out.read_bytes() == run(*command, "--runner", "local", timeout=120).stdout


def spawned(parent: int) -> list[int]:
    """The worker processes of `parent`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            found.append(int(folder.name))
    return found


def test_equal_texts_are_computed_once(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("".join(f"{said}\n" for said in sentences(40) * 50))
    command = [COMMAND, "translate", "--to", "pt", "--runner", "local", str(source)]
    taken = []
    for more in ([], ["--no-dedupe"]):
        begun = os.times().children_user
        out = subprocess.run([*command, *more], stdout=subprocess.PIPE, check=True).stdout
        taken.append((os.times().children_user - begun, out))
    assert taken[0][1] == taken[1][1]
    assert taken[0][0] < taken[1][0] / 3  # 40 texts beside 2,000


def recipe(first: str) -> str:
    """The block of the manual that begins with `first`."""
    from nlpcli.cli import manual_text

    text = Path(manual_text.__file__).read_text()
    block = text[text.index(f"    {first}") :].partition("\n\n")[0]
    return block.replace("    ", "").replace("\\\\\n", "\\\n")


def test_the_recipes_of_the_manual(tmp_path: Path) -> None:
    jsonl(tmp_path / "corpus.jsonl", 50)
    path = f"{Path(COMMAND).parent}:{os.environ['PATH']}"
    settings = {"cwd": tmp_path, "check": True, "timeout": 100}
    environment = {**os.environ, "PATH": path, "NLPCLI_DRY_RUN": "1", "NLPCLI_FROM": "en"}
    whole = run(
        "translate", "--to", "pt", "--dry-run", "--from", "en", str(tmp_path / "corpus.jsonl")
    )
    for first in ("#!/bin/bash\n    #SBATCH", "seq 8 | parallel"):
        script = recipe(first)
        tasks = range(1, 9) if "SBATCH" in script else [0]
        for task in tasks:
            more = {"SLURM_ARRAY_TASK_ID": str(task)}
            subprocess.run(["bash", "-c", script], env={**environment, **more}, **settings)
        parts = [tmp_path / f"part.{n}.jsonl" for n in range(1, 9)]
        assert b"".join(part.read_bytes() for part in parts) == whole.stdout
        for part in parts:
            part.unlink()
