"""Files that appear whole or not at all, and everything that is no file."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import threading
from pathlib import Path

import pytest
import zstandard

from nlpcli.errors import NlpcliError, UsageError
from nlpcli.output import Output


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "out.gz"
    path.parent.mkdir()
    with pytest.raises(KeyboardInterrupt), Output(str(path)) as output:
        output.write(b"half")
        assert len(os.listdir(path.parent)) == 1
        assert not path.exists()
        raise KeyboardInterrupt
    assert os.listdir(path.parent) == []


def test_a_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to("out")
    with Output(str(link)) as output:
        output.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["home", "link", "out"]


def test_a_new_file_follows_the_umask_and_may_have_a_long_name(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    old = os.umask(0o027)
    try:
        with Output(str(path)) as output:
            output.write(b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_files_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file") as caught:
        Output(str(tmp_path / "missing" / "out"))
    assert caught.value.hint == "make its folder first"
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        Output(str(tmp_path))


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, ending: str) -> None:
    import resource

    folder = tmp_path / "folder"
    folder.mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with (
            pytest.raises(NlpcliError, match=f"out{ending}: cannot be written: File too large"),
            Output(str(folder / f"out{ending}")) as output,
        ):
            for _ in range(10):
                output.write(os.urandom(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(folder) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_device_is_an_error() -> None:
    full = pytest.raises(NlpcliError, match="/dev/full: cannot be written: No space left")
    with full, Output("/dev/full") as output:
        output.write(b"x")
    with Output("/dev/null") as output:
        output.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_result_that_cannot_be_named_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*paths: str) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "replace", busy)
    kept = pytest.raises(NlpcliError, match="cannot be replaced")
    with kept as caught, Output(str(tmp_path / "out")) as output:
        output.write(b"kept")
    assert Path(caught.value.hint.removeprefix("the result is in ")).read_bytes() == b"kept"


def test_a_fifo_and_its_reader_that_leaves(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    got: list[bytes] = []

    def take(size: int) -> None:
        with open(path, "rb", buffering=0) as file:
            got.append(file.read(size))

    reader = threading.Thread(target=take, args=(5,))
    reader.start()
    with pytest.raises(BrokenPipeError), Output(str(path)) as output:
        output.write(b"first")
        reader.join()
        output.write(b"second")
    assert got == [b"first"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_pipe_that_someone_made_non_blocking_takes_everything() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = os.urandom(1 << 20)
    got: list[bytes] = []

    def drain() -> None:
        with open(reading, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=drain)
    with Output("/dev/null") as output:
        os.close(output._file)
        output._file = writing
        reader.start()
        output.write(data)
    reader.join()
    assert got == [data]


@pytest.mark.parametrize("path", [None, "-", "/dev/stdout"])
def test_standard_output(path: str | None, capfd: pytest.CaptureFixture[str]) -> None:
    with Output(path) as output:
        output.write(b"at once\n")
        assert capfd.readouterr().out == "at once\n"
    os.fstat(1)


def test_compressed_output_is_the_same_each_time_and_read_by_others(tmp_path: Path) -> None:
    def unzstd(data: bytes) -> bytes:
        return zstandard.ZstdDecompressor().stream_reader(data).read()

    for ending, unpack in ((".gz", gzip.decompress), (".zst", unzstd)):
        stored = []
        for name in ("a", "b"):
            with Output(str(tmp_path / f"{name}{ending}")) as output:
                output.write(b"some text\n" * 1000)
            stored.append((tmp_path / f"{name}{ending}").read_bytes())
        assert stored[0] == stored[1]
        assert unpack(stored[0]) == b"some text\n" * 1000
