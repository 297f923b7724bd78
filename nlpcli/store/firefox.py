"""Firefox Translations models from Mozilla's Remote Settings, found by fxtranslate's rules."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpcli import __version__, registry
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.settings import cache_dir
from nlpcli.store import place
from nlpcli.store.progress import bar

_DAY = 24 * 60 * 60
_TIMEOUT = 20
_ATTACHMENTS = "https://firefox-settings-attachments.cdn.mozilla.net/"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_QUALITY = ("tiny", "base-memory", "base")
_HINT = "check the network and the proxy settings, or name another model with --model"

Record = dict[str, Any]


def pairs(offline: bool = False) -> list[tuple[str, str]]:
    """The (source, target) pairs that have a model of their own; [] where the list is not to be
    had. It is kept for a day; `offline` uses whatever is kept."""
    from fxtranslate import discovery

    try:
        body = _records(offline)
        found: list[tuple[str, str]] = discovery.model_pairs(body) if body else []
    except (OSError, ValueError):
        return []
    return found


def pull(spec: ModelSpec) -> LocalModel:
    """Download the newest model for the pair in `spec` and put it in the model's folder.

    Raises ModelError: no model for the pair, no network, or a hash that differs.
    """
    pair = next(source.location for source in spec.sources if source.kind == "firefox")
    with place.exclusive(spec.name):
        present = place.installed(spec)
        if present:
            return present
        try:
            records = _newest(spec, _records(offline=False))
            base = _attachments()
            total = sum(int(record["attachment"]["size"]) for record in records)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{spec.name}: the list of Firefox Translations models cannot be had: {error}",
                _HINT,
            ) from error
        if not records:
            raise ModelError(
                f"{spec.name}: Firefox Translations has no model for {pair}",
                "name another model with --model; `nlpcli models list` shows those there are",
            )
        with place.staging(registry.store_folder(spec.name)) as folder:
            staged = folder / "files"
            staged.mkdir()
            with bar(f"pulling {spec.name}", total) as advance_to:
                done = 0
                for record in records:
                    done = _fetch(spec, record, base, staged, done, advance_to)
            return place.install(spec, "firefox", staged)


def _records(offline: bool) -> str:
    """The body of the records endpoint, at most a day old unless `offline`; "" where unknown."""
    from fxtranslate import discovery

    url = discovery.records_url()
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    kept = cache_dir() / f"firefox-{digest}.json"
    age = time.time() - kept.stat().st_mtime if kept.exists() else None
    if age is not None and (offline or 0 <= age < _DAY):
        return kept.read_text(encoding="utf-8")
    if offline:
        return ""
    try:
        with _open(url) as response:
            body: str = response.read().decode("utf-8")
        discovery.parse_records(body)
    except (OSError, ValueError):
        if age is not None:
            return kept.read_text(encoding="utf-8")
        raise
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f".{kept.name}.{os.getpid()}")
    partial.write_text(body, encoding="utf-8")
    partial.replace(kept)
    return body


def _newest(spec: ModelSpec, body: str) -> list[Record]:
    """The records of the newest usable model for the pair; [] where there is none.

    Of several with the same version the one with the best quality: base, base-memory, tiny.
    """
    from fxtranslate import discovery

    groups: dict[tuple[str, str], list[Record]] = {}
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
        record
        for record in groups[version, architecture]
        if record.get("fileType") in ("model", "vocab", "srcvocab", "trgvocab", "lex")
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
        return _ATTACHMENTS
    with _open(f"{root}/") as response:
        base = json.load(response)["capabilities"]["attachments"]["base_url"]
    return str(base).rstrip("/") + "/"


def _fetch(
    spec: ModelSpec,
    record: Record,
    base: str,
    staged: Path,
    done: int,
    advance_to: Callable[[int], None],
) -> int:
    """Write the verified, unpacked file of `record`; the bytes downloaded so far."""
    from fxtranslate import discovery

    attachment = record["attachment"]
    name = Path(str(record["name"])).name
    if name != record["name"] or name.startswith("."):
        raise ModelError(f"{spec.name}: unsafe file name {record['name']!r}")
    content = bytearray()
    try:
        with _open(base + attachment["location"]) as response:
            while block := response.read(1 << 16):
                content += block
                advance_to(done + len(content))
    except OSError as error:
        raise ModelError(f"{spec.name}: {name} cannot be downloaded: {error}", _HINT) from error
    wrong = ModelError(
        f"{spec.name}: {name} is not the file announced (its sha256 differs)",
        "nothing was kept; the download was cut off or tampered with: try again",
    )
    if hashlib.sha256(content).hexdigest() != attachment["hash"]:
        raise wrong
    plain = bytes(content)
    expected = record.get("decompressedHash")
    if plain.startswith(_ZSTANDARD):
        try:
            plain = discovery.verify_and_decompress(plain, expected)
        except ValueError as error:
            raise wrong from error
    elif expected and hashlib.sha256(plain).hexdigest() != expected:
        raise wrong
    (staged / name.removesuffix(".zst")).write_bytes(plain)
    return done + len(content)


def _open(url: str) -> Any:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"not a web address: {url}")
    request = urllib.request.Request(url, headers={"User-Agent": f"nlpcli/{__version__}"})
    return urllib.request.urlopen(request, timeout=_TIMEOUT)
