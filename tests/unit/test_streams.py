"""Bytes in: any block boundaries, compressed or not, whole, cut short or damaged."""

from __future__ import annotations

import gzip
import os
import threading
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpcli import streams
from nlpcli.streams import blocks, lines

BOM = b"\xef\xbb\xbf"
PARTS = [b"a", b"bc", b"\r", b"\n", b"\r\n", b"\0", b"\xff", "é".encode(), BOM, BOM[:1], BOM[:2]]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def expected(data: bytes, keep_cr: bool) -> list[bytes]:
    found = data.removeprefix(BOM).split(b"\n")
    if not found[-1]:
        found.pop()
    return found if keep_cr else [line.removesuffix(b"\r") for line in found]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join),
    st.booleans(),
    st.lists(st.integers(0, 40), max_size=12),
    st.booleans(),
)
def test_lines_do_not_depend_on_the_blocks(
    data: bytes, bom: bool, cuts: list[int], keep_cr: bool
) -> None:
    data = BOM + data if bom else data
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    cut = [data[a:b] for a, b in pairwise(edges)]
    found = [line for some in lines(cut, keep_cr) for line in some]
    assert found == expected(data, keep_cr)


def test_lines_come_as_soon_as_a_block_completes_them() -> None:
    given = iter([b"a\nb", b"c", b"\nd\n", b"e"])
    assert list(lines(given)) == [[b"a"], [b"bc", b"d"], [b"e"]]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 70])
@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"(",
        b"(\n",
        b"\x1f",
        b"plain\n" * 20,
        gzip.compress(b"packed\n" * 200, mtime=0),
        b"".join(gzip.compress(part, mtime=0) for part in (b"one\n", b"", b"two")),
        zstd(b"packed\n" * 200),
        zstd(b"one\n") + b"\x50\x2a\x4d\x18\4\0\0\0skip" + zstd(b"two"),
    ],
)
def test_any_read_size_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bytes, size: int
) -> None:
    whole = {
        b"\x1f\x8b": lambda: gzip.decompress(stored),
        b"\x28\xb5": lambda: b"packed\n" * 200 if len(stored) < 40 else b"one\ntwo",
    }.get(stored[:2], lambda: stored)()
    path = tmp_path / "input"
    path.write_bytes(stored)
    monkeypatch.setattr(streams, "_READ_SIZE", size)
    assert b"".join(blocks(str(path))) == whole


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(5, 10_000), form=st.sampled_from(["gz", "zst"]))
def test_compressed_input_cut_short_gives_what_is_there_and_then_fails(
    tmp_path: Path, cut: int, form: str
) -> None:
    data = b"".join(b"line %d of some\n" % (i * i) for i in range(20_000))
    stored = gzip.compress(data, 1) if form == "gz" else zstd(data)
    cut = cut * (len(stored) - 6) // 10_000 + 5
    path = tmp_path / "input"
    path.write_bytes(stored[:cut])
    got = []
    with pytest.raises(EOFError, match="ends too early"):
        for block in blocks(str(path)):
            got.append(block)
    assert data.startswith(b"".join(got))
    if form == "gz" and cut > len(stored) // 2:
        assert len(b"".join(got)) > len(data) // 3


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_damaged_input_fails(tmp_path: Path, pack: object) -> None:
    stored = bytearray(pack(os.urandom(100_000)))  # type: ignore[operator]
    stored[-6] ^= 0xFF
    path = tmp_path / "input"
    path.write_bytes(stored)
    with pytest.raises(OSError, match="damaged"):
        list(blocks(str(path)))


def test_well_compressed_input_is_not_unpacked_at_once(tmp_path: Path) -> None:
    line = b"the same line again and again\n" * 100
    packer = zstandard.ZstdCompressor().compressobj()
    path = tmp_path / "input.zst"
    count = 30_000
    path.write_bytes(b"".join(packer.compress(line) for _ in range(count)) + packer.flush())
    sizes = [len(block) for block in blocks(str(path))]
    assert sum(sizes) == count * len(line)
    assert max(sizes) <= 1 << 24


def test_a_pipe_is_answered_at_once() -> None:
    reading, writing = os.pipe()
    try:
        got = blocks(f"/dev/fd/{reading}")
        os.write(writing, b"a\n")
        assert next(got) == b"a\n"
        os.write(writing, b"b")
        assert next(got) == b"b"
        got.close()
    finally:
        os.close(reading)
        os.close(writing)


def test_a_pipe_that_someone_made_non_blocking_is_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    waits: list[object] = []
    real = streams.select.select

    def counted(*files: object) -> object:
        waits.append(files)
        os.write(writing, b"late\n")
        os.close(writing)
        return real(*files)  # type: ignore[arg-type]

    monkeypatch.setattr(streams.select, "select", counted)
    with open(reading, "rb", buffering=0) as file:
        assert b"".join(streams._reads(file)) == b"late\n"
    assert len(waits) == 1


def test_gzip_through_a_pipe_is_unpacked_as_it_comes() -> None:
    import zlib

    reading, writing = os.pipe()
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"early\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    try:
        os.write(writing, first[:1])
        late = threading.Timer(0.02, os.write, (writing, first[1:]))
        late.start()
        got = blocks(f"/dev/fd/{reading}")
        assert next(got) == b"early\n"
        got.close()
        late.join()
    finally:
        os.close(reading)
        os.close(writing)
