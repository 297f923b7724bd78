"""Part files: what an ended run left is gone on with, and nothing that was altered is believed."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpcli import partfile
from nlpcli.errors import UsageError
from nlpcli.partfile import PartFile

LINES = [f"line {n}\n".encode() for n in range(40)]
WHOLE = b"".join(LINES)


def work(path: Path, until: int, *, resume: bool = False, identity: str = "a") -> None:
    """Write lines, a checkpoint after each, up to `until`; all of them name the file."""
    with PartFile(str(path), {"name": identity}, resume=resume) as output:
        begin = output.last.state.get("lines", 0)
        for number in range(begin, until):
            output.write(LINES[number])
            output.checkpoint({"lines": number + 1})
        if until == len(LINES):
            output.finish()


def files(path: Path) -> tuple[Path, Path]:
    part = path.with_name(f"{path.name}.part")
    return part, part.with_name(f"{part.name}.ledger")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    until=st.integers(1, 39),
    which=st.sampled_from([0, 1]),
    cut=st.booleans(),
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(1, 255),
)
def test_damage_is_repaired_or_refused(
    tmp_path: Path, until: int, which: int, cut: bool, at: float, byte: int
) -> None:
    path = tmp_path / "out"
    for left in (*files(path), path):
        left.unlink(missing_ok=True)
    work(path, until)
    victim = files(path)[which]
    data = bytearray(victim.read_bytes())
    place = int(at * len(data))
    if cut:
        del data[place:]
    else:
        data[place] ^= byte
    victim.write_bytes(data)
    try:
        work(path, len(LINES), resume=True)
    except UsageError as error:
        assert which == 1 and "damaged" in error.message
        assert not path.exists() and files(path)[0].read_bytes()
    else:
        assert path.read_bytes() == WHOLE
        assert not any(file.exists() for file in files(path))


def test_a_ledger_cut_short_costs_only_what_it_no_longer_tells(tmp_path: Path) -> None:
    path = tmp_path / "out"
    work(path, 20)
    ledger = files(path)[1]
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:11]) + lines[11][:7])
    with PartFile(str(path), {"name": "a"}, resume=True) as output:
        assert output.last.state == {"lines": 10}


def test_another_job_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "out"
    work(path, 5)
    with pytest.raises(UsageError, match="name was a, is b"):
        work(path, len(LINES), resume=True, identity="b")
    work(path, len(LINES), resume=True)
    assert path.read_bytes() == WHOLE


def test_restart_begins_again_and_nothing_said_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    work(path, 5)
    with pytest.raises(UsageError, match="an earlier run left this unfinished"):
        partfile.check(str(path), resume=False, restart=False)
    partfile.check(str(path), resume=False, restart=True)
    work(path, len(LINES))
    assert path.read_bytes() == WHOLE
    for stream in ("-", "/dev/null", None):
        with pytest.raises(UsageError, match="--resume needs an output file"):
            partfile.check(stream, resume=True, restart=False)


@pytest.mark.parametrize("gone", [False, True])
def test_an_end_when_all_is_done(tmp_path: Path, gone: bool) -> None:
    path = tmp_path / "out"
    part, ledger = files(path)
    with pytest.raises(KeyboardInterrupt), PartFile(str(path), {"name": "a"}) as output:
        output.write(WHOLE)
        output.checkpoint({"lines": 40})
        output.finish()
        raise KeyboardInterrupt
    path.write_text("of an older run")
    if gone:
        part.unlink()
    work(path, len(LINES), resume=True)
    assert path.read_bytes() == WHOLE and not ledger.exists() and not part.exists()


def test_a_run_that_told_nothing_is_begun(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for file in files(path):
        file.touch()
    work(path, len(LINES), resume=True)
    assert path.read_bytes() == WHOLE


def test_a_file_that_may_not_be_written_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.write_text("kept")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write all
    with pytest.raises(UsageError, match="Permission denied"):
        PartFile(str(path), {})
    assert path.read_text() == "kept" and not any(file.exists() for file in files(path))


def test_nothing_done_leaves_nothing(tmp_path: Path) -> None:
    work(tmp_path / "out", 0)
    assert [file.name for file in tmp_path.iterdir()] == ["home"]


def test_compressed_output_is_made_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.gz"
    work(path, 7)
    assert files(path)[0].read_bytes() == b"".join(LINES[:7])
    Path(f"{files(path)[0]}.new").write_bytes(b"of a run that was killed in the midst of it")
    work(path, len(LINES), resume=True)
    assert gzip.decompress(path.read_bytes()) == WHOLE
    assert [file.name for file in tmp_path.iterdir() if file.name != "home"] == ["out.gz"]


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    other = "import sys; from nlpcli.partfile import PartFile; PartFile(sys.argv[1], {})"
    with PartFile(str(path), {}) as output:
        output.write(b"x")
        done = subprocess.run(
            [sys.executable, "-c", other, str(path)], capture_output=True, check=False
        )
        assert b"another run is writing it" in done.stderr
        with pytest.raises(UsageError, match="another run is writing it"):
            partfile.check(str(path), resume=False, restart=False)
        output.checkpoint({"lines": 1})
        output.finish()
    assert path.read_bytes() == b"x"


def test_a_long_name_has_room_for_its_endings(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    work(path, len(LINES))
    assert path.read_bytes() == WHOLE
