"""A batch that memory has no room for is halved, and the answers are those of the whole."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiny_models
from command import COMMAND, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

TEXTS = 504  # windows of 8, 16, … 256
# What a process reserves must not depend on how many threads it happens to begin.
ALONE = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A translation of long texts, by a model that holds 64 KiB for each of their tokens."""
    folder = tmp_path_factory.mktemp("memory")
    model = tiny_models.marian(folder / "model", encoder_ffn_dim=16384)
    settings = model / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"max_length": 8}))
    said = tiny_models.sentences(2 * TEXTS, seed=3)
    words = [text.rstrip(".!?; ").replace("; it's so", "") for text in said]
    pairs = zip(words[:TEXTS], words[TEXTS:], strict=True)
    (folder / "in.txt").write_text("".join(f"{f'{a} {b}'[:110]}\n" for a, b in pairs))
    options = ["--dtype", "float32", "--threads", "1", "--beam", "1"]
    names = ["-m", str(model), "--from", "en", "--to", "de", "--no-dedupe"]
    return [COMMAND, "translate", *names, *options, str(folder / "in.txt")]


def peak(command: list[str]) -> tuple[int, bytes]:
    """The greatest address space of the command in bytes, and its output."""
    most = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **ALONE}) as running:
        while running.poll() is None:
            lines = Path(f"/proc/{running.pid}/status").read_text().splitlines()
            found = [line.split()[1] for line in lines if line.startswith("VmPeak:")]
            most = max(most, *(int(each) << 10 for each in found), 0)
            time.sleep(0.005)
        assert running.stdout and running.returncode == 0
        return most, running.stdout.read()


def limited(command: list[str], limit: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        capture_output=True,
        env={**os.environ, **ALONE},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("backend", ["torch", "ct2"])
def test_a_translation_goes_on_with_less_memory(command: list[str], backend: str) -> None:
    command = [*command, "--backend", backend]
    if backend == "ct2":  # converted in a process of its own, which takes far more memory
        assert run(*command[1:]).returncode == 0
    most, whole = peak([*command, "--batch-size", "512"])
    least, _ = peak([*command, "--batch-size", "16"])
    assert most - least > 100 << 20  # else the limits would say nothing
    # Just below the peak, MKL gets no buffers and computes something else without an error.
    for limit in ((least + most) // 2, most - (3 << 20)):
        done = limited([*command, "--batch-size", "512"], limit)
        assert done.returncode == 0, done.stderr.decode()
        assert b"not enough memory for " in done.stderr and b" going on with " in done.stderr
        assert done.stderr.count(b"\n") <= 3  # it is remembered
        assert len(set(whole.splitlines())) > TEXTS // 4
        assert done.stdout == whole, limit
