"""TAB in bash, zsh and fish: the committed scripts in the real shells."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command import COMMAND, run
from nlpcli.cli import COMMANDS
from terminal import Terminal

SCRIPTS = Path(__file__).parents[2] / "completions"
Complete = Callable[[str], list[str]]

# What is typed, and the words it becomes; the candidates where there are several.
WORDS = {
    "nlpcli tr": ["translate"],
    "nlpcli models sh": ["models", "show"],
    "nlpcli --vers": ["--version"],
    "nlpcli translate --off": ["translate", "--offline"],
    "nlpcli translate --on-error sk": ["translate", "--on-error", "skip"],
    "nlpcli translate --on-error=sk": ["translate", "--on-error=skip"],
    "nlpcli translate -qi js": ["translate", "-qi", "jsonl"],
    "nlpcli translate --text a: -d cud": ["translate", "--text", "a:", "-d", "cuda"],
    "nlpcli translate --to pt -m bergamot-en": ["translate", "--to", "pt", "-m", "bergamot-en-pt"],
    "nlpcli models pull bergamot-pt": ["models", "pull", "bergamot-pt-en"],
    "nlpcli translate -m my": ["translate", "-m", "mymodel/"],
    "nlpcli translate da": ["translate", "data file.jsonl"],
    "nlpcli translate -o da": ["translate", "-o", "data file.jsonl"],
    "nlpcli translate --output=da": ["translate", "--output=data file.jsonl"],
    "nlpcli translate --beam da": ["translate", "--beam", "da"],
    "nlpcli devices da": ["devices", "da"],
}
LISTS = {
    "nlpcli ": sorted(COMMANDS),
    "nlpcli models ": ["add", "list", "pull", "remove", "show", "verify"],
    "nlpcli translate --on-error ": ["fail", "null", "skip"],
    "nlpcli translate --n": ["--nbest", "--no-dedupe", "--no-progress"],
}
BASH = ["bash", "--norc", "--noprofile", "-i"]
ZSH = ["zsh", "-f", "-i"]
FISH = ["fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"']
STARTS = {
    "bash": (BASH, ["source {0}/nlpcli.bash"]),
    "bash eval": (BASH, ['eval "$(nlpcli --show-completion bash)"']),
    "zsh": (ZSH, ["fpath=({0} $fpath)", "autoload -Uz compinit", "compinit -u -D"]),
    "zsh sourced": (
        ZSH,
        ["autoload -Uz compinit", "compinit -u -D", "source {0}/_nlpcli"],
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home and working folder with a file and a model's folder to complete."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "data file.jsonl").touch()
    (folder / "mymodel").mkdir()
    return folder


@pytest.fixture(scope="module")
def variables(folder: Path) -> dict[str, str]:
    path = f"{Path(COMMAND).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "XDG_DATA_HOME": str(folder / ".local")}


def needed(shell: str) -> None:
    if shutil.which(shell) is None:
        assert os.environ.get("CI") != "true", f"install {shell}"
        pytest.skip(f"{shell} is not installed")


@pytest.fixture(scope="module", params=list(STARTS))
def terminal(
    request: pytest.FixtureRequest, folder: Path, variables: dict[str, str]
) -> Iterator[Terminal]:
    command, start = STARTS[request.param]
    needed(command[0])
    quiet = {
        "bash": ["bind 'set bell-style none'", "bind 'set enable-bracketed-paste off'"],
        "zsh": ["unset zle_bracketed_paste", "bindkey -e"],
    }[command[0]]
    lines = ["PS1='> '", *quiet, *(line.format(SCRIPTS) for line in start)]
    terminal = Terminal(command, lines, folder, variables)
    yield terminal
    terminal.close()


@pytest.mark.parametrize("typed", WORDS)
def test_bash_and_zsh_complete(terminal: Terminal, typed: str) -> None:
    words = [word.removesuffix("/") for word in terminal.completed(typed)]
    assert words == ["nlpcli", *(word.removesuffix("/") for word in WORDS[typed])]


@pytest.mark.parametrize("typed", LISTS)
def test_bash_and_zsh_list(terminal: Terminal, typed: str) -> None:
    shown = terminal.listed(typed, LISTS[typed][-1])
    assert set(LISTS[typed]) <= set(shown.split())


@pytest.fixture
def fish(folder: Path, variables: dict[str, str]) -> Complete:
    """What fish offers for the last word."""
    needed("fish")

    def complete(typed: str) -> list[str]:
        done = subprocess.run(
            [*FISH, str(SCRIPTS / "nlpcli.fish"), typed],
            cwd=folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert done.stderr == ""
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    return complete


@pytest.mark.parametrize("typed", WORDS)
def test_fish_completes(fish: Complete, typed: str) -> None:
    last = WORDS[typed][-1]
    assert fish(typed) == ([] if typed.endswith(f" {last}") else [last])


@pytest.mark.parametrize("typed", LISTS)
def test_fish_lists(fish: Complete, typed: str) -> None:
    assert sorted(fish(typed)) == LISTS[typed]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(shell: str) -> None:
    name = {"bash": "nlpcli.bash", "zsh": "_nlpcli", "fish": "nlpcli.fish"}[shell]
    done = run("--show-completion", shell)
    assert done.returncode == 0 and done.stdout == (SCRIPTS / name).read_bytes()


def test_an_unknown_shell_is_wrong_usage() -> None:
    done = run("--show-completion", "csh")
    assert done.returncode == 2 and b"bash, zsh, fish" in done.stderr


def test_languages_carry_their_names() -> None:
    done = run("translate", "--to", "p", _NLPCLI_COMPLETE="test")
    assert b"pt\tPortuguese\n" in done.stdout


def test_given_options_are_not_offered_again() -> None:
    done = run("translate", "-q", "--to", "pt", "-", _NLPCLI_COMPLETE="test")
    offered = {line.split("\t")[0] for line in done.stdout.decode().splitlines()}
    assert {"-o", "--output", "--from"} <= offered
    assert not {"-q", "--quiet", "--to"} & offered


def processor_seconds() -> float:
    """What the processes run so far have computed: other work on the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_tab_imports_nothing_heavy_and_is_quick() -> None:
    words = ["translate", "-m", "bergamot"]
    times = []
    for _ in range(3):
        begun = processor_seconds()
        done = run(*words, _NLPCLI_COMPLETE="test")
        times.append(processor_seconds() - begun)
    assert b"bergamot-en-pt\n" in done.stdout
    assert min(times) < 0.35
    shown = run(*words, _NLPCLI_COMPLETE="test", PYTHONPROFILEIMPORTTIME="1").stderr.decode()
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in shown.splitlines()}
    assert "nlpcli" in imported
    assert not imported & {"torch", "transformers", "numpy", "rich", "huggingface_hub"}
