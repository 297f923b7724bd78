"""`nlpcli models`: what it prints, what it keeps, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import hub_server
from command import COMMAND, run, start
from nlpcli import __version__
from wheel_index import Index, serving

MEMBERS = {"tiny_model/model.enxx.intgemm.bin": b"weights", "tiny_model/vocab.enxx.spm": b"words"}


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with serving() as served:
        for name, value in served.environment().items():
            monkeypatch.setenv(name, value)
        yield served


def models(*arguments: str, code: int = 0) -> tuple[str, str]:
    """Run `nlpcli models`; its standard output and error."""
    done = run("models", *arguments)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def add_tiny(index: Index) -> None:
    sha256 = index.add("tiny-model", "1.0", MEMBERS)
    files = [part for member in MEMBERS for part in ("--file", member)]
    models("add", "tiny", "tiny-model==1.0", "--sha256", sha256, *files)


def test_the_whole_life_of_a_wheel_model(index: Index, home: Path) -> None:
    add_tiny(index)
    assert "tiny\ttranslate\t\t\t\tno\n" in models("list")[0]
    assert "folder:       not here" in models("show", "tiny")[0]
    stdout, stderr = models("pull", "tiny")
    folder = home / "cache" / "nlpcli" / "models" / "tiny"
    assert (stdout, stderr) == (f"tiny\t{folder}\n", "")
    assert models("pull", "tiny")[0] == stdout
    assert len(index.downloads) == 1
    shown = models("show", "tiny")[0]
    assert f"folder:       {folder}" in shown
    assert "found in:     the user's registry" in shown
    assert "format:       bergamot" in shown
    assert models("list", "--pulled")[0].count("\n") == 2
    assert models("verify") == ("tiny\tok\n", "")

    (folder / "vocab.enxx.spm").write_bytes(b"wordz")
    assert "\tchanged\n" in models("list", "--pulled")[0]
    stdout, stderr = models("verify", "tiny", code=3)
    assert stdout == "tiny\tchanged: vocab.enxx.spm\n"
    assert "vocab.enxx.spm" in stderr
    assert "nlpcli models pull tiny" in stderr
    models("pull", "tiny")
    assert (folder / "vocab.enxx.spm").read_bytes() == b"words"

    assert models("remove", "tiny") == ("", "")
    assert not folder.exists()
    assert "no model called tiny" in models("show", "tiny", code=3)[1]
    assert "not here" in models("remove", "tiny", code=3)[1]


def test_several_pulls_go_on_after_a_failure(index: Index) -> None:
    add_tiny(index)
    models("add", "none", "no-such==1", "--sha256", "0" * 64, "--file", "x.gguf")
    stdout, stderr = models("pull", "none", "tiny", code=3)
    assert stdout.startswith("tiny\t")
    assert "none: no-such==1 cannot be downloaded" in stderr


def on_terminal(*arguments: str) -> list[str]:
    """The lines that `nlpcli models` shows on a terminal of 80 columns, without colours."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "models", *arguments],
        stdout=follower,
        stderr=follower,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    try:
        while block := os.read(leader, 65536):
            shown += block
    except OSError:
        # The terminal is gone with the process.
        pass
    os.close(leader)
    assert process.wait(timeout=20) == 0, shown
    return re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", shown.decode()).splitlines()


def test_a_terminal_shows_progress_and_nothing_of_pip(index: Index) -> None:
    add_tiny(index)
    index.seconds = 0.5
    lines = [line.strip() for line in on_terminal("pull", "tiny") if line.strip()]
    assert any(line.startswith("pulling tiny") for line in lines)
    assert all(line.startswith(("pulling tiny", "tiny\t", "tiny ")) for line in lines), lines


def test_a_hub_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"config.json": b'{"model_type": "marian"}', "model.safetensors": bytes(8) + b"{}"}
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub_server.serving() as hub:
        commit = hub.push("acme/tiny", files)
        hub.private["acme/tiny"] = "hf_secret"
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        _, stderr = models("pull", "acme/tiny", code=3)
        assert stderr.splitlines()[0].startswith("nlpcli: acme/tiny: gated, private, or no such")
        assert len(stderr.splitlines()) == 2
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        processes = [start("models", "pull", "acme/tiny") for _ in range(2)]
        for process in processes:
            stdout, stderr_bytes = process.communicate(timeout=60)
            assert stdout.startswith(b"acme/tiny\t")
            assert stderr_bytes in (
                b"",
                b"nlpcli: waiting for another process that prepares acme/tiny\n",
            )
        assert sorted(hub.downloads()) == sorted(files)
        monkeypatch.delenv("HF_TOKEN")
        shown = models("show", "acme/tiny")[0]
        assert f"commit:       {commit}" in shown
        assert "licence:      apache-2.0" in shown
        seen = len(hub.requests)
        assert models("pull", "--offline", "acme/tiny")[0].startswith("acme/tiny\t")
        assert models("verify") == ("acme/tiny\tok\n", "")
        assert len(hub.requests) == seen
        models("remove", "acme/tiny")
        assert not list((home / "huggingface").rglob("model.safetensors"))


def test_a_damaged_file_does_not_hide_the_others(home: Path) -> None:
    entry = home / "data" / "nlpcli" / "registry" / "bad.json"
    pulled = home / "cache" / "nlpcli" / "models" / "worse" / "nlpcli.json"
    for file in (entry, pulled):
        file.parent.mkdir(parents=True)
        file.write_text('{"a": 1}')
    for options in ((), ("--pulled",), ("--task", "translate")):
        stdout, stderr = models("list", *options)
        assert ("bergamot-en-pt" in stdout) == (options != ("--pulled",))
        assert f"{entry}: damaged" in stderr
        assert f"{pulled}: damaged" in stderr
    assert "damaged" in models("show", "bad", code=3)[1]
    models("remove", "bad", "worse")
    assert models("list")[1] == ""


def test_verify_a_folder_of_the_users_own(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "marian"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "optimizer.pt").write_bytes(b"not the model's")
    models("add", "mine", str(folder))
    assert models("verify") == ("mine\tok\n", "")
    (folder / "optimizer.pt").write_bytes(b"other")
    assert models("verify", "mine") == ("mine\tok\n", "")
    (folder / "model.safetensors").write_bytes(b"weightz")
    stdout, stderr = models("verify", code=3)
    assert stdout == "mine\tchanged: model.safetensors\n"
    assert "nlpcli models remove mine, and add it again" in stderr
    assert models("verify", str(folder)) == (f"{folder}\tno hashes kept\n", "")


def test_offline(index: Index) -> None:
    add_tiny(index)
    assert "not on this machine" in models("pull", "--offline", "tiny", code=3)[1]
    assert index.downloads == []


def test_a_folder_of_the_users_own_is_never_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "marian"}')
    models("add", "marian-mine", str(folder))
    shown = models("show", "marian-mine")[0]
    assert f"folder:       {folder}" in shown
    assert "architecture: marian" in shown
    assert "already there" in models("add", "marian-mine", str(folder), code=2)[1]
    models("remove", "marian-mine")
    assert (folder / "config.json").exists()
    assert "left alone" in models("remove", str(folder), code=3)[1]
    assert (folder / "config.json").exists()
    models("add", "gone", str(folder))
    (folder / "config.json").unlink()
    folder.rmdir()
    assert "is gone" in models("pull", "gone", code=3)[1]


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (("bad name", "acme/tiny"), 2, "not a model name"),
        (("x", "nothing"), 2, "not a folder, a wheel or a Hub repository"),
        (("x", "wheel==1"), 2, "needs --sha256"),
        (("x", "acme/tiny", "--sha256", "0" * 64), 2, "are for wheels"),
    ],
)
def test_what_cannot_be_added(arguments: tuple[str, ...], code: int, message: str) -> None:
    assert message in models("add", *arguments, code=code)[1]


def trained(home: Path, scores: list[dict[str, object]], base: str = "minilm-l6") -> Path:
    """A folder such as `nlpcli finetune` leaves, of the model "mine"."""
    folder = home / "data" / "nlpcli" / "models" / "mine"
    folder.mkdir(parents=True)
    sources = [{"kind": "path", "location": str(folder)}]
    spec = {"name": "mine", "tasks": ["classify"], "format": "transformers", "sources": sources}
    described = {"nlpcli": __version__, "origin": "user", "spec": spec}
    made = {
        "task": "classify",
        "base": base,
        "records": {"train": 1234, "valid": 56},
        "files": {"train.csv": "a" * 64, "valid.csv": "b" * 64},
        "scores": scores,
    }
    for name, content in ("config", {}), ("nlpcli", described), ("training", made):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "recipe.toml").write_text('task = "classify"\n')
    return folder


def test_show_tells_how_a_model_was_trained(home: Path) -> None:
    scores = [
        {"epoch": epoch, "loss": loss, "figures": {"accuracy": accuracy, "f1": 0.5}, "best": best}
        for epoch, loss, accuracy, best in (
            (1.0, 0.91, 0.61, True),
            (2.0, 0.52, 0.83, True),
            (3.0, 0.77, 0.72, False),
        )
    ]
    folder = trained(home, scores)
    shown = models("show", "mine")[0].splitlines()
    begin = shown.index("base:         minilm-l6")
    assert shown[begin:] == [
        "base:         minilm-l6",
        "learnt from:  1,234 records, scored on 56",
        f"data:         {'a' * 64}  train.csv",
        f"data:         {'b' * 64}  valid.csv",
        "scores:       accuracy 0.83, f1 0.5, loss 0.52",
        "epoch:        2 of 3",
        f"recipe:       {folder / 'recipe.toml'}",
    ]
    assert "task:         classify" in shown and f"folder:       {folder}" in shown


def test_show_a_new_model_that_was_never_scored(home: Path) -> None:
    trained(home, [], base="")
    shown = models("show", "mine")[0]
    assert "base:         none: it began from nothing\n" in shown
    assert "scores:" not in shown and "epoch:" not in shown


def test_show_leaves_another_programs_training_file_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "marian"}')
    (tmp_path / "training.json").write_text('{"base": 1, "epochs": 3}')
    models("add", "mine", str(tmp_path))
    shown = models("show", "mine")[0]
    assert f"folder:       {tmp_path}" in shown and "base:" not in shown


def test_add_a_hub_repository_at_a_revision() -> None:
    models("add", "mine", "acme/tiny@v2")
    assert "source:       hub acme/tiny @ v2" in models("show", "mine")[0]


def test_list() -> None:
    lines = models("list")[0].splitlines()
    assert lines[0].split("\t") == ["name", "task", "languages", "size", "licence", "here"]
    assert "bergamot-en-pt\ttranslate\ten pt\t35479960\tMPL-2.0\tno" in lines
    assert any(line.startswith("opus-mt-en-de\t") for line in lines)
    assert {line.count("\t") for line in lines} == {5}
    objects = [json.loads(line) for line in models("list", "--json")[0].splitlines()]
    assert len(objects) == len(lines) - 1
    (pair,) = [each for each in objects if each["name"] == "bergamot-en-pt"]
    assert pair["languages"] == ["en", "pt"]
    assert pair["here"] == "no"


def test_list_on_a_terminal_fits_80_columns() -> None:
    lines = on_terminal("list")
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("opus-mt-") for line in lines) == 1
    assert any(line.split()[0] == "bert-base-multilingual-cased" for line in lines), "not folded"
    assert any(line.split()[:3] == ["bergamot-en-pt", "translate", "en"] for line in lines)
    assert any("opus-mt-XX-YY" in line for line in lines)


def test_show_an_unknown_name() -> None:
    stderr = models("show", "opus-mt-en-ed", code=3)[1]
    assert "nlpcli: no model called opus-mt-en-ed\n" in stderr
    assert "opus-mt-en-de" in stderr


def test_a_built_in_name_is_not_for_another_model(tmp_path: Path) -> None:
    _, error = models("add", "bergamot-en-pt", str(tmp_path), code=2)
    assert "built-in" in error


def test_list_an_unknown_task() -> None:
    _, error = models("list", "--task", "foo", code=2)
    assert "translate" in error


def test_a_model_on_a_server() -> None:
    shown = models("show", "openai:acme/big")[0]
    assert "found in:     an OpenAI-compatible server\n" in shown
    assert "source:       openai acme/big\n" in shown
    for command in ("pull", "verify"):
        assert "stays on its server" in models(command, "openai:acme/big", code=3)[1]
    assert "not here" in models("remove", "openai:acme/big", code=3)[1]
    assert "openai:" not in models("list")[0]
