"""What an OpenAI-compatible server sends, as JSON objects: an answer, a stream, a complaint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class Garbled(Exception):
    """An answer that is not what it should be; it is asked for again."""


def parsed(content: bytes | str) -> dict[str, Any]:
    """The JSON object in `content`. Raises Garbled."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        text = content if isinstance(content, str) else content.decode(errors="replace")
        raise Garbled(f"it is not JSON: {text[:80]!r}" if text.strip() else "it is empty") from None
    if not isinstance(value, dict):
        raise Garbled("it is no JSON object")
    return value


def events(blocks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The data of each event. Only line feeds end lines: a JSON string may hold any other
    separator that Unicode has."""
    data: list[str] = []
    for line in _lines(blocks):
        name, _, value = line.partition(":")
        if name in ("data", "error"):
            data.append(value.removeprefix(" "))
        elif not line and data:
            text, data = "\n".join(data), []
            if text.strip() == "[DONE]":
                return
            yield parsed(text)


def _lines(blocks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from (line.removesuffix(b"\r").decode(errors="replace") for line in lines)
    yield rest.decode(errors="replace")
    yield ""


def complaint(content: bytes | dict[str, Any]) -> tuple[str, str, str]:
    """What a server says is wrong, its code for it, and the field that it blames; each may be "".

    Read as OpenAI, llama.cpp, vLLM, Ollama and FastAPI write it; else the text as it is.
    """
    try:
        answer = parsed(content) if isinstance(content, bytes) else content
    except Garbled:
        return content.decode(errors="replace") if isinstance(content, bytes) else "", "", ""
    error = answer.get("error") or answer.get("detail") or answer
    if isinstance(error, list):
        error = next(iter(error), "")
    if not isinstance(error, dict):
        return str(error), "", ""
    said = str(error.get("message") or error.get("msg") or "")
    codes = [each for each in (error.get("code"), error.get("type")) if isinstance(each, str)]
    path = error.get("loc")
    where = error.get("param") or (path[-1] if isinstance(path, list) and path else "")
    return said, next(iter(codes), ""), str(where)
