"""Firefox Translations models from Mozilla's Remote Settings, found by fxtranslate's rules."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import time
import urllib.request
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from nlpcli import __version__, registry
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec, Source
from nlpcli.settings import cache_dir
from nlpcli.store import place
from nlpcli.store.progress import bar

_DAY = 24 * 60 * 60
_TIMEOUT = 10
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_QUALITY = ("tiny", "base-memory", "base")
_KINDS = ("model", "vocab", "srcvocab", "trgvocab", "lex")
_HINT = "check the network and the proxy settings, or name another model with --model"


class _File(NamedTuple):
    """A file of a model as the server announces it, packed; `plain` is the unpacked sha256."""

    name: str
    location: str
    size: int
    sha256: str
    plain: str


def pairs(offline: bool = False) -> list[tuple[str, str]]:
    """The (source, target) pairs that have a model of their own.

    The list is kept for a day; an older one serves where no newer can be had. `offline` uses
    whatever is kept, [] for nothing. Raises ModelError where there is none at all.
    """
    found = _pairs(offline)
    if isinstance(found, ModelError):
        raise found
    return found


@cache
def _pairs(offline: bool) -> list[tuple[str, str]] | ModelError:
    # A failure is kept too: each further look would wait for the network again.
    from fxtranslate import discovery

    try:
        body = _records(offline)
        found: list[tuple[str, str]] = discovery.model_pairs(body) if body else []
    except (OSError, ValueError) as error:
        return _no_list(error)
    return found


def pull(spec: ModelSpec, source: Source) -> LocalModel:
    """Download the newest model for the pair in `source` and put it in the model's folder.

    Raises ModelError: no model for the pair, no network, or a hash that differs.
    """
    with place.exclusive(spec.name):
        present = place.installed(spec)
        if present:
            return present
        try:
            files = _newest(spec, _records(offline=False))
            base = _attachments()
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise _no_list(error) from error
        if not files:
            raise ModelError(
                f"{spec.name}: Firefox Translations has no model for {source.location}",
                "name another model with --model; `nlpcli models list` shows those there are",
            )
        with place.staging(registry.store_folder(spec.name)) as folder:
            staged = folder / "files"
            staged.mkdir()
            with bar(f"pulling {spec.name}", sum(file.size for file in files)) as advance_to:
                done = 0
                for file in files:

                    def advance(size: int, before: int = done) -> None:
                        advance_to(before + size)

                    _fetch(spec, file, base, staged, advance)
                    done += file.size
            return place.install(spec, "firefox", staged)


def _no_list(error: Exception) -> ModelError:
    reason = getattr(error, "reason", error)  # urllib wraps what happened
    reason = f"it lacks {error}" if isinstance(error, LookupError) else reason
    return ModelError(f"the list of Firefox Translations models cannot be had: {reason}", _HINT)


def _records(offline: bool) -> str:
    """The body of the records endpoint, at most a day old unless `offline`; "" where unknown."""
    from fxtranslate import discovery

    url = discovery.records_url()
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    kept = cache_dir() / f"firefox-{digest}.json"
    body = _usable(kept)
    if offline or (body and 0 <= time.time() - kept.stat().st_mtime < _DAY):
        return body
    try:
        fresh = _read(url).decode("utf-8")
        discovery.parse_records(fresh)
    except (OSError, ValueError):
        if body:
            return body
        raise
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f".{kept.name}.{os.getpid()}")
    partial.write_text(fresh, encoding="utf-8")
    partial.replace(kept)
    return fresh


def _usable(kept: Path) -> str:
    from fxtranslate import discovery

    try:
        body = kept.read_text(encoding="utf-8")
        discovery.parse_records(body)
    except (OSError, ValueError):
        return ""
    return body


def _newest(spec: ModelSpec, body: str) -> list[_File]:
    """The files of the newest usable model for the pair; [] where there is none.

    Of several with the same version the one with the best quality: base, base-memory, tiny.
    """
    from fxtranslate import discovery

    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    source, target = spec.languages
    for record in json.loads(body or "{}").get("data", ()):
        languages = record.get("sourceLanguage"), record.get("targetLanguage")
        if languages == (source, target) and record.get("attachment"):
            key = str(record.get("version", "")), str(record.get("architecture") or "")
            groups.setdefault(key, []).append(record)
    usable = []
    for (version, architecture), group in groups.items():
        kinds = {record.get("fileType") for record in group}
        vocabulary = "vocab" in kinds or {"srcvocab", "trgvocab"} <= kinds
        # Asking for the pair tells whether this engine reads models of that version.
        if vocabulary and discovery.model_pairs(json.dumps({"data": group})):
            rank = _QUALITY.index(architecture) if architecture in _QUALITY else -1
            usable.append((_ordered(version), rank, version, architecture))
    if not usable:
        return []
    *_, version, architecture = max(usable)
    return [
        _File(
            str(record["name"]),
            str(record["attachment"]["location"]),
            int(record["attachment"]["size"]),
            str(record["attachment"]["hash"]),
            str(record.get("decompressedHash") or ""),
        )
        for record in groups[version, architecture]
        if record.get("fileType") in _KINDS
    ]


def _ordered(version: str) -> tuple[tuple[int, ...], float]:
    """`version` so that 3.0a1 < 3.0 < 3.1."""
    match = re.fullmatch(r"(\d+(?:\.\d+)*)(?:[ab](\d+))?", version)
    if not match:
        return (), 0
    numbers = tuple(int(number) for number in match[1].split("."))
    return numbers, float(match[2]) if match[2] else float("inf")


def _attachments() -> str:
    """Where attachments lie: the server's own word, as Remote Settings specifies."""
    from fxtranslate import discovery

    root, found, _ = discovery.records_url().partition("/buckets/")
    if not found:
        raise ValueError(f"not an address of Remote Settings: {root}")
    base = str(json.loads(_read(f"{root}/"))["capabilities"]["attachments"]["base_url"])
    if root.startswith("https://") and not base.startswith("https://"):
        raise ValueError(f"its files are offered without https: {base}")
    return base.rstrip("/") + "/"


def _fetch(
    spec: ModelSpec, file: _File, base: str, staged: Path, advance_to: Callable[[int], None]
) -> None:
    """Write the verified, unpacked `file` to `staged`."""
    from fxtranslate import discovery

    if Path(file.name).name != file.name or file.name.startswith("."):
        raise ModelError(f"{spec.name}: unsafe file name {file.name!r}")
    try:
        content = _read(base + file.location, advance_to)
    except OSError as error:
        raise ModelError(
            f"{spec.name}: {file.name} cannot be downloaded: {error}", _HINT
        ) from error
    wrong = ModelError(
        f"{spec.name}: {file.name} is not the file announced (its sha256 differs)",
        "nothing was kept; the download was cut off or tampered with: try again",
    )
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise wrong
    if content.startswith(_ZSTANDARD):
        try:
            content = discovery.verify_and_decompress(content, file.plain or None)
        except ValueError as error:
            raise wrong from error
    elif file.plain and hashlib.sha256(content).hexdigest() != file.plain:
        raise wrong
    (staged / file.name.removesuffix(".zst")).write_bytes(content)


def _read(url: str, advance_to: Callable[[int], None] = lambda size: None) -> bytes:
    """The content of `url`. Raises OSError, or ValueError for what is no web address."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"not a web address: {url}")
    request = urllib.request.Request(url, headers={"User-Agent": f"nlpcli/{__version__}"})
    content = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            if url.startswith("https:") and not response.url.startswith("https:"):
                raise OSError(f"{url} leads to an address without https")
            while block := response.read(1 << 16):
                content += block
                advance_to(len(content))
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    return bytes(content)
