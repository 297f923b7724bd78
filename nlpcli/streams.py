"""Bytes in: a file or standard input, decompressed where it is compressed, cut into lines, or text
into parts."""

from __future__ import annotations

import select
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from typing import Any

from nlpcli.errors import DataError
from nlpcli.remote import RemoteFile, is_remote

STDIN = "-"
COMPRESSED = (".gz", ".zst")
_READ_SIZE = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_ZLIB_GZIP = 31  # zlib's window bits for "gzip format, 32 KiB window"

# A Zstandard block of 4 bytes can hold 128 KiB and deflate packs 1000 to 1: steps of this many
# bytes hold at most 16 MiB, however well the input is compressed.
_ZSTD_STEP = 1 << 9
_GZIP_STEP = 1 << 14


def blocks(path: str) -> Iterator[bytes]:
    """The bytes of `path` ("-" is standard input, s3://… and the like locations
    for fsspec) in the blocks in which they arrive.

    What begins with gzip's or Zstandard's magic is decompressed. Raises OSError where it cannot be
    read or decompressed, EOFError where compressed data ends too early; what came before is given.
    """
    with _opened(path) as file:
        yield from _unpacked(file)


@contextmanager
def seekable(path: str) -> Iterator[Any]:
    """`path` as a binary file that is read in any order.

    Standard input, a pipe, a web address and what is compressed are held in memory. Raises as
    `blocks` does.
    """
    with _opened(path) as file:
        if path != STDIN and file.seekable():
            packed = file.read(4).startswith((_GZIP_MAGIC, _ZSTD_MAGIC))
            file.seek(0)
            if not packed:
                yield file
                return
        yield BytesIO(b"".join(_unpacked(file)))


def _opened(path: str) -> Any:
    if is_remote(path):
        return RemoteFile(path)
    # Not sys.stdin: a thread that waits on its lock would make the interpreter's exit fatal.
    return open(0 if path == STDIN else path, "rb", buffering=0, closefd=path != STDIN)


def lines(source: Iterable[bytes], keep_cr: bool = False) -> Iterator[list[bytes]]:
    """Complete lines without their ends (LF or CRLF), in the lists in which blocks complete them.

    A byte-order mark is dropped. The last line needs no end.
    """
    rest: list[bytes] = []
    for block in _without_bom(source):
        head, newline, tail = block.rpartition(b"\n")
        if not newline:
            rest.append(block)
            continue
        complete = b"".join([*rest, head]).split(b"\n")
        rest = [tail]
        yield complete if keep_cr else [line.removesuffix(b"\r") for line in complete]
    if last := b"".join(rest):
        yield [last if keep_cr else last.removesuffix(b"\r")]


def count_lines(source: Iterable[bytes]) -> int:
    """How many lines `lines` gives."""
    count, end = 0, b"\n"
    for block in _without_bom(source):
        if block:
            count += block.count(b"\n")
            end = block[-1:]
    return count + (end != b"\n")


def parts(source: Iterable[bytes], size: int = 1 << 15) -> Iterator[tuple[str, int]]:
    """A text in parts of about `size` characters, each with the number of its bytes.

    Cut after a blank line where there is one, else after a line end, a sentence or a space; joined
    they are the text, but for a byte-order mark. Raises DataError where it is not UTF-8.
    """
    decoder = getincrementaldecoder("utf-8")()
    text, done = "", 0
    for block in chain(_without_bom(source), [b""]):
        pending = decoder.getstate()[0]
        try:
            text += decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            at = done - len(pending) + error.start + 1
            what = f"byte {error.object[error.start]:#04x} at byte {at}"
            raise DataError(f"not valid UTF-8: {what}") from None
        done += len(block)
        while len(text) > 2 * size:
            cut = _border(text, size)
            yield text[:cut], len(text[:cut].encode())
            text = text[cut:]
    if text:
        yield text, len(text.encode())


def _border(text: str, size: int) -> int:
    """Where to cut `text`: after the last best border among its first 2 * `size` characters."""
    for border in ("\n\n", "\n", ". ", " "):
        cut = text.rfind(border, size // 2, 2 * size)
        if cut > 0:
            return cut + len(border)
    return 2 * size


def _begins(whole: bytes, head: bytes) -> bool:
    """Whether `head` may yet become `whole`."""
    return len(head) < len(whole) and whole.startswith(head)


def _unpacked(file: Any) -> Iterator[bytes]:
    source = _reads(file)
    head = b""
    for block in source:
        head += block
        if not any(_begins(magic, head) for magic in (_GZIP_MAGIC, _ZSTD_MAGIC)):
            break
    source = chain([head], source)
    if head.startswith(_GZIP_MAGIC):
        import zlib

        yield from _decompressed(
            source, lambda: zlib.decompressobj(_ZLIB_GZIP), zlib.error, _GZIP_STEP
        )
    elif head.startswith(_ZSTD_MAGIC):
        from zstandard import ZstdDecompressor, ZstdError

        yield from _decompressed(source, ZstdDecompressor().decompressobj, ZstdError, _ZSTD_STEP)
    else:
        yield from source


def _reads(file: Any) -> Iterator[bytes]:
    while (block := file.read(_READ_SIZE)) != b"":
        if block is None:  # whoever shares the pipe has made it non-blocking, and it is empty
            select.select([file], [], [])
        else:
            yield block


def _decompressed(
    source: Iterable[bytes], new: Callable[[], Any], damage: type[Exception], step: int
) -> Iterator[bytes]:
    """`source` through the decompressors that `new` makes, one for each member or frame."""
    decompressor = None
    for block in source:
        at = 0
        while at < len(block):
            piece = block[at : at + step]
            decompressor = decompressor or new()
            try:
                data = decompressor.decompress(piece)
            except damage as error:
                raise OSError(f"damaged: {error}") from error
            at += len(piece)
            if decompressor.eof:
                at -= len(decompressor.unused_data)
                decompressor = None
            if data:
                yield data
    if decompressor is not None:
        raise EOFError("the compressed data ends too early")


def _without_bom(source: Iterable[bytes]) -> Iterator[bytes]:
    source = iter(source)
    head = b""
    for block in source:
        head += block
        if not _begins(_BOM, head):
            break
    yield head.removeprefix(_BOM)
    yield from source
