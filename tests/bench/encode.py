"""Classifying sst2 with a BERT classifier of MiniLM's shape: our ct2 backend beside CTranslate2 by
hand and transformers' pipeline, and what int8 costs MiniLM's embeddings.

The head is random: it takes the time of any other. All take turns, slice by slice, so that a slow
spell hits all alike. Needs NLPCLI_BENCH_DATA: a folder with sst2/test.tsv.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import ctranslate2
import numpy as np
import torch
from machine import describe, table
from tokenizers import Tokenizer
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TextClassificationPipeline,
)

from nlpcli import registry, store
from nlpcli.backends import Request
from nlpcli.backends.ct2.convert import convert, quiet
from nlpcli.backends.ct2.encoder import Encoder
from nlpcli.device import Device, cpu_threads
from nlpcli.registry import LocalModel, ModelSpec

SLICE = 512
ROUNDS = 5
PIPELINE_TEXTS = 64  # of each slice: it is the slow one
BATCHES = (8, 16, 32)


def by_hand(folder: Path, dtype: str, size: int) -> Callable[[list[str]], Any]:
    """CTranslate2 driven well: sorted by length, a worker for each CPU, first tokens kept."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    workers = cpu_threads()
    encoder = ctranslate2.Encoder(
        str(folder), compute_type=dtype, inter_threads=workers, intra_threads=1
    )
    pool = ThreadPoolExecutor(workers)

    def run(texts: list[str]) -> list[Any]:
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
        batches = [order[at : at + size] for at in range(0, len(order), size)]

        def first(batch: list[int]) -> Any:
            output = encoder.forward_batch([ids[index] for index in batch])
            return np.asarray(output.last_hidden_state)[:, 0].copy()

        return list(pool.map(first, batches))

    return run


def through_nlpcli(model: LocalModel, dtype: str) -> Callable[[list[str]], Any]:
    ours = Encoder(model, Device("cpu", dtype=dtype, threads=cpu_threads()))
    return lambda texts: ours.classify([Request(text) for text in texts])


def slices(texts: list[str]) -> Iterator[list[str]]:
    for _ in range(ROUNDS):
        for at in range(0, len(texts) - SLICE + 1, SLICE):
            yield texts[at : at + SLICE]


def embeddings(folder: Path, texts: list[str]) -> Any:
    """transformers' own, one text at a time, in float32."""
    with quiet(), torch.inference_mode():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        rows = [
            model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            for text in texts
        ]
    return torch.nn.functional.normalize(torch.stack(rows), dim=1).numpy()


def speed(minilm: LocalModel, texts: list[str], folder: Path) -> None:
    with quiet():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(
            minilm.folder, num_labels=2, dtype=torch.float32
        ).eval()
        tokenizer = AutoTokenizer.from_pretrained(minilm.folder)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    local = LocalModel(ModelSpec("bench", (), "transformers", (), architecture="bert"), folder)
    pipeline = TextClassificationPipeline(model=model, tokenizer=tokenizer)
    runs: dict[str, Callable[[list[str]], Any]] = {
        "pipeline, float32": lambda part: pipeline(part[:PIPELINE_TEXTS])
    }
    for dtype in ("int8", "float32"):
        runs[f"nlpcli, {dtype}"] = through_nlpcli(local, dtype)
        for size in BATCHES:
            runs[f"by hand, {dtype}, batches of {size}"] = by_hand(
                convert(local, dtype), dtype, size
            )
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for part in slices(texts):
        for name, run in runs.items():
            count = PIPELINE_TEXTS if name.startswith("pipeline") else len(part)
            begun = time.perf_counter()
            run(part)
            seconds[name].append((time.perf_counter() - begun) / count)
    typical = {name: median(taken) for name, taken in seconds.items()}
    rows: list[tuple[str, ...]] = [("", "texts/s", "of the best by hand", "times the pipeline")]
    for name, taken in typical.items():
        kin = [
            s for n, s in typical.items() if n.startswith("by hand") and n.split(", ")[1] in name
        ]
        rows.append(
            (
                name,
                f"{1 / taken:.0f}",
                f"{min(kin) / taken:.2f}" if name.startswith("nlpcli") else "",
                f"{typical['pipeline, float32'] / taken:.1f}",
            )
        )
    print(table(rows), flush=True)


def main() -> None:
    file = Path(os.environ["NLPCLI_BENCH_DATA"]) / "sst2" / "test.tsv"
    lines = [line.rsplit("\t", 1) for line in file.read_text().splitlines()]
    texts, gold = [line[0] for line in lines], np.array([int(line[1]) for line in lines])
    minilm = store.fetch(registry.find("minilm-l6").spec)
    print(describe("ctranslate2", "transformers", "torch"))
    with tempfile.TemporaryDirectory() as folder:
        speed(minilm, texts, Path(folder))
    names = ["negative", "positive"]
    exact = embeddings(minilm.folder, [*texts, *names])
    rows: list[tuple[str, ...]] = [
        ("MiniLM", "cosine to transformers: mean", "least", "sst2, cosine to bare names")
    ]
    found = {"transformers, float32": exact}
    for dtype in ("float32", "int8"):
        ours = Encoder(minilm, Device("cpu", dtype=dtype, threads=cpu_threads()))
        found[f"nlpcli, {dtype}"] = ours.embed([*texts, *names])
    for name, rows_found in found.items():
        same = (rows_found * exact).sum(1)
        right = ((rows_found[:-2] @ rows_found[-2:].T).argmax(1) == gold).mean()
        rows.append((name, f"{same.mean():.4f}", f"{same.min():.4f}", f"{right:.3f}"))
    print(table(rows))


if __name__ == "__main__":
    main()
