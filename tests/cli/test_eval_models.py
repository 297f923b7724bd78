"""`nlpcli eval` that runs models: what it scores, keeps and refuses."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from command import run, start

ECHO = ("--backend", "echo", "-f", "json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "source.txt").write_text("one two\nthree\n\n")
    (tmp_path / "reference.txt").write_text("one two\nfour\n\n")
    (tmp_path / "both.tsv").write_text("source\ttarget\none two\tone two\nthree\tfour\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scores(done: subprocess.CompletedProcess[bytes], system: int = 0) -> dict[str, float]:
    assert (done.returncode, done.stderr) == (0, b"")
    told = json.loads(done.stdout)["systems"][system]
    return {score["metric"]: score["score"] for score in told["scores"]}


def kept(home: Path) -> list[Path]:
    return sorted((home / "cache" / "nlpcli" / "eval").glob("*.jsonl"))


def test_a_real_model_is_run_over_lines_and_scored(weights: Path, folder: Path) -> None:
    Path("en.txt").write_text("The weather is nice today.\nWhere is the station?\n")
    Path("pt.txt").write_text("O tempo está bom hoje.\nOnde fica a estação?\n")
    model = ("-m", "bergamot-en-pt", "--offline")
    done = run("eval", "translate", *model, "--data", "en.txt", "--ref", "pt.txt", "-f", "json")
    translated = run("translate", *model, "--to", "pt", "-o", "by-hand.txt", "en.txt")
    assert translated.returncode == 0
    by_hand = run("eval", "translate", "--hyp", "by-hand.txt", "--ref", "pt.txt", "-f", "json")
    found = scores(done)
    assert {name: found[name] for name in ("bleu", "chrf", "ter")} == scores(by_hand)
    assert found["seconds"] > 0 and found["memory"] > 10
    assert found["speed"] == pytest.approx(2 / found["seconds"])


def test_outputs_are_kept_until_something_changes(home: Path) -> None:
    arguments = ("eval", "generate", "-m", "any", *ECHO, "--data", "both.tsv")
    assert scores(run(*arguments))["exact-match"] == 50
    (outputs,) = kept(home)
    outputs.write_text(outputs.read_text().replace("three", "four"))
    seconds = scores(run(*arguments))["seconds"]
    again = scores(run(*arguments, "--metric", "token-f1"))
    assert (again["exact-match"], again["seconds"]) == (100, seconds)
    assert scores(run(*arguments, "--fresh"))["exact-match"] == 50
    with open("both.tsv", "a") as file:
        file.write("five\tfive\n")
    assert scores(run(*arguments))["exact-match"] == pytest.approx(200 / 3)
    assert len(kept(home)) == 2
    assert scores(run(*arguments, NLPCLI_MAX_TOKENS="3"))["exact-match"] > 0
    assert len(kept(home)) == 3


def test_files_and_models_stand_in_one_table() -> None:
    told = ("--data", "source.txt", "--ref", "reference.txt", "--hyp", "reference.txt")
    done = run("eval", "translate", "-m", "any", "--to", "pt", "--from", "en", *told, *ECHO)
    assert scores(done)["chrf"] == pytest.approx(100)
    assert scores(done)["seconds"] is None
    assert scores(done, 1)["seconds"] > 0
    table = run(
        "eval", "translate", "-m", "any", "--to", "pt", "--from", "en", *told, "--backend", "echo"
    )
    lines = table.stdout.decode().splitlines()
    assert lines[0].split() == [
        *("system", "BLEU", "↑", "chrF2", "↑", "TER", "↓", "rec/s", "↑", "sec", "↓", "MiB", "↓"),
    ]
    assert lines[2].split()[0] == "reference.txt" and lines[2].split()[-3:] == ["–", "–", "–"]
    assert max(map(len, lines)) <= 80


def test_labels_of_the_data_are_not_taken_for_those_of_the_model() -> None:
    Path("gold.csv").write_text("text,label\ngood,bad\nbad,bad\n")
    arguments = ("eval", "classify", "-m", "any", "--data", "gold.csv", *ECHO)
    assert scores(run(*arguments, "--", "--labels", "good,bad"))["accuracy"] == 0.5


@pytest.mark.parametrize(
    "line, code, said",
    [
        ("-m bergamot-en-pt", 2, "no data to run it over"),
        ("--data both.tsv", 2, "no model to run over it"),
        ("-m a -m a --to pt --data both.tsv", 2, "--model a is given twice"),
        ("-m bergamot-en-pt --data missing.tsv", 2, "no such file: missing.tsv"),
        ("-m nothing --data both.tsv --to pt", 3, "nothing"),
        ("-m a --backend echo --to pt --from en --data source.txt", 2, "no references for source"),
        ("-m a --backend echo --to pt --from en --data both.tsv -- --beams 3", 2, "--beams"),
        ("--hyp source.txt --ref reference.txt -- --beam 3", 2, "--beam: what is it?"),
        ("source.txt", 2, "source.txt: what is it?"),
        ("-m m2m100-418m --backend echo --data both.tsv", 2, "name one: --to LANG"),
        ("-m a --data -", 2, "read once"),
    ],
)
def test_what_cannot_be_run(line: str, code: int, said: str, home: Path) -> None:
    done = run("eval", "translate", *line.split())
    assert done.returncode == code
    assert done.stderr.startswith(b"nlpcli: ")
    assert said in done.stderr.decode() and done.stdout == b""
    assert kept(home) == []


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_model_too_and_keeps_nothing(number: int, code: int, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        environment = {**os.environ, "OPENAI_BASE_URL": address, "OPENAI_API_KEY": "none"}
        arguments = ("-m", "openai:any", "--data", "both.tsv")
        command = start("eval", "generate", *arguments, env=environment)
        silent.settimeout(30)
        connection, _ = silent.accept()
        children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        command.send_signal(number)
        _, said = command.communicate(timeout=30)
        connection.close()
    assert command.returncode == code
    assert b"Traceback" not in said and len(children) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(children[0]), 0)
    assert list((home / "cache" / "nlpcli" / "eval").iterdir()) == []


def test_perplexity_of_a_text(folder: Path) -> None:
    """The echo backend finds every character but the first as likely as any: e to 1. The line
    break that ends the file is no part of the text."""
    Path("text.txt").write_text("first line\nsecond\n")
    arguments = ("eval", "generate", "-m", "any", "--backend", "echo", "--data", "text.txt")
    told = scores(run(*arguments, "-f", "json"))
    assert told["logprob"] == -16 and told["tokens"] == 16
    assert told["perplexity"] == pytest.approx(math.e)
    assert told["bits-per-byte"] == pytest.approx(16 / 17 / math.log(2))
    by_line = [json.loads(line) for line in run(*arguments, "-f", "jsonl").stdout.splitlines()]
    assert [(row["output"], row["scores"]["logprob"]) for row in by_line] == [
        ("first line", -10),
        ("second", -6),
    ]
    shown = run(*arguments, "--per-record", "--window", "8", "--stride", "8")
    assert (shown.returncode, shown.stderr) == (0, b"")
    lines = [line.split() for line in shown.stdout.decode().splitlines()]
    assert ["Tokens", "14"] in lines
    assert ["window:8|stride:8|tok:any|version:nlpcli-" in " ".join(line) for line in lines].count(
        True
    ) == 1


@pytest.mark.parametrize(
    "line, said",
    [
        ("-m any --data source.txt --metric perplexity,exact-match", "two reports"),
        ("--hyp source.txt --ref reference.txt --metric perplexity", "of a model and a text"),
        ("--hyp source.txt --ref reference.txt --stride 4", "are for perplexity"),
        ("-m any --backend echo --data source.txt --window 5000", "a window of 5000 tokens"),
        ("-m any --backend echo --data source.txt --window 4 --stride 5", "a stride of 5 tokens"),
    ],
)
def test_perplexity_that_cannot_be_taken(line: str, said: str) -> None:
    done = run("eval", "generate", *line.split())
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
