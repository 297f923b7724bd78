"""OpenAI-compatible servers on loopback: llama.cpp's own, and one that misbehaves as it is told."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_LLAMA = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, key, slots = sys.argv[1], sys.argv[2], int(sys.argv[3])
params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
params.n_parallel, params.n_ctx, params.cpuparams.n_threads = slots, 512 * slots, 1
params.kv_unified, params.warmup, params.verbosity = False, False, 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def llama(gguf: Path, key: str, slots: int = 8) -> Iterator[str]:
    """llama.cpp's HTTP server over a GGUF file: the address of its API. A slot holds 512 tokens."""
    process = subprocess.Popen(
        [sys.executable, "-c", _LLAMA, str(gguf), key, str(slots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        yield process.stdout.readline().strip() + "/v1"
    finally:
        process.kill()
        process.wait(timeout=20)


def answer(text: str = "yes", **fields: Any) -> dict[str, Any]:
    """A chat completion that says `text`; `fields` go into its choice."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, **fields}
    choice.setdefault("finish_reason", "stop")
    return {"object": "chat.completion", "choices": [choice], "usage": {"completion_tokens": 1}}


def piece(text: str | None, finish: str | None = None) -> bytes:
    """An event of a streamed answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


class Reply:
    """What is sent back: `status`, `body` (an object becomes JSON) and `headers`.

    `hang` waits for so many seconds before anything is sent, `cut` says less than the length
    that was announced and closes.
    """

    def __init__(
        self,
        body: object = b"",
        status: int = 200,
        kind: str = "application/json",
        *,
        hang: float = 0.0,
        cut: bool = False,
        **headers: str,
    ) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.kind, self.headers = status, kind, headers
        self.hang, self.cut = hang, cut


def error(status: int, message: str = "no", **fields: Any) -> Reply:
    return Reply({"error": {"message": message, **fields}}, status)


class Server:
    """Answers each request by `replies` in turn, or by `reply` when they are used up."""

    def __init__(self) -> None:
        self.url = ""
        self.replies: list[Reply] = []
        self.reply: Callable[[dict[str, Any]], Reply] = lambda body: Reply(answer())
        self.models: Reply = error(404)
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: list[str | None] = []
        self.connections: set[tuple[str, int]] = set()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()


@contextmanager
def serving() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send(state.models)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.requests.append(body)
                state.times.append(time.monotonic())
                state.keys.append(self.headers["Authorization"])
                state.connections.add(self.client_address)
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
                reply = state.replies.pop(0) if state.replies else state.reply(body)
            try:
                self.send(reply)
            finally:
                with state.lock:
                    state.at_once -= 1

        def send(self, reply: Reply) -> None:
            time.sleep(reply.hang)
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Content-Length", str(len(reply.body) + 10 * reply.cut))
                for name, value in reply.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:
                # The client hung up, as some tests mean it to.
                self.close_connection = True
            self.close_connection = self.close_connection or reply.cut

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
