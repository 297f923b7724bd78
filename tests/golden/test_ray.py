"""Jobs on a real Ray cluster of three nodes on this machine, one of which is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import run, start

TRANSLATE = ("translate", "--to", "pt", "--from", "en")


@pytest.fixture
def cluster(weights: Path) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.workers = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made
    made.shutdown()


def test_a_cluster_of_three_that_loses_a_node(cluster: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    rows = [{"id": n, "text": f"The train of line {n} leaves at nine."} for n in range(900)]
    lines = [json.dumps(row) + "\n" for row in rows]
    lines[450] = "{ bad\n"
    source.write_text("".join(lines))
    command = [*TRANSLATE, str(source), "--on-error", "null"]
    local = run(*command, "--runner", "local", timeout=120)
    assert local.returncode == 1
    out = tmp_path / "out.jsonl"
    on_three = ("--ray-address", cluster.address, "--jobs", "3", "-o", str(out))
    environment = {**os.environ, "OPENAI_API_KEY": "a key that nobody may read"}
    process = start(*command, *on_three, env=environment)
    end = time.monotonic() + 60
    part = tmp_path / "out.jsonl.part"
    while not (part.exists() and part.stat().st_size) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    cluster.remove_node(cluster.workers[0], allow_graceful=False)
    # Three actors want a CPU each: there is none for the one that is lost, and two do the rest.
    _, told = process.communicate(timeout=150)
    assert process.returncode == 1
    assert out.read_bytes() == local.stdout
    assert f"{source}:451: not valid JSON" in told.decode()
    logs = list(Path(cluster.head_node.get_logs_dir_path()).iterdir())
    assert any(b"nlpcli" in log.read_bytes() for log in logs if log.is_file())
    assert not any(b"nobody may read" in log.read_bytes() for log in logs if log.is_file())


def test_a_signal_ends_a_job_as_with_every_runner(weights: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("".join(f"The train of line {n} leaves at nine.\n" for n in range(4000)))
    process = start(*TRANSLATE, str(source), "--runner", "ray", "--jobs", "1", "-o", str(out))
    end = time.monotonic() + 60
    part = tmp_path / "out.txt.part"
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143
    assert [line.partition(":")[2].strip() for line in told.decode().splitlines()] == [
        "finishing what is in flight; once more leaves at once",
        f"{out}: what is done is kept in {part}: --resume goes on with it, --restart begins again",
        "terminated",
    ]


def test_an_address_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        accepting = threading.Thread(target=silent.accept, daemon=True)
        accepting.start()
        for address in (f"127.0.0.1:{port}", "127.0.0.1:1"):
            begun = time.monotonic()
            done = run(*TRANSLATE, "--ray-address", address, "--dry-run", stdin="a\n")
            assert done.returncode == 5 and time.monotonic() - begun < 30
            assert f"no Ray cluster answers at {address}".encode() in done.stderr
    done = run(*TRANSLATE, "--ray-address", "here", "--dry-run", stdin="a\n")
    assert done.returncode == 2 and b"not HOST:PORT" in done.stderr
