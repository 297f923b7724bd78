"""What transfer buys: minilm-l6 fine-tuned on sst2 and banking77, beside the same architecture from
random weights with the same recipe, and beside no training at all; then how the fine-tuned model
compares, as `nlpcli classify` runs it, with what torch trained and with its base.

Needs NLPCLI_BENCH_DATA: a folder with sst2/{train,dev,test}.tsv and banking77/{train,test}.csv.
The test sets are only read here; banking77 gives a tenth of its training set for validation.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe, table

from nlpcli import registry, store
from nlpcli.backends import Request, choice
from nlpcli.device import Device, cpu_threads

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
RECIPES = {
    "sst2": ["--learning-rate", "1e-4", "--epochs", "5"],
    "banking77": ["--learning-rate", "2e-4", "--epochs", "6"],
}
ROUNDS = 5


def prepare(data: Path, folder: Path) -> dict[str, tuple[list[str], Path, str]]:
    """For each set the options that name its data, its test set, and the field of the label."""
    for part in ("train", "dev", "test"):
        text = (data / "sst2" / f"{part}.tsv").read_text()
        (folder / f"sst2.{part}.tsv").write_text(f"text\tlabel\n{text}")
    sst2 = ["--train", f"{folder}/sst2.train.tsv", "--valid", f"{folder}/sst2.dev.tsv"]
    banking = ["--train", str(data / "banking77" / "train.csv")]
    return {
        "sst2": ([*sst2, "--duplicates", "drop"], folder / "sst2.test.tsv", "label"),
        "banking77": (banking, data / "banking77" / "test.csv", "category"),
    }


def train(name: str, data: list[str], *more: str) -> tuple[dict[str, Any], float]:
    """What the run told of itself, and its minutes."""
    begun = time.perf_counter()
    command = [COMMAND, "finetune", "classify", "-m", "minilm-l6", *data, *more, "--overwrite"]
    done = subprocess.run([*command, "--name", name], stdout=subprocess.PIPE, check=True)
    folder = Path(done.stdout.decode().strip().split("\t")[1])
    told = json.loads((folder / "training.json").read_text())
    return told, (time.perf_counter() - begun) / 60


def accuracy(name: str, test: Path, label: str, *more: str) -> float:
    done = subprocess.run(
        [
            *(COMMAND, "eval", "classify", "-m", name, "--data", str(test), "--field", "text"),
            *("--ref-field", label, "--metric", "accuracy", "-f", "json", *more),
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    (system,) = json.loads(done.stdout)["systems"]
    return float(next(each["score"] for each in system["scores"] if each["metric"] == "accuracy"))


def read(test: Path) -> list[str]:
    with test.open(newline="") as file:
        delimiter = "\t" if test.suffix == ".tsv" else ","
        quoting = csv.QUOTE_NONE if test.suffix == ".tsv" else csv.QUOTE_MINIMAL
        return [row["text"] for row in csv.DictReader(file, delimiter=delimiter, quoting=quoting)]


def differences(name: str, texts: list[str]) -> dict[str, float]:
    """The greatest and the mean difference of the probabilities from torch's in float32, by number
    format, and the share of texts whose label is another."""
    import numpy as np

    local = store.fetch(registry.find(name).spec, offline=True)
    requests = [Request(text) for text in texts]

    def likely(backend: str, dtype: str) -> Any:
        model = choice.load(backend, local, Device("cpu", dtype=dtype, threads=cpu_threads()))
        logits = np.array(model.classify(requests))
        model.close()
        power = np.exp(logits - logits.max(1, keepdims=True))
        return power / power.sum(1, keepdims=True)

    right = likely("torch", "float32")
    found = {}
    for dtype in ("float32", "int8"):
        ours = likely("ct2", dtype)
        off = np.abs(ours - right)
        found |= {
            f"{dtype}, greatest": float(off.max()),
            f"{dtype}, mean": float(off.mean()),
            f"{dtype}, other labels": float((ours.argmax(1) != right.argmax(1)).mean()),
        }
    return found


def throughput(name: str, texts: list[str]) -> float:
    """Texts a second of the fine-tuned model over those of its base, which take turns."""
    device = Device("cpu", dtype="int8", threads=cpu_threads())
    requests = [Request(text) for text in texts]
    tuned, base = (
        choice.load("ct2", store.fetch(registry.find(each).spec, offline=True), device)
        for each in (name, "minilm-l6")
    )
    seconds = {"tuned": [0.0], "base": [0.0]}
    for _ in range(ROUNDS):
        for which, work, given in (
            ("tuned", tuned.classify, requests),
            ("base", base.embed, texts),
        ):
            begun = time.perf_counter()
            work(given)
            seconds[which].append(time.perf_counter() - begun)
    tuned.close()
    base.close()
    return min(seconds["base"][1:]) / min(seconds["tuned"][1:])


def main() -> None:
    data = Path(os.environ["NLPCLI_BENCH_DATA"])
    print(describe("torch", "transformers", "accelerate", "ctranslate2"), end="\n\n")
    rows: list[tuple[str, ...]] = [
        ("set", "begun with", "recipe", "minutes", "validation, by epoch", "test accuracy")
    ]
    wanted = sys.argv[1:] or list(RECIPES)
    with tempfile.TemporaryDirectory() as folder:
        sets = prepare(data, Path(folder))
        for name in wanted:
            options, test, label = sets[name]
            recipe = RECIPES[name]
            for begun_with, more in (("minilm-l6", []), ("random weights", ["--from-scratch"])):
                model = f"bench-{name}" + ("-new" if more else "")
                told, minutes = train(model, options, *recipe, *more)
                by_epoch = [f"{each['figures']['accuracy']:.3f}" for each in told["scores"]]
                score = f"{accuracy(model, test, label):.3f}"
                taken = f"{minutes:.1f}"
                rows.append((name, begun_with, " ".join(recipe), taken, " ".join(by_epoch), score))
                print(rows[-1], file=sys.stderr, flush=True)
            texts = read(test)[:1000]
            for what, value in differences(f"bench-{name}", texts).items():
                print(f"{name}: probabilities beside torch's, {what}: {value:.1e}")
            ratio = throughput(f"bench-{name}", texts)
            print(f"{name}: throughput over that of its base: {ratio:.2f}")
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
