"""The command over models that a local hub and a local Firefox server offer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import hub_server
import records_server
import tiny_models
from command import run
from hub_server import Hub

REPOSITORY = "Helsinki-NLP/opus-mt-en-de"
TEXT = "the old house\n\nthe doctor reads a small letter\n"


@pytest.fixture(scope="session")
def tiny_marian(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tiny_models.marian(tmp_path_factory.mktemp("marian"))
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def hub(tiny_marian: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.serving() as hub:
        hub.push(REPOSITORY, tiny_marian)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield hub


def test_a_hub_model_by_its_short_name_and_then_offline(hub: Hub) -> None:
    command = ["translate", "--to", "de", "-m", "opus-mt-en-de"]
    first = run(*command, stdin=TEXT)
    assert first.returncode == 0, first.stderr.decode()
    lines = first.stdout.decode().split("\n")
    assert len(lines) == 4 and lines[1] == "" and lines[0] and lines[2]
    seen = len(hub.requests)
    again = run(*command, "--offline", stdin=TEXT)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert len(hub.requests) == seen


def test_both_backends_give_the_same_answers_and_scores(hub: Hub) -> None:
    command = [
        "translate",
        "--to",
        "de",
        "-m",
        "opus-mt-en-de",
        "-f",
        "jsonl",
        "--dtype",
        "float32",
    ]
    options = ["--beam", "4", "--nbest", "2", "--scores"]
    answers = []
    for backend in ("ct2", "torch"):
        done = run(*command, *options, "--backend", backend, stdin=TEXT)
        assert done.returncode == 0, done.stderr.decode()
        answers.append([json.loads(line) for line in done.stdout.splitlines()])
    for one, other in zip(*answers, strict=True):
        assert one["translation"] == other["translation"]
        assert one["score"] == pytest.approx(other["score"], abs=2e-4)
        texts = [[each["translation"] for each in row["translations"]] for row in (one, other)]
        assert texts[0] == texts[1]
    assert len(answers[0][0]["translations"]) == 2


def test_a_model_of_one_direction_refuses_another(hub: Hub) -> None:
    done = run("translate", "--to", "fr", "-m", "opus-mt-en-de", "--text", "a")
    assert done.returncode == 2
    assert b"opus-mt-en-de translates en to de, not en to fr" in done.stderr


def test_a_name_that_is_nearly_one() -> None:
    done = run("translate", "--to", "de", "-m", "opus-mt-en-ed", "--text", "a")
    assert done.returncode == 3
    what, hint = done.stderr.decode().splitlines()
    assert what == "nlpcli: no model called opus-mt-en-ed"
    assert "opus-mt-en-de" in hint


def test_another_pair_from_firefox_and_a_pivot_through_english(
    weights: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = home / "cache-of-its-own"
    shutil.copytree(weights, own)
    monkeypatch.setenv("XDG_CACHE_HOME", str(own))
    folder = weights / "nlpcli" / "models" / "bergamot-en-pt"
    files = {
        f"{kind}.ende{file.suffix}": file.read_bytes()
        for kind in ("model", "vocab", "lex")
        for file in folder.glob(f"{kind}*")
    }
    with records_server.serving() as settings:
        settings.offer("en", "de", files)
        monkeypatch.setenv("FXTRANSLATE_RECORDS_URL", settings.url + records_server.RECORDS)
        direct = run("translate", "--from", "en", "--to", "de", "--text", "Good morning.")
        assert (direct.returncode, direct.stdout.decode()) == (0, "Bom dia.\n"), direct.stderr
        pivot = run("translate", "--from", "pt", "--to", "de", "--text", "Bom dia.", "-v")
        assert (pivot.returncode, pivot.stdout.decode()) == (0, "Bom dia.\n"), pivot.stderr
        assert b"bergamot-pt-en" in pivot.stderr and b"bergamot-en-de" in pivot.stderr
    again = run("translate", "--from", "pt", "--to", "de", "--offline", "--text", "Bom dia.")
    assert (again.returncode, again.stdout.decode()) == (0, "Bom dia.\n")
    listed = run("models", "list", "--pulled").stdout
    assert b"bergamot-en-de" in listed
