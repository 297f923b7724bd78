"""The same bytes whatever the batch, the jobs and the shards; and memory that does not suffice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tiny_encoders
import tiny_models
from command import run

TRANSLATE = ("translate", "--from", "en", "--to", "de", "--no-dedupe")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.marian(tmp_path_factory.mktemp("marian"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{said}\n" for said in tiny_models.sentences(9)))
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
    command = [*TRANSLATE, "-m", str(model), *options, "--beam", "2", "--scores"]
    command += ["--deterministic"]
    whole = run(*command, str(texts), "--batch-size", "1", timeout=120)
    assert whole.returncode == 0 and whole.stdout.count(b"\n") == 9
    for more in (["--batch-size", "7", "--threads", "2"], ["--batch-size", "64", "--jobs", "2"]):
        assert run(*command, str(texts), *more, timeout=120).stdout == whole.stdout
    shards = [run(*command, str(texts), "--shard", f"{k}/3", timeout=120) for k in (1, 2, 3)]
    assert b"".join(shard.stdout for shard in shards) == whole.stdout


def test_a_server_cannot_be_asked_for_it() -> None:
    done = run("generate", "--lines", "-m", "openai:any", "--deterministic", stdin="a\n")
    assert done.returncode == 2 and done.stderr.startswith(b"nlpcli: --deterministic: the openai")


LIMITED = """
import resource, sys
from pathlib import Path
from nlpcli import notice
from nlpcli.backends import Request, choice
from nlpcli.device import Device
from nlpcli.registry import LocalModel, ModelSpec

spec = ModelSpec("tiny", ("classify",), "transformers", (), "bert")
model = LocalModel(spec, Path(sys.argv[1]))
torch = choice.load("torch", model, Device("cpu", dtype="float32", threads=1))
requests = [Request(" ".join(f"word{(n + k) % 9}" for n in range(120))) for k in range(2048)]
whole = torch.classify(requests, 32)
room = [line for line in open("/proc/self/status") if line.startswith("VmSize")][0].split()[1]
limit = int(room) * 1024 + (300 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
found = torch.classify(requests, 2048)
assert abs(found - whole).max() < 1e-4
told = torch.classify(requests, 2048)
assert (told == found).all()
"""


def test_a_batch_beyond_the_memory_limit_is_halved(tmp_path: Path) -> None:
    """Address space that a batch of 2,048 texts does not find."""
    model = tiny_encoders.CLASSIFIERS["bert-moods"](tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(model)],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b" texts at once: going on with " in done.stderr
