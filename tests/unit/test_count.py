"""The number of records, which is what iterating gives."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nlpcli import streams
from nlpcli.errors import DataError
from nlpcli.records import Reader

PIECES = [b"\n", b"\r\n", b"\r", b"\t", b",", b'"', b'"\n', b" ", b"a", b"\xff", b"\xef\xbb\xbf"]
LINE = st.lists(st.sampled_from([*PIECES, b'{"text": "x"}', b"\x0b", b"\x00"]), max_size=12)
HEADER = st.sampled_from([b"", b"text\n", b"text,b\n", b"b\ttext\r\n", b"\xef\xbb\xbftext\n"])
DATA = st.tuples(HEADER, LINE).map(lambda parts: parts[0] + b"".join(parts[1]))


@given(
    data=st.lists(DATA, min_size=1, max_size=3),
    format=st.sampled_from(["text", "jsonl", "csv", "tsv"]),
    whole=st.booleans(),
    packed=st.booleans(),
    size=st.sampled_from([1, 3, 1 << 16]),
)
@example(data=[b"\xef\xbb\xbf"], format="text", whole=False, packed=False, size=1)
@example(data=[b"", b"a"], format="text", whole=True, packed=True, size=1)
@example(data=[b"text\n\n"], format="csv", whole=False, packed=False, size=1)
def test_the_count_is_what_iterating_gives(
    tmp_path_factory: pytest.TempPathFactory,
    data: list[bytes],
    format: str,
    whole: bool,
    packed: bool,
    size: int,
) -> None:
    folder = tmp_path_factory.mktemp("count")
    paths = [str(folder / str(number)) for number in range(len(data))]
    for path, each in zip(paths, data, strict=True):
        Path(path).write_bytes(gzip.compress(each) if packed else each)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "_READ_SIZE", size)
        try:
            found = sum(map(len, Reader(paths, format, whole=whole)))
        except DataError:  # a header without the field
            assume(False)
        assert Reader(paths, format, whole=whole).count() == found


def test_an_input_that_ends_too_early_has_no_count(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "x"}\n' * 1000)[:-9])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz: cannot be read: .* ends too early"):
        Reader([str(path)]).count()
