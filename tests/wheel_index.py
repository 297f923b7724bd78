"""A package index on loopback (PEP 503) that serves wheels made by the test."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def make_wheel(name: str, version: str, files: dict[str, bytes]) -> bytes:
    """A `py3-none-any` wheel that holds `files`."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    members[f"{info}/RECORD"] = "".join(f"{member},,\n" for member in members).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return buffer.getvalue()


class Index:
    """What is served, how fast, and how often each wheel was asked for."""

    def __init__(self) -> None:
        self.wheels: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.seconds = 0.0
        self.url = ""

    def add(self, name: str, version: str, files: dict[str, bytes]) -> str:
        """Serve a wheel; its sha256."""
        content = make_wheel(name, version, files)
        self.wheels[f"{name.replace('-', '_')}-{version}-py3-none-any.whl"] = content
        return hashlib.sha256(content).hexdigest()

    def environment(self) -> dict[str, str]:
        """The variables that make pip ask this index and nothing else."""
        return {
            "PIP_INDEX_URL": f"{self.url}/simple",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_RETRIES": "0",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def serving() -> Iterator[Index]:
    index = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = self.path.strip("/").split("/")
            if parts[0] == "simple" and len(parts) == 2:
                links = [
                    f'<a href="/wheels/{name}">{name}</a>'
                    for name in index.wheels
                    if name.split("-")[0] == parts[1].replace("-", "_")
                ]
                if links:
                    self.answer(200, "text/html", "".join(links).encode())
                    return
            if parts[0] == "wheels" and parts[1] in index.wheels:
                index.downloads.append(parts[1])
                self.answer(200, "application/zip", index.wheels[parts[1]])
                return
            self.answer(404, "text/plain", b"")

        def answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            slow = index.seconds if kind == "application/zip" else 0.0
            step = max(1, len(content) // 100)
            try:
                for start in range(0, len(content), step):
                    self.wfile.write(content[start : start + step])
                    time.sleep(slow / 100)
            except OSError:
                # The client was killed, as some tests mean it to be.
                self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
