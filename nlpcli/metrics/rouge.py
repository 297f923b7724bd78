"""ROUGE (Lin 2004), equal to rouge_score's figures."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from itertools import compress, repeat
from typing import Literal, NamedTuple

from nlpcli.errors import DataError, UsageError, did_you_mean
from nlpcli.metrics import Additive, Figure
from nlpcli.metrics.lcs import aligned, positions

KINDS = (*(f"rouge{n}" for n in range(1, 10)), "rougeL", "rougeLsum")
_ASCII_WORDS = re.compile("[a-z0-9]+")
_SHORT = 3  # letters of the longest words that rouge_score does not stem
# Scripts without spaces: Thai, Lao, Myanmar, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)


class Score(NamedTuple):
    """From 0 to 1, in the order of a kind's figures."""

    f1: float = 0.0
    precision: float = 0.0
    recall: float = 0.0


class _Text(NamedTuple):
    """A text's tokens as numbers, altogether and by lines; lines without tokens are left out."""

    tokens: list[int]
    lines: list[list[int]]


class _Vocabulary(dict[str, int]):
    """A number for each word, the same for words of one stem."""

    def __init__(self, stem: Callable[[str], str] | None) -> None:
        self._stem = stem
        self._numbers: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        stem = word
        if self._stem is not None and len(word) > _SHORT and word.isascii():
            stem = self._stem(word)
        number = self[word] = self._numbers.setdefault(stem, len(self._numbers))
        return number


class Rouge:
    """Means over the records, in per cent. Of several references the one with the greatest F1
    counts, for each kind by itself. Raises UsageError for a kind not in `KINDS`.

    The tokenizer `rouge` knows ASCII letters and digits alone; `unicode` takes runs of letters,
    marks and digits of all scripts, and single characters where a script has no spaces.
    """

    def __init__(
        self,
        kinds: Sequence[str] = ("rouge1", "rouge2", "rougeL", "rougeLsum"),
        stemmer: bool = False,
        tokenizer: Literal["rouge", "unicode"] = "rouge",
    ) -> None:
        for kind in kinds:
            if kind not in KINDS:
                hint = did_you_mean(kind, KINDS) or f"choose from {', '.join(KINDS)}"
                raise UsageError(f"unknown kind of ROUGE: {kind}", hint)
        self.kinds = tuple(kinds)
        self.figures = tuple(figure for kind in kinds for figure in _figures(kind))
        self._stemmer = stemmer
        self._tokenizer = tokenizer
        self._words = _unicode_words if tokenizer == "unicode" else _ascii_words
        self._vocabulary = _Vocabulary(_porter() if stemmer else None)
        self._references = "0"

    @property
    def signature(self) -> str:
        from importlib.metadata import version

        stem = "yes" if self._stemmer else "no"
        name = "rouge_score" if self._tokenizer == "rouge" else "unicode"
        return (
            f"nrefs:{self._references}|stem:{stem}|tok:{name}|agg:mean"
            f"|version:rouge_score-{version('rouge_score')}"
        )

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
            rows.append(self._row(self._read(text), [self._read(each) for each in some]))
        return Additive(rows, self._means)

    def _means(self, sums: Sequence[float]) -> list[float]:
        """Means in per cent; the last of `sums` is the number of records."""
        if not sums:
            return [float("nan")] * len(self.figures)
        *totals, count = sums
        return [100 * total / count for total in totals]

    def _read(self, text: str) -> _Text:
        number = self._vocabulary.__getitem__
        lines = [[*map(number, words)] for line in text.split("\n") if (words := self._words(line))]
        if len(lines) == 1:
            return _Text(lines[0], lines)
        return _Text([token for line in lines for token in line], lines)

    def _row(self, text: _Text, references: list[_Text]) -> list[float]:
        row: list[float] = []
        for kind in self.kinds:
            scores = [_score(kind, text, each) for each in references]
            best = max(scores, key=_f1)  # the first of equals
            row += best
        row.append(1.0)
        return row


def _f1(score: Score) -> float:
    return score.f1


def _figures(kind: str) -> list[Figure]:
    title = f"ROUGE-{kind.removeprefix('rouge')}"
    return [
        Figure(kind, title, 2),
        Figure(f"{kind}-precision", f"{title} P", 2),
        Figure(f"{kind}-recall", f"{title} R", 2),
    ]


def _score(kind: str, text: _Text, reference: _Text) -> Score:
    given, wanted = len(text.tokens), len(reference.tokens)
    if not given or not wanted:
        return Score()
    if kind == "rougeL":
        from rapidfuzz.distance import LCSseq

        hits = LCSseq.similarity(text.tokens, reference.tokens)
    elif kind == "rougeLsum":
        hits = _hits(text, reference)
    else:
        n = int(kind[-1])
        hits = _common(_ngrams(text.tokens, n), _ngrams(reference.tokens, n))
        given, wanted = given - n + 1, wanted - n + 1
    if not hits:
        return Score()
    precision, recall = hits / given, hits / wanted
    return Score(2 * precision * recall / (precision + recall), precision, recall)


def _ngrams(tokens: list[int], n: int) -> Sequence[Hashable]:
    return tokens if n == 1 else [*zip(*(tokens[at:] for at in range(n)), strict=False)]


def _common(some: Sequence[Hashable], others: Sequence[Hashable]) -> int:
    """How many the two have in common, each as often as it stands in both."""
    left, right = set(some), set(others)
    both = left & right
    if len(left) == len(some) or len(right) == len(others):
        return len(both)
    here, there = Counter(some), Counter(others)
    return sum(map(min, map(here.__getitem__, both), map(there.__getitem__, both)))


def _hits(text: _Text, reference: _Text) -> int:
    """How many of the reference's tokens one of the text's lines has in common with their line,
    each as often as the text has it."""
    left = Counter(text.tokens)
    hits = 0
    for line in reference.lines:
        where = positions(line)
        union = 0
        for other in text.lines:
            if not where.keys().isdisjoint(other):
                union |= aligned(len(line), [*map(where.get, other, repeat(0))])
        for token in compress(line, map(int, reversed(f"{union:b}"))):
            if left[token]:
                left[token] -= 1
                hits += 1
    return hits


def _ascii_words(text: str) -> list[str]:
    return _ASCII_WORDS.findall(text.lower())


def _unicode_words(text: str) -> list[str]:
    return _unicode_pattern().findall(unicodedata.normalize("NFC", text.casefold()))


@cache
def _unicode_pattern() -> re.Pattern[str]:
    marks = "".join(
        chr(code)
        for start, stop in ((0x300, 0x20000), (0xE0100, 0xE01F0))
        for code in range(start, stop)
        if unicodedata.category(chr(code))[0] == "M"
    )
    # Joiners stand within words of Persian and of India's scripts.
    marks = f"[{marks}\u200c\u200d]"
    # What stands in those scripts without being letter, digit or mark is no token.
    single = f"(?=[^\\W_])[{_UNSPACED}]{marks}*"
    return re.compile(f"{single}|(?:(?![{_UNSPACED}])[^\\W_]{marks}*)+")


@cache
def _porter() -> Callable[[str], str]:
    from nltk.stem.porter import PorterStemmer

    stem: Callable[[str], str] = PorterStemmer().stem
    return stem
