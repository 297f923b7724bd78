"""Zero-shot accuracy of the default on sst2 and banking77 beside a plain cosine of embeddings,
that of smollm2-135m-instruct on a sample, and the default's speed beside CTranslate2 by hand.

Needs NLPCLI_BENCH_DATA: a folder with sst2/test.tsv, banking77/test.csv and its categories.json.
The templates and the temperature of nlpcli.tasks.zero_shot were chosen on parts of the training
sets (sst2: dev and 3,000 of train; banking77: 6,000 of train); the test sets are only read here.
"""

from __future__ import annotations

import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from machine import describe, medians, table
from tokenizers import Tokenizer

from nlpcli import registry, store
from nlpcli.backends import choice
from nlpcli.backends.ct2 import convert
from nlpcli.device import Device, cpu_threads

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
SAMPLE = 100
ROUNDS = 5
Set = tuple[list[str], list[str], list[str]]


def read(data: Path) -> dict[str, Set]:
    """For each set its texts, the right label of each, and all labels."""
    with (data / "sst2" / "test.tsv").open() as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    moods = ["negative", "positive"]
    with (data / "banking77" / "test.csv").open(newline="") as file:
        questions = list(csv.DictReader(file))
    categories = json.loads((data / "banking77" / "categories.json").read_text())
    return {
        "sst2": ([text for text, _ in rows], [moods[int(label)] for _, label in rows], moods),
        "banking77": (
            [row["text"] for row in questions],
            [row["category"] for row in questions],
            categories,
        ),
    }


def by_command(texts: list[str], labels: list[str], *arguments: str) -> tuple[list[str], float]:
    """The labels that nlpcli gives, and its seconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(" ".join(text.split()) + "\n" for text in texts))
        file.flush()
        begun = time.perf_counter()
        done = subprocess.run(
            [COMMAND, "classify", "--labels", ",".join(labels), *arguments, file.name],
            capture_output=True,
            check=True,
        )
        seconds = time.perf_counter() - begun
    return [line.split("\t")[0] for line in done.stdout.decode().splitlines()], seconds


def accuracy(found: list[str], right: list[str]) -> str:
    return f"{np.mean([a == b for a, b in zip(found, right, strict=True)]):.3f}"


def plain_cosine(encoder: Any, texts: list[str], labels: list[str]) -> list[str]:
    """The label whose bare name is nearest."""
    nearest = (encoder.embed(texts) @ encoder.embed(labels).T).argmax(1)
    return [labels[index] for index in nearest]


def speed(model: Any, device: Device, texts: list[str], labels: list[str]) -> float:
    """The throughput of the task over that of CTranslate2 by hand: batches by length, a thread
    for each, the mean of the states and one product with the labels. They take turns."""
    from nlpcli.tasks.classify import Choice, Classify
    from nlpcli.tasks.labels import Label
    from nlpcli.tasks.zero_shot import Similarity

    folder = convert.convert(model, "int8")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    raw = ctranslate2.Encoder(
        str(folder), compute_type="int8", inter_threads=device.threads, intra_threads=1
    )
    encoder = choice.load("ct2", model, device)
    directions = encoder.embed(labels).T
    task = Classify(Similarity(tuple(map(Label, labels))), Choice())

    def by_hand() -> None:
        from concurrent.futures import ThreadPoolExecutor

        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        batches = [order[start : start + 32] for start in range(0, len(order), 32)]

        def compute(batch: list[int]) -> None:
            states = np.asarray(
                raw.forward_batch([ids[index] for index in batch]).last_hidden_state
            )
            lengths = np.array([len(ids[index]) for index in batch])
            mask = np.arange(states.shape[1]) < lengths[:, None]
            ((states * mask[:, :, None]).sum(1) / lengths[:, None] @ directions).argmax(1)

        with ThreadPoolExecutor(device.threads) as pool:
            list(pool.map(compute, batches))

    def by_task() -> None:
        for start in range(0, len(texts), 512):
            task.run(texts[start : start + 512], encoder)

    ratios = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        by_hand()
        between = time.perf_counter()
        by_task()
        ratios.append((between - begun) / (time.perf_counter() - between))
    return statistics.median(ratios)


def main() -> None:
    data = read(Path(os.environ["NLPCLI_BENCH_DATA"]))
    device = Device("cpu", dtype="int8", threads=cpu_threads())
    model = store.fetch(registry.find("minilm-l6").spec)
    encoder = choice.load("ct2", model, device)
    print(describe("nlpcli", "ctranslate2"))
    rows: list[tuple[str, ...]] = [
        ("set", "labels", "texts", "plain cosine", "nlpcli", "texts/s", f"smollm2, {SAMPLE} texts")
    ]
    for name, (texts, right, labels) in data.items():
        found, seconds = by_command(texts, labels)
        told = "-"
        if len(labels) <= 10:
            some = random.Random(1).sample(range(len(texts)), SAMPLE)
            asked = [texts[index] for index in some]
            said, _ = by_command(asked, labels, "-m", "smollm2-135m-instruct")
            told = accuracy(said, [right[index] for index in some])
        cosine = accuracy(plain_cosine(encoder, texts, labels), right)
        rate = f"{len(texts) / seconds:.0f}"
        counts = str(len(labels)), f"{len(texts):,}"
        rows.append((name, *counts, cosine, accuracy(found, right), rate, told))
    print(table(rows))
    texts, _, labels = data["sst2"]
    print(f"speed on sst2 over CTranslate2 by hand: {speed(model, device, texts, labels):.2f}")
    first = {"classify": [COMMAND, "classify", "--labels", "positive,negative"]}
    seconds = medians(first, 11, b"I loved it.\n")["classify"]
    print(f"first answer of a new process: {seconds:.2f} s")


if __name__ == "__main__":
    main()
