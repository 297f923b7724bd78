"""`nlpcli finetune` as it is used: real runs on tiny models, killed, gone on with, made use of."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hub_server
import tiny_decoders
import tiny_encoders
import tiny_models
from command import COMMAND, run, start
from hub_server import Hub

GLAD = ("house", "river", "garden", "market", "letter")
SAD = ("winter", "train", "engine", "doctor", "window")
FAST = ("--dtype", "float32", "--learning-rate", "2e-3", "--batch-size", "16")


def rows(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts whose words tell the label, most of them."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        label, words = (("glad", GLAD), ("sad", SAD))[number % 2]
        said = [*draw.choices(words, k=5), draw.choice(GLAD + SAD), draw.choice(["the", "of"])]
        made.append((f"{' '.join(said)} {seed} {number}", label))
    return made


def table(path: Path, some: list[tuple[str, str]], head: str = "text\tlabel") -> Path:
    path.write_text("\n".join([head, *("\t".join(row) for row in some)]) + "\n")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, and tiny models to begin with."""
    folder = tmp_path_factory.mktemp("finetune")
    table(folder / "train.tsv", rows(96, 1))
    table(folder / "many.tsv", rows(480, 4))
    table(folder / "valid.tsv", rows(32, 2))
    tiny_encoders.build(folder / "bert", "bert")
    tiny_decoders.llama(folder / "llama")
    return folder


def classify(files: Path, name: str, *more: str) -> list[str]:
    data = ["--train", str(files / "train.tsv"), "--valid", str(files / "valid.tsv")]
    options = [*FAST, "--epochs", "2", "--save-steps", "2", "--name", name]
    return ["finetune", "classify", "-m", str(files / "bert"), *data, *options, *more]


def told(name: str) -> dict[str, Any]:
    """What a run left of its history; the clock's times taken out."""
    folder = Path(os.environ["XDG_DATA_HOME"], "nlpcli", "models", name)
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())
    for scores in found["scores"]:
        del scores["seconds"]
    return found


def weights(name: str) -> bytes:
    folder = Path(os.environ["XDG_DATA_HOME"], "nlpcli", "models", name)
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture
def hub(files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.serving() as hub:
        content = {file.name: file.read_bytes() for file in (files / "bert").iterdir()}
        hub.push("google-bert/bert-base-uncased", content)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield hub


def test_the_textbook_case(hub: Hub, files: Path) -> None:
    """As written in Hugging Face's introduction; then the model is what the next command uses."""
    data = ["--train", str(files / "many.tsv"), "--valid", str(files / "valid.tsv")]
    done = run(
        *("finetune", "classify", "--model", "bert-base-uncased", *data),
        *("--epochs", "3", "--batch-size", "16", "--learning-rate", "2e-3", "--name", "mine"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split("\t")[0] == "mine"
    assert b"\x1b" not in done.stderr and b"*" in done.stderr
    scores = told("mine")["scores"]
    assert [each["epoch"] for each in scores] == [1, 2, 3]
    assert scores[-1]["training"] < scores[0]["training"]
    best = max(each["figures"]["accuracy"] for each in scores)
    assert best > 0.8 and best == next(e for e in scores[::-1] if e["best"])["figures"]["accuracy"]
    folder = Path(done.stdout.decode().strip().split("\t")[1])
    expected = {"README.md", "recipe.toml", "learning-curve.svg", "nlpcli.json", "tokenizer.json"}
    assert expected <= {file.name for file in folder.iterdir()}
    _same_probabilities(folder)


def _same_probabilities(folder: Path) -> None:
    """`nlpcli classify -m mine` in float32 gives what transformers does, without torch; the
    command tells four digits of it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from nlpcli import registry, store
    from nlpcli.backends import Request, choice
    from nlpcli.device import Device

    texts = [text for text, _ in rows(8, 3)]
    arguments = ["classify", "-m", "mine", "--dtype", "float32", "--top-k", "2", "-f", "jsonl"]
    lines = "\n".join(texts) + "\n"
    run(*arguments, stdin=lines)  # converts
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *arguments],
        input=lines.encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b" torch" not in done.stderr and b" transformers" not in done.stderr
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        inputs = tokenizer(texts, return_tensors="pt", padding=True)
        likely = model(**inputs).logits.softmax(-1)
    local = store.fetch(registry.find("mine").spec, offline=True)
    ours = choice.load("ct2", local, Device("cpu", dtype="float32"))
    logits = torch.tensor(ours.classify([Request(text) for text in texts]))
    ours.close()
    assert (logits.softmax(-1) - likely).abs().max() < 1e-5
    for line, row in zip(done.stdout.decode().splitlines(), likely.tolist(), strict=True):
        said = {each["label"]: each["score"] for each in json.loads(line)["labels"]}
        for code, p in enumerate(row):
            assert said[model.config.id2label[code]] == pytest.approx(p, abs=6e-5)


def test_a_killed_run_ends_as_one_that_was_not(files: Path) -> None:
    whole = run(*classify(files, "whole"), timeout=120)
    assert whole.returncode == 0, whole.stderr.decode()
    for number, name in ((signal.SIGKILL, "killed"), (signal.SIGTERM, "ended")):
        process = start(*classify(files, name))
        _wait_for_checkpoint(name)
        os.kill(process.pid, number)
        _, error = process.communicate(timeout=60)
        if number == signal.SIGKILL:
            assert process.returncode == -9
        else:
            assert process.returncode == 143
            assert re.search(r"saved at step \d+; --resume goes on from there", error.decode())
        again = run(*classify(files, name))
        assert again.returncode == 2
        unfinished, hint = again.stderr.decode().splitlines()[-2:]
        assert "there is an unfinished run of that name" in unfinished and "--resume" in hint
        gone_on = run(*classify(files, name, "--resume"), timeout=120)
        assert gone_on.returncode == 0, gone_on.stderr.decode()
        assert weights(name) == weights("whole")
        assert told(name)["scores"] == told("whole")["scores"]
        assert told(name)["losses"] == told("whole")["losses"]
        assert not _runs(name).exists()


def _runs(name: str) -> Path:
    return Path(os.environ["XDG_DATA_HOME"], "nlpcli", "runs", name)


def _wait_for_checkpoint(name: str) -> None:
    deadline = time.monotonic() + 60
    while not list(_runs(name).glob("checkpoint-*/history.json")):
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.005)


def test_what_is_no_longer_the_same_run_is_refused(files: Path, tmp_path: Path) -> None:
    more = table(tmp_path / "more.tsv", rows(8, 5))
    command = classify(files, "other", "--epochs", "50", "--valid", str(more))
    process = start(*command)
    _wait_for_checkpoint("other")
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error.decode().endswith("nlpcli: interrupted\n")
    changed = run(*command, "--seed", "7", "--resume")
    assert changed.returncode == 2
    assert "--seed is not what it was when the run began" in changed.stderr.decode()
    table(more, rows(8, 6))
    changed = run(*command, "--resume")
    assert changed.returncode == 2
    assert f"{more} is not what it was when the run began" in changed.stderr.decode()
    absent = run(*classify(files, "never", "--resume"))
    assert absent.returncode == 2 and "no unfinished run" in absent.stderr.decode()


def test_two_processes_learn_what_one_does(files: Path) -> None:
    alone = run(*classify(files, "one", "--dropout", "0"), timeout=120)
    assert alone.returncode == 0, alone.stderr.decode()
    command = _torchrun(*classify(files, "two", "--dropout", "0"))
    both = subprocess.run(command, capture_output=True, timeout=180, check=False)
    assert both.returncode == 0, both.stderr.decode()
    assert both.stdout.decode().count("two\t") == 1
    for mine, other in zip(told("one")["losses"], told("two")["losses"], strict=True):
        assert mine == pytest.approx(other, abs=1e-4)


def test_a_process_that_is_killed_ends_the_run(files: Path) -> None:
    command = _torchrun(*classify(files, "left", "--epochs", "500"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        _wait_for_checkpoint("left")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ranks = [pid for pid in children if b"\0RANK=1\0" in _environment(pid)]
        os.kill(int(ranks[0]), signal.SIGKILL)
        _, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1
    told = "nlpcli: another process of this run is gone"
    assert told in error.decode() and "start it again with --resume" in error.decode()
    assert list(_runs("left").glob("checkpoint-*/history.json"))
    assert "no model called left" in run("models", "show", "left").stderr.decode()


def _environment(pid: str) -> bytes:
    return b"\0" + Path(f"/proc/{pid}/environ").read_bytes()


def _torchrun(*arguments: str) -> list[str]:
    """The command as two processes, which find each other on a port of their own."""
    torchrun = str(Path(COMMAND).with_name("torchrun"))
    port = str(_free_port())
    launch = ["--nproc-per-node", "2", "--master-port", port, "--no-python", COMMAND]
    return [torchrun, *launch, *arguments]


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_faults_are_found_before_a_model_is_loaded(files: Path, tmp_path: Path) -> None:
    good = rows(20, 1)
    train = str(files / "train.tsv")
    cases: list[tuple[list[str], int, str]] = []
    for name, some, head, code, message in (
        ("nolabel.tsv", good, "text\tthing", 4, 'no field "label"; there are: text, thing'),
        ("one.tsv", [(text, "glad") for text, _ in good], "text\tlabel", 4, "the label glad"),
        ("empty.tsv", [*good, ("", "sad")], "text\tlabel", 4, "empty.tsv:22: the text is empty"),
    ):
        table(tmp_path / name, some, head)
        cases.append((["--train", str(tmp_path / name)], code, message))
    table(tmp_path / "new.tsv", [("a new one", "odd")])
    table(tmp_path / "same.tsv", rows(96, 1)[:3])
    for name, message in (("new.tsv", "the label odd"), ("same.tsv", "3 validation records")):
        cases.append((["--train", train, "--valid", str(tmp_path / name)], 4, message))
    cases.append((["--train", str(tmp_path / "none.tsv")], 2, "no such file"))
    for arguments, code, message in cases:
        done = subprocess.run(
            [
                *(sys.executable, "-X", "importtime", COMMAND, "finetune", "classify", "-q"),
                *("-m", str(files / "bert"), "--name", "bad", *arguments),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = [line for line in done.stderr.splitlines() if not line.startswith("import time")]
        assert (done.returncode, len(lines)) == (code, 2), lines
        assert message in lines[0]
        assert "| torch\n" not in done.stderr
    assert not _runs("bad").exists()


def test_a_name_that_is_taken_needs_overwrite(files: Path) -> None:
    recipe = run(*classify(files, "taken", "--epochs", "1"), timeout=120)
    assert recipe.returncode == 0, recipe.stderr.decode()
    again = run(*classify(files, "taken"))
    assert again.returncode == 2 and "--overwrite replaces it" in again.stderr.decode()
    folder = recipe.stdout.decode().strip().split("\t")[1]
    more = ("--recipe", folder, "--name", "twin", "-q")
    repeated = run("finetune", "classify", *more, timeout=120)
    assert repeated.returncode == 0, repeated.stderr.decode()
    assert weights("twin") == weights("taken")
    shown = run("models", "show", "taken").stdout.decode()
    for told in ("the user's registry", "96 records, scored on 32", "accuracy ", "recipe.toml"):
        assert told in shown


def test_texts_that_are_too_long_are_told(files: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "long.tsv", [*rows(20, 1), ("old " * 400, "sad")])
    arguments = ["finetune", "classify", "-m", str(files / "bert"), "--train", str(data), *FAST]
    done = run(*arguments, "--valid-share", "0", "--name", "long", timeout=60)
    assert done.returncode == 4
    assert "1 of 21 records is longer than the model's window" in done.stderr.decode()
    assert f"{data}:22" in done.stderr.decode()
    # Nothing was learnt that could be lost: the name is free.
    more = ("--epochs", "1", "--valid-share", "0", "--too-long", "cut", "--name", "long")
    cut = run(*arguments, *more, timeout=60)
    assert cut.returncode == 0, cut.stderr.decode()
    assert "1 of 21 training records cut to 256 tokens" in cut.stderr.decode()


def test_a_disk_that_is_full_leaves_nothing_half_done(files: Path, tmp_path: Path) -> None:
    """The files of the process may not become larger than its weights."""

    def limit(size: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    size = (files / "bert" / "model.safetensors").stat().st_size
    command = classify(files, "full", "--epochs", "1", "-q")
    process = start(*command, preexec_fn=limit(size // 2))
    _, error = process.communicate(timeout=60)
    lines = error.decode().splitlines()
    assert (process.returncode, len(lines)) == (1, 2), lines
    assert "cannot be written: " in lines[0] and "free some space" in lines[1]
    assert "full" not in run("models", "list").stdout.decode().split()
    assert not any(Path(os.environ["XDG_DATA_HOME"], "nlpcli", "models").glob("*full*"))
    assert not _runs("full").exists()
    assert run(*command, timeout=60).returncode == 0
    # A folder that there cannot be.
    (tmp_path / "file").touch()
    done = run(*classify(files, "never"), XDG_DATA_HOME=str(tmp_path / "file"))
    told, hint = done.stderr.decode().splitlines()[-2:]
    assert done.returncode == 1 and "cannot be written: Not a directory" in told, told
    assert "XDG_DATA_HOME" in hint


def test_memory_that_does_not_suffice_halves_the_step(files: Path, tmp_path: Path) -> None:
    """Under a real limit, in which one step of 256 long records does not fit."""
    texts = [(f"{text} " * 16, label) for text, label in rows(256, 8)]
    data = table(tmp_path / "long.tsv", texts)
    command = [
        *("finetune", "classify", "-m", str(files / "bert"), "--train", str(data)),
        *("--valid", str(files / "valid.tsv"), "--dtype", "float32", "--epochs", "1"),
    ]

    def least() -> int:
        """The address space in bytes that a run with small steps takes."""
        process = start(*command, "--batch-size", "4", "--max-minutes", "0.02", "--name", "small")
        most = 0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"VmPeak:\s+(\d+) kB", status)
            most = max(most, int(found[1]) if found else 0)
            time.sleep(0.02)
        assert process.returncode == 0, process.communicate()[1]
        return 1024 * most

    limit = least() + 300 * 2**20

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    process = start(*command, "--batch-size", "256", "--name", "large", preexec_fn=limited)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error.decode()
    assert "not enough memory: each step is computed in 2 parts" in error.decode()
    assert run("classify", "-m", "large", "-q", stdin="the old house\n").stdout.strip()


def test_a_language_model_learns_answers(files: Path, tmp_path: Path) -> None:
    data = tmp_path / "asked.jsonl"
    asked = [{"prompt": f"the {word}", "completion": "old river"} for word in GLAD * 4]
    data.write_text("".join(json.dumps(each) + "\n" for each in asked))
    done = run(
        *("finetune", "generate", "-m", str(files / "llama"), "--train", str(data), *FAST),
        *("--epochs", "6", "--lora", "4", "--learning-rate", "1e-2", "--name", "answers"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    scores = told("answers")["scores"]
    assert scores[-1]["figures"]["perplexity"] < scores[0]["figures"]["perplexity"]
    folder = Path(done.stdout.decode().strip().split("\t")[1])
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    said = run("generate", "-m", "answers", "--max-tokens", "4", "-q", "--text", "the garden")
    assert said.returncode == 0 and said.stdout.strip()


def test_a_new_translation_model(tmp_path: Path) -> None:
    source, target = tmp_path / "a.en", tmp_path / "a.de"
    sentences = [text for text in tiny_models.sentences(120) if text.strip()]
    source.write_text("\n".join(sentences) + "\n")
    target.write_text("\n".join(text.upper() for text in sentences) + "\n")
    pair = ("--train", str(source), "--train-target", str(target), "--from", "en", "--to", "de")
    done = run(
        *("finetune", "translate", "--from-scratch", "--size", "tiny", "--vocabulary", "300"),
        *(*pair, "--epochs", "1", "--eval-records", "4", "--dtype", "float32", "--name", "upper"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    said = run("translate", "-m", "upper", "--to", "de", "-q", stdin="the old house\n")
    assert (said.returncode, said.stdout.count(b"\n")) == (0, 1), said.stderr.decode()


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_new_model_of_running_text(objective: str, files: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(tiny_models.sentences(300)) + "\n")
    done = run(
        *("finetune", "pretrain", "--objective", objective, "--size", "tiny"),
        *("--train", str(text)),
        *("--vocabulary", "500", "--max-length", "32", "--epochs", "2", "--dtype", "float32"),
        *("--name", "new", "-q"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    first, second = told("new")["scores"]
    assert second["figures"]["perplexity"] < first["figures"]["perplexity"]
    if objective == "causal":
        said = run("generate", "-m", "new", "--max-tokens", "5", "-q", "--text", "the old")
        assert said.returncode == 0, said.stderr.decode()
    else:
        used = run(*classify(files, "used", "-m", "new", "--epochs", "1"), timeout=120)
        assert used.returncode == 0, used.stderr.decode()
