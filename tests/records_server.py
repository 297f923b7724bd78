"""A Remote Settings server on loopback that offers translation models made by the test."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zstandard

RECORDS = "/v1/buckets/main/collections/translations-models-v2/records"


class Settings:
    """The records offered, the attachments by path, and the requests seen."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.attachments: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""

    def offer(
        self,
        source: str,
        target: str,
        files: dict[str, bytes],
        version: str = "3.0",
        architecture: str = "tiny",
    ) -> None:
        """Offer a model; the file type is the first word of each name."""
        for name, content in files.items():
            location = f"workspace/{source}-{target}-{version}-{architecture}/{name}.zst"
            packed = zstandard.compress(content)
            self.attachments[location] = packed
            self.records.append(
                {
                    "name": name,
                    "fileType": name.partition(".")[0],
                    "sourceLanguage": source,
                    "targetLanguage": target,
                    "version": version,
                    "architecture": architecture,
                    "decompressedHash": hashlib.sha256(content).hexdigest(),
                    "attachment": {
                        "hash": hashlib.sha256(packed).hexdigest(),
                        "size": len(packed),
                        "filename": f"{name}.zst",
                        "location": location,
                        "mimetype": "application/zstd",
                    },
                }
            )


@contextmanager
def serving() -> Iterator[Settings]:
    settings = Settings()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            settings.requests.append(self.path)
            if self.path == "/v1/":
                base = f"{settings.url}/attachments/"
                self.answer({"capabilities": {"attachments": {"base_url": base}}})
            elif self.path == RECORDS:
                self.answer({"data": settings.records})
            else:
                content = settings.attachments.get(self.path.removeprefix("/attachments/"))
                self.body(200 if content is not None else 404, content or b"")

        def answer(self, value: object) -> None:
            self.body(200, json.dumps(value).encode())

        def body(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    settings.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield settings
    finally:
        server.shutdown()
        server.server_close()
