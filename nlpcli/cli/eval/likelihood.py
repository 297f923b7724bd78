"""How likely models find a text: runs them over it and reads what they told of each line."""

from __future__ import annotations

from typing import Any, NamedTuple

from nlpcli.cli.eval import data, models
from nlpcli.cli.eval.data import Data, System
from nlpcli.cli.eval.options import Scoring
from nlpcli.errors import UsageError
from nlpcli.tasks.likelihood import Line, split


class Likelihoods(NamedTuple):
    """`data` has the lines of the text for outputs, and no references; `lines` tells what each
    model found in them. `window` and `stride` are the models' (var: each has its own)."""

    data: Data
    lines: dict[str, list[Line]]
    window: str
    stride: str


def read(given: Scoring, window: int, stride: int) -> Likelihoods:
    """Run the models that `given` names over its data; `window` and `stride` in tokens (0: each
    model's own)."""
    if given.by:
        raise UsageError(f"--by {given.by}: perplexity is told by line", "take --per-record for it")
    chosen = ["--window", str(window), "--stride", str(stride)]
    systems, lines = [], {}
    told: list[dict[str, Any]] = []
    for model, path, cost in models.run(["eval", "logprobs"], given, *chosen):
        records = data.records(path, "jsonl", data.text_fields(given))
        found = [record.fields("")[data.OUTPUT_FIELD] for record in records]
        told += found
        texts = [line.removesuffix("\n") for record in records for line in split(record.text)]
        systems.append(System(model, texts, [], cost))
        lines[model] = [Line(*line) for each in found for line in each["lines"]]
    return Likelihoods(
        Data(systems, [[] for _ in systems[0].outputs]),
        lines,
        *(_of_all({each[name] for each in told}) for name in ("window", "stride")),
    )


def _of_all(values: set[int]) -> str:
    return str(values.pop()) if len(values) == 1 else "var"
