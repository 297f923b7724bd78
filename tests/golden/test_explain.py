"""`classify --explain` as a user runs it, on the real minilm-l6."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from command import run
from nlpcli.errors import ExitCode

pytestmark = pytest.mark.usefixtures("weights")
EXPLAIN = ("classify", "--explain", "--labels", "positive,negative")
TEXT = "I loved this film"


def explanations(*arguments: str, stdin: str = TEXT, **variables: str) -> list[Any]:
    done = run(*EXPLAIN, "-f", "jsonl", *arguments, stdin=stdin, timeout=120, **variables)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["explanation"] for line in done.stdout.decode().splitlines()]


def by_formula(folder: Path, layer: int, head: int) -> Any:
    """softmax(QKᵀ/√d) of one head for TEXT, from the model's files alone and numpy."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    size = config["hidden_size"] // config["num_attention_heads"]

    def linear(values: Any, name: str) -> Any:
        return values @ weights[f"{name}.weight"].T.astype(float) + weights[f"{name}.bias"]

    def norm(values: Any, name: str) -> Any:
        centred = values - values.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def gelu(values: Any) -> Any:
        return values * 0.5 * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))

    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT).ids
    ids = [index for index in ids if index]  # without the padding that the file asks for
    tables = "embeddings.{}_embeddings.weight".format
    states = weights[tables("word")][ids] + weights[tables("position")][: len(ids)]
    states = norm(states + weights[tables("token_type")][0], "embeddings.LayerNorm")
    for number in range(layer):
        name = f"encoder.layer.{number}"
        query, key, value = (
            linear(states, f"{name}.attention.self.{part}").reshape(len(ids), -1, size)
            for part in ("query", "key", "value")
        )
        logits = np.einsum("qhd,khd->hqk", query, key) / math.sqrt(size)
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        attention = powers / powers.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", attention, value).reshape(len(ids), -1)
        mixed = linear(mixed, f"{name}.attention.output.dense")
        states = norm(states + mixed, f"{name}.attention.output.LayerNorm")
        inner = gelu(linear(states, f"{name}.intermediate.dense"))
        states = norm(states + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return attention[head - 1]


def test_the_word_that_carries_most() -> None:
    (found,) = explanations()
    assert found["label"] == "positive"
    assert [word["word"] for word in found["words"]] == TEXT.split()
    assert max(found["words"], key=lambda word: word["weight"])["word"] == "loved"
    rows = np.array(found["attention"]["weights"])
    assert found["attention"]["tokens"] == ["[CLS]", "i", "loved", "this", "film", "[SEP]"]
    assert rows.sum(1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("layer", "head"), [(1, 1), (6, 11)])
def test_attention_is_the_formula(weights: Path, layer: int, head: int) -> None:
    (found,) = explanations("--layer", str(layer), "--head", str(head))
    expected = by_formula(weights / "nlpcli" / "models" / "minilm-l6", layer, head)
    attention = found["attention"]
    assert (attention["layer"], attention["head"]) == (layer, head)
    assert np.array(attention["weights"]) == pytest.approx(expected, abs=1e-5)
    assert np.array(attention["weights"]).sum(1) == pytest.approx(1, abs=1e-5)


def test_a_pipe_gets_plain_text_and_blank_lines_stay() -> None:
    done = run(*EXPLAIN, stdin=f"{TEXT}\n\nmes\x1b[31ms", timeout=120, COLORTERM="truecolor")
    first, blank, last = done.stdout.decode().split("─" * 80 + "\n")
    assert "\x1b" not in first + last
    assert re.search(r"^\+0\.\d{4} █+ loved$", first, re.MULTILINE)
    assert "attention, mean of all layers and heads" in first
    assert blank == "\n"
    assert r"mes\x1b[31ms" in last


def test_svg(tmp_path: Path) -> None:
    file = tmp_path / "x.svg"
    done = run(*EXPLAIN, "-o", str(file), stdin=f"{TEXT}\na <b> & c\n", timeout=120)
    assert (done.returncode, done.stdout) == (0, b"")
    root = ElementTree.fromstring(file.read_bytes())
    said = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {*TEXT.split(), "[CLS]", "<", "&", "c"} <= set(said)


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "x.svg"
    done = run(*EXPLAIN, "--layer", "9", "-o", str(file), stdin=TEXT, timeout=120)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.decode().splitlines()[0] == "nlpcli: --layer 9: the model has 6 layers"
    assert list(tmp_path.glob("*.svg")) + list(tmp_path.glob(".*.part")) == []


def test_ct2_explains_the_words_alone() -> None:
    done = run(*EXPLAIN, "--backend", "ct2", "-f", "jsonl", stdin=TEXT, timeout=240)
    assert "without attention: the ct2 backend shows none" in done.stderr.decode()
    (found,) = [json.loads(line)["explanation"] for line in done.stdout.decode().splitlines()]
    assert found["attention"] is None
    assert max(found["words"], key=lambda word: word["weight"])["word"] == "loved"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--backend", "ct2", "--head", "2"), "--head: the ct2 backend has no attention weights"),
        (("-m", "smollm2-135m-instruct", "--layer", "1"), "--layer: smollm2-135m-instruct is a"),
        (("--output-field", "explanation"), "--output-field explanation: that field is taken"),
    ],
)
def test_refused(arguments: tuple[str, ...], said: str) -> None:
    done = run(*EXPLAIN, *arguments, stdin=TEXT, timeout=120)
    assert done.returncode == ExitCode.USAGE
    assert said in done.stderr.decode()


def test_layer_and_head_need_explain() -> None:
    done = run("classify", "--labels", "a,b", "--head", "2", stdin=TEXT)
    assert done.returncode == ExitCode.USAGE
    assert "--head goes with --explain" in done.stderr.decode()
