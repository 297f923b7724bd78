"""Runs models over data, each in a process of its own, and keeps what they put out in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import typer

from nlpcli import __version__, registry, store
from nlpcli.cli.eval.data import OUTPUT_FIELD, Cost, text_fields
from nlpcli.cli.eval.options import Scoring
from nlpcli.errors import DeviceError, ExitCode
from nlpcli.records import Reader, format_of
from nlpcli.settings import cache_dir, config_file

_BY_LINE = {"generate": ["--lines"], "summarize": ["--lines"]}
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Run(NamedTuple):
    """What `model` put out, as JSON Lines in `path`."""

    model: str
    path: str
    cost: Cost


def run(verb: Sequence[str], given: Scoring, *options: str) -> list[Run]:
    """What each model that `given` names puts out over the data when the command `verb` runs it
    with `options`; from the cache where it is there and nothing has changed since.

    Raises typer.Exit with the code of a run that failed, which has said why.
    """
    asked = [*_reading(verb, given), *_placing(given), *options, *(given.options or [])]
    return [_run(verb, model, given, asked) for model in given.model or ()]


def _reading(verb: Sequence[str], given: Scoring) -> list[str]:
    """How the data is read."""
    assert given.data
    named = ["--input-format", given.input_format] if given.input_format != "auto" else []
    if "text" in (given.input_format, format_of(given.data)):
        return [*named, *_BY_LINE.get(verb[0], ())]
    fields = text_fields(given)
    reader = Reader([given.data], given.input_format, fields[0], also=fields[1:])
    first = next(record for chunk in reader for record in chunk).fields("")
    return [*named, "--field", next((name for name in fields if name in first), fields[0])]


def _placing(given: Scoring) -> list[str]:
    chosen = {"--device": given.device, "--backend": given.backend, "--dtype": given.dtype}
    placed = [word for name, value in chosen.items() if value != "auto" for word in (name, value)]
    return [*placed, "--offline"] if given.offline else placed


def _run(verb: Sequence[str], model: str, given: Scoring, asked: Sequence[str]) -> Run:
    assert given.data
    kept = ["--output-format", "jsonl", "--output-field", OUTPUT_FIELD]
    words = [*verb, "--model", model, *kept, *asked]
    folder = cache_dir() / "eval"
    determining = json.dumps([*_determining(words, model, given)])
    key = hashlib.sha256(determining.encode()).hexdigest()[:32]
    outputs, cost = folder / f"{key}.jsonl", folder / f"{key}.json"
    if not given.fresh and outputs.exists():
        with suppress(OSError, ValueError, TypeError):
            return Run(model, str(outputs), Cost(**json.loads(cost.read_text())))
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{key}.{os.getpid()}.jsonl"
    try:
        found = _timed(model, [*words, "--output", str(made), "--", given.data])
        made.replace(outputs)
    finally:
        for left in folder.glob(f"{made.name}*"):
            left.unlink()
    cost.write_text(json.dumps(found._asdict()))
    return Run(model, str(outputs), found)


def _timed(model: str, words: Sequence[str]) -> Cost:
    """Run nlpcli with `words` to its end."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "nlpcli", *words]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        child.kill()
        child.wait()
        raise
    seconds = time.perf_counter() - begun
    if child.returncode < 0:
        raise DeviceError(
            f"{model}: its process was ended by signal {-child.returncode}",
            "where memory ran out, add at the end: -- --batch-size 1",
        )
    # Some records failed, which was asked to go on: what there is can be scored.
    some = child.returncode == ExitCode.FAILED and Path(words[words.index("--output") + 1]).exists()
    if child.returncode and not some:
        raise typer.Exit(child.returncode)
    return Cost(seconds, usage.ru_maxrss * _MAXRSS_UNIT)


def _determining(words: Sequence[str], model: str, given: Scoring) -> Iterator[str]:
    """Everything that the outputs depend on."""
    yield __version__
    for word in words:
        yield word
        if os.path.isfile(word):
            yield _hash(word)
    yield _hash(given.data or "")
    for name, value in sorted(os.environ.items()):
        if name.startswith("NLPCLI_") or name == "OPENAI_BASE_URL":
            yield f"{name}={value}"
    if config_file().is_file():
        yield _hash(config_file())
    if given.backend == "echo":
        return
    folder = store.fetch(registry.find(model).spec, offline=given.offline).folder
    if folder != Path():
        for path in sorted(folder.rglob("*")):
            state = path.stat()
            yield f"{path} {state.st_size} {state.st_mtime_ns}"


def _hash(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
