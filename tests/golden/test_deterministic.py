"""The same bytes whatever the batch, the jobs and the shards; and memory that does not suffice."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

import tiny_models
from command import COMMAND, run

TRANSLATE = ("translate", "--from", "en", "--to", "de", "--no-dedupe")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.marian(tmp_path_factory.mktemp("marian"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{said}\n" for said in tiny_models.sentences(60)))
    return path


@pytest.mark.parametrize(
    "options",
    [
        ("--backend", "torch", "--dtype", "float32"),
        ("--backend", "torch", "--dtype", "bfloat16"),
        ("--backend", "ct2", "--dtype", "float32"),
        ("--backend", "ct2", "--dtype", "int8"),
    ],
)
def test_the_same_bytes(model: Path, texts: Path, options: tuple[str, ...]) -> None:
    command = [*TRANSLATE, "-m", str(model), *options, "--scores", "--deterministic"]
    whole = run(*command, str(texts), "--batch-size", "1", timeout=120)
    assert whole.returncode == 0 and whole.stdout.count(b"\n") == 60
    for more in (["--batch-size", "7"], ["--threads", "2"], ["--batch-size", "64", "--jobs", "2"]):
        assert run(*command, str(texts), *more, timeout=120).stdout == whole.stdout
    shards = [run(*command, str(texts), "--shard", f"{k}/3", timeout=120) for k in (1, 2, 3)]
    assert b"".join(shard.stdout for shard in shards) == whole.stdout


def test_a_server_cannot_be_asked_for_it() -> None:
    done = run("generate", "--lines", "-m", "openai:any", "--deterministic", stdin="a\n")
    assert done.returncode == 2 and done.stderr.startswith(b"nlpcli: --deterministic: the openai")


def test_a_batch_beyond_the_memory_limit_is_halved(model: Path, tmp_path: Path) -> None:
    """Address space that the whole window of texts, padded to the longest, does not find."""
    source = tmp_path / "in.txt"
    said = tiny_models.sentences(400)
    source.write_text("".join(" ".join(said[n : n + 3]) + "\n" for n in range(397)))
    command = [COMMAND, *TRANSLATE, "-m", str(model), str(source)]
    command += ["--backend", "torch", "--dtype", "float32", "--batch-size", "512"]
    command += ["--threads", "1", "--beam", "12"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    whole = subprocess.run(command, capture_output=True, check=True, env=one_thread, timeout=200)
    for room in range(3400, 2000, -100):  # MiB; libraries alone take most of it

        def limit(bytes: int = room << 20) -> None:
            resource.setrlimit(resource.RLIMIT_AS, (bytes, bytes))

        done = subprocess.run(
            command,
            capture_output=True,
            preexec_fn=limit,
            env=one_thread,
            timeout=200,
            check=False,
        )
        if b"not enough memory for" in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    assert b"texts at once: going on with" in done.stderr
    assert done.stdout == whole.stdout
