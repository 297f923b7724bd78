"""Records through the real command and the echo backend: every odd input, every exit code."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from command import COMMAND, run

ECHO = ["translate", "--to", "pt", "--from", "en", "--dry-run"]


def stderr(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stderr.decode().splitlines()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"a\r\nb\r\n", b"a\nb\n"),
        (b"\xef\xbb\xbfa\n", b"a\n"),
        (b"a\nb", b"a\nb\n"),
        (b"", b""),
        (b"\n", b"\n"),
        (b"a\n  \nb\n", b"a\n  \nb\n"),
        (b"a\x00b\n", b"a\x00b\n"),
        ("a\u2028b\u0085c\n".encode(), "a\u2028b\u0085c\n".encode()),
    ],
)
def test_text_lines(given: bytes, expected: bytes) -> None:
    done = run(*ECHO, stdin=given)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_a_line_of_five_megabytes() -> None:
    line = b"One sentence. " * 370_000
    done = run(*ECHO, stdin=line)
    assert done.stdout == line + b"\n"


def test_invalid_utf8_ends_the_run_after_what_came_before() -> None:
    done = run(*ECHO, stdin=b"good\nb\xffd\nlater\n")
    assert (done.returncode, done.stdout) == (4, b"good\n")
    assert stderr(done)[0] == "nlpcli: <stdin>:2: not valid UTF-8: byte 0xff at column 2"


@pytest.mark.parametrize(
    ("how", "expected"), [("skip", b"good\nlater\n"), ("null", b"good\n\nlater\n")]
)
def test_invalid_utf8_left_out_or_made_null(how: str, expected: bytes) -> None:
    done = run(*ECHO, "--on-error", how, stdin=b"good\nb\xffd\nlater\n")
    assert (done.returncode, done.stdout) == (1, expected)
    assert stderr(done)[-1] == "nlpcli: 1 of 3 records failed"


def test_bad_jsonl_made_null_says_why() -> None:
    lines = b'{"text": "a"}\n{"text": \n{"txt": "b"}\n[1]\n{"text": 5}\n'
    done = run(*ECHO, "-i", "jsonl", "--on-error", "null", stdin=lines)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and len(rows) == 5
    assert rows[0]["translation"] == "a"
    assert all(row["translation"] is None and row["error"] for row in rows[1:])
    assert 'no field "text"; there are: txt' in rows[2]["error"]


def test_a_missing_column_names_those_there() -> None:
    done = run(*ECHO, "-i", "csv", stdin=b"id,texts\n1,a\n")
    assert done.returncode == 4
    assert stderr(done) == [
        'nlpcli: <stdin>:1: no field "text"; there are: id, texts',
        "  did you mean texts?",
    ]


def test_a_malformed_csv_row_is_named(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text('id,text\n1,a\n2\n3,"b"c\n4,d\n')
    done = run(*ECHO, str(source))
    assert (done.returncode, done.stdout) == (4, b"id,text,translation\n1,a,a\n")
    assert f"{source}:3: 1 field where the header names 2" in stderr(done)[0]
    done = run(*ECHO, str(source), "--on-error", "skip")
    assert (done.returncode, done.stdout) == (1, b"id,text,translation\n1,a,a\n4,d,d\n")


def test_a_missing_file_and_an_empty_folder(tmp_path: Path) -> None:
    done = run(*ECHO, "Hello")
    assert done.returncode == 2
    assert stderr(done)[0] == "nlpcli: no such file: Hello" and "--text" in stderr(done)[1]
    done = run(*ECHO, str(tmp_path))
    assert done.returncode == 2 and "no files there" in stderr(done)[0]


def test_nothing_is_written_before_a_missing_second_file_is_seen(tmp_path: Path) -> None:
    there = tmp_path / "a.txt"
    there.write_text("a\n")
    done = run(*ECHO, str(there), str(tmp_path / "b.txt"))
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "tsv"])
def test_files_in_and_out_in_every_format(tmp_path: Path, kind: str, ending: str) -> None:
    content = {
        "txt": "a\nb\n",
        "jsonl": '{"text": "a", "n": 1}\n{"text": "b", "n": 2}\n',
        "csv": 'text,n\na,"1,5"\nb,2\n',
        "tsv": 'text\tn\na\t"1\nb\t2\n',
    }[kind]
    expected = {
        "txt": "a\nb\n",
        "jsonl": '{"text": "a", "n": 1, "translation": "a"}\n'
        '{"text": "b", "n": 2, "translation": "b"}\n',
        "csv": 'text,n,translation\na,"1,5",a\nb,2,b\n',
        "tsv": 'text\tn\ttranslation\na\t"1\ta\nb\t2\tb\n',
    }[kind]
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[ending]
    source = tmp_path / f"in.{kind}{ending}"
    source.write_bytes(pack(content.encode()))
    target = tmp_path / f"out.{kind}{ending}"
    done = run(*ECHO, str(source), "-o", str(target))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    data = target.read_bytes()
    unpack = {"": bytes, ".gz": gzip.decompress, ".zst": unzstd}[ending]
    assert unpack(data).decode() == expected
    assert sorted(tmp_path.glob("*")) == sorted([source, target, tmp_path / "home"])


def unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()


def test_a_bad_record_leaves_no_output_file(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("before")
    done = run(*ECHO, "-o", str(target), stdin=b"a\n\xff\n")
    assert done.returncode == 4
    assert target.read_text() == "before"
    assert not list(tmp_path.glob(".out*"))


def test_texts_given_on_the_command_line() -> None:
    done = run(*ECHO, "--text", "a b", "--text", "c")
    assert done.stdout == b"a b\nc\n"
    assert run(*ECHO, "--text", "a", "file").returncode == 2


def peak_megabytes(lines: int) -> float:
    """The peak resident memory of the command and its children over `lines` lines."""
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"
    )
    data = b"".join(b"This is line %d.\n" % number for number in range(lines))
    done = subprocess.run(
        [sys.executable, "-c", code, COMMAND, *ECHO],
        input=data,
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == data
    return int(done.stderr.split()[-1]) / 1024


def test_memory_does_not_grow_with_the_input() -> None:
    assert peak_megabytes(1_000_000) - peak_megabytes(10_000) < 20


def test_configuration_is_below_variables_and_those_below_options(home: Path) -> None:
    folder = home / "config" / "nlpcli"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('field = "a"\n[translate]\noutput-field = "x"\n')
    line = b'{"a": "1", "b": "2", "c": "3"}'
    command = [*ECHO, "-i", "jsonl"]
    assert json.loads(run(*command, stdin=line).stdout)["x"] == "1"
    assert json.loads(run(*command, stdin=line, NLPCLI_FIELD="b").stdout)["x"] == "2"
    done = run(*command, "--field", "c", stdin=line, NLPCLI_FIELD="b")
    assert json.loads(done.stdout)["x"] == "3"


@pytest.mark.parametrize(
    ("text", "word"),
    [("fild = 1", "field"), ("[translate]\ntoo = 1", "to"), ("[transl]", "translate")],
)
def test_an_unknown_setting_is_named(home: Path, text: str, word: str) -> None:
    folder = home / "config" / "nlpcli"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text)
    done = run(*ECHO, stdin=b"a\n")
    assert done.returncode == 2
    assert f"did you mean {word}" in stderr(done)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["--device", "cuda"], 5, "no CUDA device"),
        (["--device", "tpu"], 2, "no such device"),
        (["--dtype", "int4"], 2, "--dtype int4"),
        (["--batch-size", "x"], 2, "--batch-size x"),
        (["--on-error", "ignore"], 2, "--on-error ignore"),
        (["--threads", "-1"], 2, "--threads"),
        (["--runner", "cloud"], 2, "no such runner"),
        (["--bogus"], 2, "--bogus"),
        (["-o", "no/such/folder/out"], 2, "no/such/folder/out"),
    ],
)
def test_wrong_options(arguments: list[str], code: int, what: str) -> None:
    done = run(*ECHO, *arguments, stdin=b"a\n")
    assert done.returncode == code
    lines = stderr(done)
    assert len(lines) == 2 and lines[0].startswith("nlpcli: ") and what in lines[0]
    assert lines[1].startswith("  ")


@pytest.mark.parametrize("command", ["generate", "classify", "summarize"])
def test_a_batch_size_that_is_none_is_wrong_usage_for_every_command(command: str) -> None:
    done = run(command, "--backend", "echo", "--batch-size", "x", stdin=b"a\n")
    assert (done.returncode, stderr(done)[0]) == (2, "nlpcli: --batch-size x: no such size")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40960, 40960))

    source, out = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("".join(f"line {n}\n" for n in range(10_000)))
    command = [COMMAND, *ECHO, str(source), "-o", str(out)]
    done = subprocess.run(
        command,
        capture_output=True,
        preexec_fn=limit,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot be written: File too large" in stderr(done)[-2]
    assert "kept in" in stderr(done)[0] and not out.exists()
    assert subprocess.run([*command, "--resume"], check=False).returncode == 0
    assert out.read_bytes() == source.read_bytes()
    assert not list(tmp_path.glob("*.part*"))


def test_scores_leave_a_blank_line_blank() -> None:
    done = run(*ECHO, "--scores", stdin=b"a\n\nb\n")
    assert done.stdout == b"a\t0.0\n\nb\t0.0\n"


def test_an_output_field_that_another_takes() -> None:
    done = run(*ECHO, "--scores", "--output-field", "score", stdin=b"a\n")
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_row_with_too_many_cells_keeps_them_beside_its_error() -> None:
    done = run(*ECHO, "-i", "csv", "--on-error", "null", stdin=b"text,n\na,1,2\n")
    assert done.stdout == (
        b'text,n,translation,error\na,"1,2",,<stdin>:2: 3 fields where the header names 2\n'
    )


def test_a_text_that_is_not_utf8_on_the_command_line() -> None:
    done = run(*ECHO, "--text", os.fsdecode(b"caf\xff"))
    assert done.returncode == 4
    assert stderr(done)[0] == "nlpcli: --text:1: not valid UTF-8: byte 0xff at column 4"


def test_offline_in_the_configuration_holds_for_models_pull_too(home: Path) -> None:
    folder = home / "config" / "nlpcli"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("offline = true\n")
    done = run("models", "pull", "bergamot-en-pt")
    assert done.returncode == 3
    assert "offline" in stderr(done)[0]


@pytest.mark.parametrize("arguments", [[*ECHO, "--text", "a"], ["devices"], ["--version"]])
@pytest.mark.parametrize(
    ("where", "why"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")]
)
def test_a_standard_output_that_takes_nothing(arguments: list[str], where: str, why: str) -> None:
    done = subprocess.run(
        f"{COMMAND} {' '.join(arguments)} {where}", shell=True, capture_output=True, check=False
    )
    assert done.returncode == 1
    what, cure = stderr(done)
    assert what == f"nlpcli: standard output: cannot be written: {why}"
    assert cure.endswith("write it elsewhere")


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "--temperature", "inf"),
        ("generate", "--top-p", "nan"),
        ("chat", "--temperature", "nan"),
        ("classify", "--labels", "a,b", "--threshold", "nan"),
    ],
)
def test_numbers_are_finite(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    first, second = stderr(done)
    assert first.endswith(f"{arguments[-1]} is not a finite number")
    assert second == f"  see: nlpcli {arguments[0]} --help"
