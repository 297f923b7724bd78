"""Summaries of news (RealSumm's 100 of CNN/DailyMail) and of abstracts (the test set of SciTLDR):
ROUGE of the default, of SmolLM2 and of the first sentences, and how much of it is in the source.

Needs NLPCLI_BENCH_DATA: a folder with realsumm/cnndm100.jsonl and scitldr/test.jsonl. A language
model summarizes the first 100 texts of each, or as many as the first argument says (0: none).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from machine import describe, table
from rouge_score.rouge_scorer import RougeScorer

from nlpcli.tasks.prose import sentences

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
METRICS = ("rouge1", "rouge2", "rougeLsum")
LANGUAGE_MODEL = "smollm2-135m-instruct"


class Data(NamedTuple):
    """Texts with one or several references each; `lead` is the usual number of first sentences."""

    name: str
    texts: list[str]
    references: list[list[str]]
    split: list[list[str]]
    lead: int


def load(folder: Path) -> list[Data]:
    news = [json.loads(line) for line in (folder / "realsumm/cnndm100.jsonl").open()]
    papers = [json.loads(line) for line in (folder / "scitldr/test.jsonl").open()]
    texts = [each["text"] for each in news]
    return [
        Data(
            "realsumm",
            texts,
            [[each["reference"]] for each in news],
            # The texts are tokenised: a sentence ends at a full stop that stands alone.
            [re.split(r"(?<= [.?!]) ", text) for text in texts],
            3,
        ),
        Data(
            "scitldr",
            [" ".join(sentence.strip() for sentence in each["source"]) for each in papers],
            [each["target"] for each in papers],
            [each["source"] for each in papers],
            1,
        ),
    ]


def rouge(outputs: list[str], references: list[list[str]]) -> list[float]:
    """Mean F of METRICS in per cent, with the stemmer; of several references the best for each."""
    scorer = RougeScorer(METRICS, use_stemmer=True)
    sums = [0.0] * len(METRICS)
    for output, several in zip(outputs, references, strict=True):
        scores = [scorer.score(reference, output) for reference in several]
        for index, metric in enumerate(METRICS):
            sums[index] += max(score[metric].fmeasure for score in scores)
    return [100 * total / len(outputs) for total in sums]


def summarized(texts: list[str], *options: str) -> tuple[list[str], float]:
    """The command's summaries, a sentence on each line, and the seconds it took."""
    stdin = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    command = [COMMAND, "summarize", "-q", "-i", "jsonl", *options]
    begun = time.perf_counter()
    done = subprocess.run(command, input=stdin.encode(), stdout=subprocess.PIPE, check=True)
    seconds = time.perf_counter() - begun
    found = [json.loads(line)["summary"] for line in done.stdout.splitlines()]
    return ["\n".join(sentences(each)) if options else each for each in found], seconds


def verbatim(outputs: list[str], texts: list[str]) -> str:
    """How many of the output's sentences stand in the source word for word."""
    plain = [" ".join(text.split()) for text in texts]
    rows = [
        (" ".join(line.split()) in text)
        for output, text in zip(outputs, plain, strict=True)
        for line in output.splitlines()
        if line.strip()
    ]
    return f"{sum(rows)} of {len(rows)}"


def row(data: Data, name: str, outputs: list[str], seconds: float = 0) -> tuple[str, ...]:
    count = len(outputs)
    return (
        f"{data.name}, {count}",
        name,
        *(f"{score:.2f}" for score in rouge(outputs, data.references[:count])),
        verbatim(outputs, data.texts[:count]),
        f"{count / seconds:.1f}" if seconds else "",
    )


def main() -> None:
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(describe("nlpcli", "ctranslate2", "rouge-score"), flush=True)
    rows: list[tuple[str, ...]] = [
        ("texts", "summary", *METRICS, "sentences in the source", "texts/s")
    ]
    for data in load(Path(os.environ["NLPCLI_BENCH_DATA"])):
        summarized(data.texts[:1])  # converts the model where that has not been done
        first = f"first {data.lead}"
        lead = ["\n".join(each[: data.lead]) for each in data.split]
        rows += [row(data, first, lead), row(data, "default", *summarized(data.texts))]
        if asked:
            texts = data.texts[:asked]
            if asked < len(data.texts):
                rows.append(row(data, first, lead[:asked]))
            rows.append(row(data, LANGUAGE_MODEL, *summarized(texts, "-m", LANGUAGE_MODEL)))
        print(table(rows), flush=True)


if __name__ == "__main__":
    main()
