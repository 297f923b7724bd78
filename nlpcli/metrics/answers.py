"""Answers to questions: exact match and token F1, as SQuAD takes them (Rajpurkar et al. 2016)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from nlpcli import __version__
from nlpcli.errors import DataError
from nlpcli.metrics import Additive, Figure

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Answers:
    """The share of records whose text is a reference, and the mean F1 of its tokens, both in per
    cent, in lower case and without ASCII punctuation and English articles. Of several references
    the best counts, for each figure by itself."""

    figures = (Figure("exact-match", "exact match"), Figure("token-f1", "token F1"))

    def __init__(self) -> None:
        self._references = "0"

    @property
    def signature(self) -> str:
        return f"nrefs:{self._references}|norm:squad|version:nlpcli-{__version__}"

    def sample(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Additive:
        """`references` holds one or more for each of `hypotheses`. Raises DataError where it holds
        none."""
        counts = {len(some) for some in references}
        self._references = str(counts.pop()) if len(counts) == 1 else "var"
        rows = []
        for number, (text, some) in enumerate(zip(hypotheses, references, strict=True), start=1):
            if not some:
                raise DataError(
                    f"record {number}: no reference", "each record needs one reference or more"
                )
            found = tokens(text)
            wanted = [tokens(reference) for reference in some]
            best = max(token_f1(found, each) for each in wanted)
            rows.append((float(found in wanted), best, 1.0))
        return Additive(rows, _means)


def tokens(text: str) -> list[str]:
    """The words of `text` that count."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def token_f1(found: Sequence[str], wanted: Sequence[str]) -> float:
    """F1 of two bags of tokens; where one is empty, 1 if both are and else 0, as in SQuAD 2."""
    if not found or not wanted:
        return float(found == wanted)
    common = (Counter(found) & Counter(wanted)).total()
    return 2 * common / (len(found) + len(wanted))


def _means(sums: Sequence[float]) -> list[float]:
    exact, f1, records = sums
    return [100 * exact / records, 100 * f1 / records]
