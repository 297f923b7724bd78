"""The figures of what was read, before anything is learnt from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from nlpcli.training.data import Data, Example


def rows(data: Data) -> list[tuple[str, ...]]:
    """What was read, to be shown: a name, and the figures of the training and validation data.

    Words are what stands between white space; "–" is a figure of no records.
    """
    parts = data.train, data.valid
    found: list[tuple[str, ...]] = [("", "train", "valid")]
    found.append(("records", *(f"{len(part):,}" for part in parts)))
    if data.labels:
        counts = [Counter(each for example in part for each in example.targets) for part in parts]
        found.append(("labels", *(f"{len(count):,}" for count in counts)))
        shares = zip(counts, parts, strict=True)
        found.append(("most frequent label", *(_most(*each) for each in shares)))
    read = [[_words(_read(example)) for example in part] for part in parts]
    if any(map(any, read)):
        found += _lengths("", read)
    if not data.labels and any(example.targets for example in data.train):
        targets = [[_words(example.targets[:1]) for example in part] for part in parts]
        found += _lengths(" target", targets)
    found += [(f"left out: {reason}", f"{count:,}", "") for reason, count in data.dropped.items()]
    return found


def _read(example: Example) -> list[str]:
    return [content for _, content in example.messages] or [example.source]


def _words(texts: Iterable[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _lengths(of: str, parts: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
    train, valid = (
        (f"{max(part):,}", f"{sum(part) / len(part):,.1f}") if part else ("–", "–")
        for part in parts
    )
    return [
        (f"longest{of}, words", train[0], valid[0]),
        (f"mean{of}, words", train[1], valid[1]),
    ]


def _most(counts: Counter[str], examples: Sequence[Example]) -> str:
    if not counts:
        return "–"
    label, count = min(counts.items(), key=lambda each: (-each[1], each[0]))
    return f"{label}, {100 * count / len(examples):.1f} %"
