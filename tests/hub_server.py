"""A model hub on loopback: as much of the Hugging Face Hub's protocol as its client asks for."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest


def commit_of(files: dict[str, bytes]) -> str:
    """A commit hash that stands for the content, as git's does."""
    digest = hashlib.sha1()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


class Hub:
    """The repositories served, the tokens that open the private ones, and the requests seen."""

    def __init__(self) -> None:
        self.heads: dict[str, str] = {}
        self.commits: dict[tuple[str, str], dict[str, bytes]] = {}
        self.private: dict[str, str] = {}
        self.requests: list[str] = []
        self.url = ""

    def push(self, repository: str, files: dict[str, bytes]) -> str:
        """Make `files` the head of `main`; the commit."""
        commit = commit_of(files)
        self.heads[repository] = commit
        self.commits[repository, commit] = dict(files)
        return commit

    def downloads(self) -> list[str]:
        """The names of the files that were sent."""
        return [
            request.rpartition("/")[2]
            for request in self.requests
            if request.startswith("GET") and "/resolve/" in request
        ]


def _large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".spm"))


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set HF_ENDPOINT, which the client reads at import too."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            for pattern, answer in (
                (r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self.model),
                (r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", self.tree),
                (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.file),
            ):
                match = re.fullmatch(pattern, path)
                if match:
                    repository = match[1]
                    token = hub.private.get(repository)
                    if token and self.headers.get("Authorization") != f"Bearer {token}":
                        self.refuse(401, "RepoNotFound")
                    elif repository not in hub.heads:
                        self.refuse(404, "RepoNotFound")
                    else:
                        revision = match[2] or "main"
                        commit = hub.heads[repository] if revision == "main" else revision
                        files = hub.commits.get((repository, commit))
                        if files is None:
                            self.refuse(404, "RevisionNotFound")
                        else:
                            answer(repository, commit, files, *match.groups()[2:])
                    return
            self.refuse(404, "EntryNotFound")

        def model(self, repository: str, commit: str, files: dict[str, bytes]) -> None:
            siblings = [
                {"rfilename": name, "size": len(content), "blobId": "0" * 40}
                | ({"lfs": lfs(content)} if _large(name) else {})
                for name, content in files.items()
            ]
            card = {"license": "apache-2.0"}
            self.json({"id": repository, "sha": commit, "siblings": siblings, "cardData": card})

        def tree(self, repository: str, commit: str, files: dict[str, bytes]) -> None:
            self.json(
                [
                    {"type": "file", "path": name, "size": len(content), "oid": git_blob(content)}
                    | (
                        {"lfs": {**lfs(content), "oid": lfs(content)["sha256"]}}
                        if _large(name)
                        else {}
                    )
                    for name, content in files.items()
                ]
            )

        def file(self, repository: str, commit: str, files: dict[str, bytes], name: str) -> None:
            if name not in files:
                self.refuse(404, "EntryNotFound")
                return
            content = files[name]
            etag = hashlib.sha256(content).hexdigest() if _large(name) else git_blob(content)
            span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(span[1]) if span else 0
            self.send_response(206 if span else 200)
            if span:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", commit)
            self.body(content[start:])

        def json(self, value: object) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.body(json.dumps(value).encode())

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.body(b"")

        def body(self, content: bytes) -> None:
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    def lfs(content: bytes) -> dict[str, object]:
        return {
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "pointerSize": 130,
        }

    def git_blob(content: bytes) -> str:
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
