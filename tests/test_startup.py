"""What each start may import: the guard on start-up time that does not depend on the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from command import COMMAND

HEAVY = {
    "torch",
    "transformers",
    "numpy",
    "ctranslate2",
    "sentencepiece",
    "tokenizers",
    "huggingface_hub",
    "sacrebleu",
    "rouge_score",
    "rapidfuzz",
    "nltk",
    "sklearn",
    "requests",
    "urllib3",
    "httpx",
    "yaml",
    "asyncio",
}
# The modules of our own that each start may import.
VERSION = {
    "nlpcli",
    "nlpcli.__main__",
    "nlpcli.cli",
    "nlpcli.errors",
    "nlpcli.cli.config",
    "nlpcli.settings",
}


def imported(*arguments: str, stdin: str = "") -> set[str]:
    """The modules that `nlpcli` with `arguments` has imported by its end."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert lines and done.returncode == 0, done.stderr[-2000:]
    return {line.rpartition("|")[2].strip() for line in lines}


def heavy(modules: set[str]) -> set[str]:
    return {module for module in modules if module.split(".")[0] in HEAVY}


def test_version_imports_next_to_nothing() -> None:
    modules = imported("--version")
    assert heavy(modules) == set()
    assert "rich" not in modules
    assert {name for name in modules if name.split(".")[0] == "nlpcli"} <= VERSION


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["translate", "--help"],
        ["generate", "--help"],
        ["chat", "--help"],
        ["devices", "--help"],
        ["finetune", "--help"],
        ["finetune", "classify", "--help"],
        ["eval", "--help"],
        ["eval", "translate", "--help"],
        ["eval", "summarize", "--help"],
        ["eval", "classify", "--help"],
    ],
)
def test_help_imports_no_model_library(arguments: list[str]) -> None:
    assert heavy(imported(*arguments)) == set()


def test_bleu_imports_no_numpy(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("It is late.\n")
    arguments = ["--hyp", str(file), "--ref", str(file), "--metric", "bleu"]
    modules = imported("eval", "translate", *arguments)
    assert heavy(modules) - {each for each in modules if each.startswith("sacrebleu")} == set()


@pytest.mark.usefixtures("weights")
def test_one_line_imports_only_its_engine() -> None:
    modules = imported("translate", "--to", "pt", stdin="The weather is nice.\n")
    assert heavy(modules) == set()
    unneeded = {"rich", "tomllib", "multiprocessing", "csv", "ctypes", "secrets"}
    assert modules & (unneeded | {"filelock", "zstandard", "gzip"}) == set()
    assert {"fxtranslate", "sentencex", "pycld2"} <= modules


@pytest.mark.usefixtures("weights")
def test_one_prompt_imports_only_its_engine() -> None:
    modules = imported("generate", "--max-tokens", "1", "-q", stdin="Say hello.\n")
    assert heavy(modules) == set()
    unneeded = {"rich", "tomllib", "multiprocessing", "csv", "secrets", "concurrent.futures"}
    assert modules & (unneeded | {"readline", "zstandard", "gzip", "httpx2", "jinja2"}) == set()
    assert "xllamacpp" in modules
