"""The manual says what the program does: generated, clean, complete, and its examples run."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from command import COMMAND, run
from nlpcli.cli import app
from nlpcli.cli.manual import files
from nlpcli.cli.manual_text import PAGES

ROOT = Path(__file__).parents[1]
MADE = files()
MAN = sorted(name for name in MADE if name.startswith("man/"))
BESIDE_THE_MARGIN = 80 - 14
Example = tuple[str, list[str]]


def examples() -> list[Example]:
    """Each command shown in the manual, and the output shown below it."""
    found: list[Example] = []
    for block in re.findall(r"(?:^    .*\n)+", "\n".join(PAGES.values()), re.MULTILINE):
        if block.startswith("    $ "):
            lines = textwrap.dedent(block).splitlines()
            end = next(i for i, line in enumerate(lines) if line[-1] not in "|\\")
            found.append(("\n".join(lines[: end + 1]).removeprefix("$ "), lines[end + 1 :]))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the examples speak of."""
    (tmp_path / "notes.txt").write_text("It is late.\n\nThe last train has left. We walk.\n")
    (tmp_path / "late.txt").write_text("It is late.\n")
    (tmp_path / "books.csv").write_text('title,year\nThe Trial,1925\n"Oh, what\nfun",1999\n')
    (tmp_path / "labels.tsv").write_text("q1\tplaying football\nq2\tcooking a meal\n")
    for name in ("a", "b"):
        record = json.dumps({"id": name, "text": "The weather is nice today, and warm."})
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(record.encode() + b"\n"))
    return tmp_path


@pytest.mark.parametrize("name", sorted(MADE))
def test_generated_file_is_up_to_date(name: str) -> None:
    file = ROOT / name
    there = file.read_text(encoding="utf-8") if file.exists() else ""
    assert there == MADE[name], f"{name} is out of date; run: python -m nlpcli.cli.manual"


def test_no_page_without_a_command() -> None:
    folders = [*(ROOT / "man").iterdir(), *(ROOT / "completions").iterdir()]
    assert {str(file.relative_to(ROOT)) for file in folders} == set(MADE)


@pytest.mark.parametrize("name", MAN)
def test_mandoc_has_nothing_to_say(name: str) -> None:
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        assert os.environ.get("CI") != "true", "install mandoc"
        pytest.skip("mandoc is not installed")
    done = subprocess.run(
        [mandoc, "-T", "lint", "-W", "warning"],
        input=MADE[name],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stdout + done.stderr == ""


def helps(*command: str) -> dict[tuple[str, ...], str]:
    """The help page of a command and of all below it."""
    done = subprocess.run(
        [COMMAND, *command, "--help"], capture_output=True, text=True, timeout=20, check=True
    )
    pages = {command: done.stdout}
    commands = re.search(r"\nCommands:\n(.*?)\n\n", done.stdout, re.DOTALL)
    for name in re.findall(r"^  (\w+)", commands[1] if commands else "", re.MULTILINE):
        pages |= helps(*command, name)
    return pages


def test_every_option_of_every_command_is_in_its_page() -> None:
    for command, shown in helps().items():
        page = MADE[f"man/nlpcli{''.join(f'-{word}' for word in command[:1])}.1"]
        page = page.replace("\\-", "-").replace("\\%", "")
        options = re.findall(r"^ +(?:-\w, )?(--[\w-]+)", shown, re.MULTILINE)
        assert options
        for option in options:
            assert f"\\fB{option}\\fR" in page, f"{' '.join(command)} {option}"
            variable = "NLPCLI_" + option[2:].upper().replace("-", "_")
            if command and option != "--help" and option not in repeatable(command):
                assert variable in page


def repeatable(words: Sequence[str]) -> set[str]:
    """The options of a command that may be given several times, which have no variable."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.get_command(None, word)
    return {
        name for each in command.params if getattr(each, "multiple", False) for name in each.opts
    }


def test_help_fits_eighty_columns_in_any_terminal() -> None:
    for command, shown in helps().items():
        assert max(map(len, shown.splitlines())) <= 80, command
        assert shown.isascii() and "\x1b" not in shown
        assert "<str>" not in shown and "x>=" not in shown


@pytest.mark.parametrize("command", [[], ["models"]])
def test_a_group_alone_prints_its_help(command: list[str]) -> None:
    done = subprocess.run([COMMAND, *command], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("Usage: nlpcli") and "\nCommands:\n" in done.stderr


@pytest.mark.parametrize("variable", ["NLPCLI_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_offline_variables_hold_for_the_choice_of_a_model(variable: str) -> None:
    done = run("translate", "--from", "de", "--to", "fr", stdin="Hallo.\n", **{variable: "1"})
    assert done.returncode == 3 and b"no model for de to fr on this machine" in done.stderr


def test_examples_fit_eighty_columns() -> None:
    lines = [
        line for example in examples() for line in "\n".join([example[0], *example[1]]).split("\n")
    ]
    assert [line for line in lines if len(line) > BESIDE_THE_MARGIN] == []


@pytest.mark.parametrize("example", examples(), ids=lambda example: example[0].split("\n")[0])
def test_example_runs(example: Example, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without weights: the echo backend stands in, so that only the shape of the output counts."""
    command, shown = example
    monkeypatch.setenv("PATH", f"{Path(COMMAND).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NLPCLI_BACKEND", "echo")
    if command.startswith("nlpcli models remove"):
        subprocess.run([COMMAND, "models", "add", "ende", "a/b"], timeout=20, check=True)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if shown:
        assert [shape(line) for line in done.stdout.splitlines()] == [shape(line) for line in shown]


def shape(line: str) -> object:
    """The names in a JSON object, the number of cells in anything else."""
    return list(json.loads(line)) if line.startswith("{") else line.count("\t")
