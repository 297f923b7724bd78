"""The commands on a model of a server: output, exit codes, and the key in none of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import openai_server
from command import run
from openai_server import Reply, Server, answer, error, piece

KEY = "sk-proj-4f9a0c77b1e2d3-secret"
MODEL = ("-m", "openai:tiny")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with openai_server.serving() as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("NLPCLI_DEBUG", "1")
        yield served


def generate(*options: str, stdin: str = "", code: int = 0, **variables: str) -> tuple[str, str]:
    """Run `nlpcli generate`; its standard output and error."""
    done = run("generate", *MODEL, *options, stdin=stdin, **variables)
    stdout, stderr = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, stderr
    assert KEY not in stdout + stderr
    return stdout, stderr


def test_one_prompt_streams(server: Server) -> None:
    server.reply = lambda body: Reply(
        piece("Ol") + piece("á.") + piece(None, "stop") + b"data: [DONE]\n\n",
        kind="text/event-stream",
    )
    assert generate("--text", "hello", "--system", "Be brief.")[0] == "Olá.\n"
    (body,) = server.requests
    assert body["stream"] is True
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
    assert server.keys == [f"Bearer {KEY}"]


def test_lines_come_in_order(server: Server) -> None:
    server.reply = lambda body: Reply(answer(body["messages"][-1]["content"].upper()), hang=0.01)
    stdin = "".join(f"line {n}\n\n" for n in range(40))
    assert generate("--lines", stdin=stdin)[0] == stdin.upper()
    assert len(server.requests) == 40


def test_a_record_that_the_server_refuses(server: Server) -> None:
    server.reply = lambda body: (
        error(400, f"no {KEY}") if "bad" in str(body) else Reply(answer("fine"))
    )
    options = ("--lines", "-f", "jsonl", "--on-error", "null")
    stdout, _ = generate(*options, stdin="good\nbad\ngood\n", code=1)
    records = [json.loads(line) for line in stdout.splitlines()]
    assert [record.get("generation") for record in records] == ["fine", None, "fine"]
    assert records[1]["error"] == "<stdin>:2: the server says 400: no …"
    assert "400: no …" in generate("--lines", stdin="good\nbad\n", code=4)[1]


def test_no_model_at_all(server: Server) -> None:
    server.reply = lambda body: error(401, KEY)
    for options in (("--text", "hello"), ("--lines",)):
        assert "refuses the key in OPENAI_API_KEY" in generate(*options, stdin="a\n", code=3)[1]
    asked = len(server.requests)
    assert "offline no server is asked" in generate("--text", "a", "--offline", code=3)[1]
    assert "not set" in generate("--text", "a", code=3, OPENAI_API_KEY="", OPENAI_BASE_URL="")[1]
    assert len(server.requests) == asked
