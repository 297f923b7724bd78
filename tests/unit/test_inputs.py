"""Folders, patterns, locations elsewhere, and Parquet."""

from __future__ import annotations

import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem

from command import run
from nlpcli.errors import DataError, UsageError
from nlpcli.inputs import expand
from nlpcli.records import Reader, format_of

ECHO = ("translate", "--from", "en", "--to", "pt", "--backend", "echo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.csv.gz", "c/d.jsonl", "c/.e.txt", ".f/g.txt", "x.part", "y.log"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text\n")
    return tmp_path / "data"


def names(folder: Path, *paths: str) -> list[str]:
    return [path.removeprefix(f"{folder}/") for path in expand([f"{folder}{p}" for p in paths])]


def test_folders_and_patterns(folder: Path) -> None:
    assert names(folder, "") == ["a.csv.gz", "b.txt", "c/d.jsonl"]
    assert names(folder, "/c", "/b.txt") == ["c/d.jsonl", "b.txt"]
    assert names(folder, "/*.*") == ["a.csv.gz", "b.txt", "x.part", "y.log"]
    assert names(folder, "/**/*.jsonl") == ["c/d.jsonl"]
    (folder / "[b].txt").write_text("a file's own name\n")
    assert names(folder, "/[b].txt") == ["[b].txt"]
    assert expand(["-", "missing.txt"]) == ["-", "missing.txt"]
    for nothing in ("/c/.h*", "/*.tsv"):
        with pytest.raises(UsageError, match="no files there"):
            names(folder, nothing)


def test_locations(folder: Path) -> None:
    memory = MemoryFileSystem()
    for name in ("two.txt", "one.txt", "three.log"):
        memory.pipe(f"/here/{name}", f"{name}\n".encode())
    assert expand(["memory:///here/"]) == ["memory:///here/one.txt", "memory:///here/two.txt"]
    assert expand(["memory:///here/t*"]) == ["memory:///here/three.log", "memory:///here/two.txt"]
    records = [record for some in Reader(["memory:///here/one.txt"]) for record in some]
    assert [record.text for record in records] == ["one.txt"]
    with pytest.raises(DataError, match="cannot be read"):
        list(Reader(["memory:///here/none.txt"]))
    with pytest.raises(UsageError, match="nothing://x: cannot be opened"):
        list(Reader(["nothing://x"]))
    done = run(*ECHO, f"file://{folder}/*.txt")
    assert (done.returncode, done.stdout) == (0, b"text\n")


class Pages(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Troubled(MemoryFileSystem):
    """Fails as the packages for a protocol do, with errors of their own."""

    protocol = "troubled"

    def _open(self, path: str, *args: Any, **options: Any) -> Any:
        raise LookupError("first line\nsecond line") if "late" in path else TimeoutError()

    def find(self, path: str, *args: Any, **options: Any) -> list[str]:
        raise FileNotFoundError(path)


def test_locations_that_fail() -> None:
    register_implementation("troubled", Troubled, clobber=True)
    for location, why in (
        ("troubled:///late.txt", "first line second line"),
        ("troubled:///x.txt", "TimeoutError"),
        ("memory:///none.txt", "No such file or directory"),
        ("file:///none.txt", "No such file or directory"),
        ("file:///", "Is a directory"),
    ):
        with pytest.raises(DataError) as raised:
            list(Reader([location]))
        assert raised.value.message == f"{location}: cannot be read: {why}"
    with pytest.raises(DataError) as raised:
        expand(["troubled:///folder/"])
    assert raised.value.message == (
        "troubled:///folder/: cannot be listed: No such file or directory"
    )


def test_a_web_server_that_gives_no_parts(tmp_path: Path) -> None:
    lines = 1_000_000  # more bytes than fsspec asks for at once
    (tmp_path / "a.txt").write_text("a line of it\n" * lines)
    pyarrow.parquet.write_table(pyarrow.table({"text": ["one"]}), tmp_path / "a.parquet")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        assert sum(map(len, Reader([f"{address}a.txt"]))) == lines
        assert sum(map(len, Reader([f"{address}a.parquet?sign=a*b"]))) == 1
        with pytest.raises(DataError, match=r"none\.txt: cannot be read: 404"):
            list(Reader([f"{address}none.txt"]))
        server.shutdown()


@pytest.mark.parametrize(
    ("missing", "location", "hint"),
    [
        ("fsspec", "memory:///a.txt", "pip install 'nlpcli[remote]'"),
        ("s3fs", "s3://bucket/a.txt", "pip install s3fs"),
        ("gcsfs", "gs://bucket/*.txt", "pip install gcsfs"),
        ("pyarrow", "a.parquet", "pip install 'nlpcli[parquet]'"),
    ],
)
def test_packages_that_are_missing_are_named(
    tmp_path: Path, missing: str, location: str, hint: str
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / f"{missing}.py").write_text("raise ImportError('not here')\n")
    location = location if "://" in location else str(tmp_path / location)
    python = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run(*ECHO, location, "-f", "text", PYTHONPATH=python)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2 and done.stderr.decode().endswith(f"{hint}\n")


def test_a_web_address_may_end_in_a_query() -> None:
    address = "https://host/a.jsonl.gz?sign=a*b&download=[1]"
    assert expand([address]) == [address]
    assert format_of(address) == "jsonl"


def test_a_folder_that_cannot_be_listed_is_not_left_out() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another")
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.makedirs(f"{folder}/open/shut", mode=0o755)
        os.chmod(f"{folder}/open/shut", 0)
        os.seteuid(65534)
        try:
            with pytest.raises(DataError, match="open/shut: cannot be listed: Permission denied"):
                expand([folder])
        finally:
            os.seteuid(0)
