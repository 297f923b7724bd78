"""How many of 1,000 outputs differ with the size of a batch and the number of threads, with
`--deterministic` and without; each beside batches of one text on one thread.

    NLPCLI_BENCH_DATA=… python tests/bench/deterministic.py SEQ2SEQ CLASSIFIER

SEQ2SEQ and CLASSIFIER are the names of models made by `nlpcli finetune`. Reads the folder's
multi30k and sst2.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

from machine import describe, table

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
TEXTS = int(os.environ.get("NLPCLI_BENCH_TEXTS", "1000"))
WAYS = (["--batch-size", "7"], ["--batch-size", "64"], ["--threads", "2"], ["--jobs", "2"])


def outputs(command: list[str], texts: list[str]) -> list[str]:
    done = subprocess.run(
        [COMMAND, *command, "--no-dedupe", "-q"],
        input="".join(f"{text}\n" for text in texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")[:-1]


def main() -> None:
    data = Path(os.environ["NLPCLI_BENCH_DATA"])
    seq2seq, classifier = sys.argv[1:3]
    packed = (data / "multi30k" / "test_2016_flickr.en.gz").read_bytes()
    flickr = gzip.decompress(packed).decode().splitlines()[:TEXTS]
    films = (data / "sst2" / "test.tsv").read_text().splitlines()[:TEXTS]
    films = [line.split("\t")[0] for line in films]
    prompts = [f"Continue: {text}" for text in flickr]
    translate = ["translate", "--from", "en", "--to", "de", "-m", seq2seq, "--scores"]
    classify = ["classify", "-m", classifier]
    generate = ["generate", "--lines", "--max-tokens", "8"]
    cases = {
        "bergamot int8": (["translate", "--from", "en", "--to", "pt"], flickr),
        "ct2 int8, translate": ([*translate, "--backend", "ct2", "--dtype", "int8"], flickr),
        "ct2 float32, translate": ([*translate, "--backend", "ct2", "--dtype", "float32"], flickr),
        "ct2 int8, classify": ([*classify, "--backend", "ct2", "--dtype", "int8"], films),
        "torch float32, translate": (
            [*translate, "--backend", "torch", "--dtype", "float32"],
            flickr,
        ),
        "torch bfloat16, classify": (
            [*classify, "--backend", "torch", "--dtype", "bfloat16"],
            films,
        ),
        "torch float32, classify": ([*classify, "--backend", "torch", "--dtype", "float32"], films),
        "llamacpp, generate": ([*generate, "--backend", "llamacpp"], prompts[: TEXTS // 5]),
    }
    print(describe("torch", "ctranslate2", "xllamacpp"), flush=True)
    head = ("backend", "texts", *(" ".join(way)[2:] for way in WAYS), "all, --deterministic")
    rows: list[tuple[str, ...]] = [head]
    for name, (command, texts) in cases.items():
        alone = outputs([*command, "--batch-size", "1", "--threads", "1"], texts)
        differ = []
        for way in WAYS:
            other = [] if "--threads" in way else ["--threads", "1"]
            found = outputs([*command, *way, *other], texts)
            differ.append(sum(a != b for a, b in zip(alone, found, strict=True)))
        told = [outputs([*command, *way, "--deterministic"], texts) for way in WAYS]
        fixed = sum(len(set(each)) > 1 for each in zip(*told, strict=True))
        rows.append((name, str(len(texts)), *map(str, differ), str(fixed)))
        print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
