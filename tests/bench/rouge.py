"""ROUGE-1, -2, -L and -Lsum with stems beside rouge_score's, on realsumm's systems and on
SciTLDR's one-sentence summaries, each repeated to as many pairs as the first argument says
(10,000).

Needs NLPCLI_BENCH_DATA: a folder with realsumm/cnndm100.jsonl and scitldr/test.jsonl. The two take
turns on 20 parts of the pairs, in one process and one thread.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import cycle, islice
from pathlib import Path

from machine import describe, table
from rouge_score.rouge_scorer import RougeScorer

from nlpcli.metrics.rouge import Rouge

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
SYSTEMS = ("bart", "t5_small", "t5_base")
PARTS = 20

Pairs = list[tuple[str, str]]
"""Of summary and reference."""


def load(folder: Path) -> dict[str, Pairs]:
    news = [json.loads(line) for line in (folder / "realsumm/cnndm100.jsonl").open()]
    papers = [json.loads(line) for line in (folder / "scitldr/test.jsonl").open()]
    return {
        "realsumm": [(each[name], each["reference"]) for name in SYSTEMS for each in news],
        "scitldr": [(each["source"][0], each["target"][0]) for each in papers],
    }


def compare(pairs: Pairs) -> tuple[float, float, float]:
    """Seconds of rouge_score and of nlpcli, and the greatest difference of a score, of 0 to 1."""
    theirs, ours = RougeScorer(KINDS, use_stemmer=True), Rouge(KINDS, stemmer=True)
    seconds = [0.0, 0.0]
    difference = 0.0
    size = -(-len(pairs) // PARTS)
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        begun = time.perf_counter()
        expected = [theirs.score(reference, summary) for summary, reference in part]
        half = time.perf_counter()
        sample = ours.sample([pair[0] for pair in part], [[pair[1]] for pair in part])
        seconds[0] += half - begun
        seconds[1] += time.perf_counter() - half
        for scores, row in zip(expected, sample.by_record(), strict=True):
            values = [
                value
                for kind in KINDS
                for value in (scores[kind].fmeasure, scores[kind].precision, scores[kind].recall)
            ]
            gaps = [abs(a - b / 100) for a, b in zip(values, row, strict=True)]
            difference = max(difference, *gaps)
    return *seconds, difference


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(describe("nlpcli", "rouge-score", "rapidfuzz", "nltk"), flush=True)
    rows: list[tuple[str, ...]] = [
        ("pairs", "rouge_score, µs a pair", "nlpcli, µs a pair", "ratio", "greatest difference")
    ]
    for name, pairs in load(Path(os.environ["NLPCLI_BENCH_DATA"])).items():
        theirs, ours, difference = compare([*islice(cycle(pairs), count)])
        rows.append(
            (
                f"{name}, {count:,}",
                f"{theirs / count * 1e6:.0f}",
                f"{ours / count * 1e6:.0f}",
                f"{theirs / ours:.1f}",
                f"{difference:.0e}",
            )
        )
    print(table(rows))


if __name__ == "__main__":
    main()
