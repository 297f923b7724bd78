"""What a GGUF file says of its model, read in a millisecond: the vocabulary is stepped over by
searching for the few keys that matter, not by parsing the hundred thousand strings before them."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

from nlpcli.errors import ModelError
from nlpcli.registry.folder import gguf_architecture

_LONGEST = 1 << 26  # no vocabulary makes a header of 64 MiB
_EMBEDDING = b"token_embd.weight"  # every language model has it, and tensors follow the metadata
_NUMBERS = {4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
_ARRAY = 9
_FLOAT16 = 2


class Header(NamedTuple):
    """`window` is the context the model was trained with, in tokens; `chat` whether it has a chat
    template; `cache` the bytes that each token takes in the key-value cache (float16), at most."""

    architecture: str
    window: int
    chat: bool
    cache: int


def read(file: Path) -> Header:
    """The header of a language model. Raises ModelError where `file` is none, or cut off."""
    architecture = gguf_architecture(file)
    if not architecture:
        raise ModelError(
            f"{file}: not a GGUF file of a model", "nlpcli models pull fetches a model anew"
        )
    with open(file, "rb") as content:
        size = min(_LONGEST, content.seek(0, 2))
        with mmap.mmap(content.fileno(), size, access=mmap.ACCESS_READ) as data:
            end = data.find(_text(_EMBEDDING))
            if end < 0:
                raise ModelError(
                    f"{file}: no weights of a language model in it; the file may be cut off",
                    "fetch it again, or name another model",
                )
            return _header(data, end, architecture)


def _header(data: mmap.mmap, end: int, architecture: str) -> Header:
    def number(key: str, default: int) -> int:
        return _number(data, end, f"{architecture}.{key}") or default

    heads = number("attention.head_count", 0)
    width = number("embedding_length", 0) // heads if heads else 0
    keys = number("attention.key_length", width)
    values = number("attention.value_length", width)
    shared = number("attention.head_count_kv", heads)
    cache = number("block_count", 0) * shared * (keys + values) * _FLOAT16
    chat = data.find(_text(b"tokenizer.chat_template"), 0, end) >= 0
    return Header(architecture, number("context_length", 2048), chat, cache)


def _number(data: mmap.mmap, end: int, key: str) -> int | None:
    """The whole number under `key`, the largest of an array; None where there is none."""
    name = _text(key.encode())
    at = data.find(name, 0, end)
    if at < 0:
        return None
    at += len(name)
    (kind,) = struct.unpack_from("<I", data, at)
    if kind in _NUMBERS:
        return int(struct.unpack_from(_NUMBERS[kind], data, at + 4)[0])
    if kind != _ARRAY:
        return None
    kind, count = struct.unpack_from("<IQ", data, at + 4)
    if kind not in _NUMBERS or not 0 < count < 10_000:
        return None
    return int(max(struct.unpack_from(f"<{count}{_NUMBERS[kind][1]}", data, at + 16)))


def _text(text: bytes) -> bytes:
    """`text` as the format writes it: its length before it."""
    return struct.pack("<Q", len(text)) + text
