"""BLEU, chrF and TER: tokenizers, scores and signatures are sacreBLEU's own, the counting is ours.

The counts equal sacreBLEU's (Post 2018), and so does every score; they take a fraction of its time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any

from nlpcli.errors import ModelError, UsageError
from nlpcli.metrics import Additive, Figure

# Named here, so that no help page imports sacreBLEU.
TOKENIZERS = (
    "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none", "spm", "flores101", "flores200",
)  # fmt: skip
SMOOTHING = ("exp", "floor", "add-k", "none")
_EXTRAS = {"ja-mecab": "sacrebleu[ja]", "ko-mecab": "sacrebleu[ko]"}

_RECORDS = 4096  # counted at once

Row = list[float]
References = Sequence[Sequence[str]]


class _Metric:
    """What the three have in common: `_metric` is sacreBLEU's."""

    figures: tuple[Figure, ...]
    _metric: Any

    def sample(self, hypotheses: Sequence[str], references: References) -> Additive:
        """`references` holds one or more for each of `hypotheses`."""
        counts = {len(some) for some in references}
        self._metric.num_refs = counts.pop() if len(counts) == 1 else -1
        rows: list[Row] = []
        for start in range(0, len(hypotheses), _RECORDS):
            some = slice(start, start + _RECORDS)
            rows += self._rows(hypotheses[some], references[some])
        return Additive(rows, self._score, self._one)

    @property
    def signature(self) -> str:
        return str(self._metric.get_signature().format())

    def _rows(self, hypotheses: Sequence[str], references: References) -> list[Row]:
        """The counts of each record, as sacreBLEU's score takes their sums."""
        raise NotImplementedError

    def _score(self, sums: Sequence[float]) -> list[float]:
        return [self._metric._compute_score_from_stats(sums).score]

    _one = _score


class Bleu(_Metric):
    """BLEU (Papineni et al. 2002). Raises UsageError for a tokenizer that cannot be had here."""

    def __init__(
        self,
        tokenize: str = "13a",
        lowercase: bool = False,
        smooth_method: str = "exp",
        smooth_value: float | None = None,
        effective_order: bool = False,
    ) -> None:
        from sacrebleu.metrics.bleu import BLEU

        options = {
            "tokenize": tokenize,
            "lowercase": lowercase,
            "smooth_method": smooth_method,
            "smooth_value": smooth_value,
        }
        try:
            self._metric = BLEU(**options, effective_order=effective_order)
        except (ImportError, RuntimeError) as error:
            extra = _EXTRAS.get(tokenize)
            raise UsageError(
                f"--tokenize {tokenize}: {' '.join(str(error).split())}",
                f"pip install '{extra}'" if extra else "",
            ) from error
        except OSError as error:  # it downloads its vocabulary
            raise ModelError(f"--tokenize {tokenize}: {error}", "name another tokenizer") from error
        # A record by itself often has no 4-gram in common: as sacreBLEU's sentence level.
        self._by_sentence = BLEU(**options, effective_order=True)
        self.figures = (Figure("bleu", "BLEU"),)

    def _rows(self, hypotheses: Sequence[str], references: References) -> list[Row]:
        """Lengths of hypothesis and closest reference, n-grams matched, n-grams given."""
        rows: list[Row] = []
        orders = range(1, self._metric.max_ngram_order + 1)
        for hypothesis, some in zip(hypotheses, references, strict=True):
            words = self._words(hypothesis)
            others = [self._words(each) for each in some]
            length = len(words)
            closest = min((abs(length - len(other)), len(other)) for other in others)[1]
            matched = _matched(words, others, len(orders))
            rows.append([length, closest, *matched, *(max(length - n + 1, 0) for n in orders)])
        return rows

    def _words(self, text: str) -> list[str]:
        return self._metric._preprocess_segment(text).split()  # type: ignore[no-any-return]

    def _one(self, row: Sequence[float]) -> list[float]:
        return [self._by_sentence._compute_score_from_stats(row).score]


class Chrf(_Metric):
    """chrF, and chrF++ with a word order of 2 (Popović 2015, 2017)."""

    def __init__(
        self,
        char_order: int = 6,
        word_order: int = 0,
        beta: int = 2,
        lowercase: bool = False,
        whitespace: bool = False,
        eps_smoothing: bool = False,
    ) -> None:
        from sacrebleu.metrics.chrf import CHRF

        self._metric = CHRF(char_order, word_order, beta, lowercase, whitespace, eps_smoothing)
        plus = "+" * word_order
        self.figures = (Figure(f"chrf{plus}", f"chrF{beta}{plus}"),)

    def _rows(self, hypotheses: Sequence[str], references: References) -> list[Row]:
        """For each order the n-grams given, those in the reference and those in both, for the
        reference with the best F."""
        given = [list(self._bags(each)) for each in hypotheses]
        found = [
            self._against(given, [list(self._bags(each or "")) for each in column])
            for column in zip_longest(*references)
        ]
        if len(found) == 1:
            return found[0]
        return [
            max(rows[: len(some)], key=self._metric._compute_f_score)
            for rows, some in zip(zip(*found, strict=True), references, strict=True)
        ]

    def _against(self, given: list[list[Any]], reference: list[list[Any]]) -> list[Row]:
        """The rows against one reference for each record."""
        from nlpcli.metrics.ngrams import matches

        columns: list[Sequence[float]] = []
        orders = (self._metric.char_order, self._metric.word_order)
        for kind, most in enumerate(orders[: len(given[0])]):
            here = [bags[kind] for bags in given]
            there = [bags[kind] for bags in reference]
            for n, found in enumerate(matches(here, there, most)):
                total = [max(len(each) - n, 0) for each in there]
                columns.append(
                    [
                        max(len(each) - n, 0) if other else 0
                        for each, other in zip(here, total, strict=True)
                    ]
                )
                columns += [total, found.tolist()]
        return [list(row) for row in zip(*columns, strict=True)]

    def _bags(self, text: str) -> Iterator[Sequence[str]]:
        """What n-grams are made of: the characters and, where they count too, the words."""
        text = self._metric._preprocess_segment(text)
        yield text if self._metric.whitespace else "".join(text.split())
        if self._metric.word_order:
            yield self._metric._remove_punctuation(text)


class Ter(_Metric):
    """Translation edit rate (Snover et al. 2006), as tercom's."""

    def __init__(
        self,
        normalized: bool = False,
        no_punct: bool = False,
        asian_support: bool = False,
        case_sensitive: bool = False,
    ) -> None:
        from sacrebleu.metrics.ter import TER

        self._metric = TER(normalized, no_punct, asian_support, case_sensitive)
        self.figures = (Figure("ter", "TER", higher=False),)

    def _rows(self, hypotheses: Sequence[str], references: References) -> list[Row]:
        """The fewest edits to a reference, and the references' mean length in words."""
        from nlpcli.metrics.ter import edits

        rows = []
        for hypothesis, some in zip(hypotheses, references, strict=True):
            words = self._words(hypothesis)
            others = [self._words(reference) for reference in some]
            least = min(edits(words, other) for other in others)
            rows.append([least, sum(map(len, others)) / len(others)])
        return rows

    def _words(self, text: str) -> list[str]:
        return self._metric._preprocess_segment(text).split()  # type: ignore[no-any-return]


def _matched(words: list[str], others: list[list[str]], orders: int) -> list[int]:
    """How many n-grams of `words` the others have, each as often as the one that has it most; for
    every n up to `orders`."""
    found = [0] * orders
    for n in range(1, orders + 1):
        grams = set(_ngrams(words, n))
        common = grams.intersection(chain.from_iterable(_ngrams(each, n) for each in others))
        if not common:
            break  # nor is any longer one
        if len(grams) == len(words) - n + 1:
            found[n - 1] = len(common)
            continue
        counts, *most = (Counter(_ngrams(each, n)) for each in (words, *others))
        found[n - 1] = sum(min(counts[each], max(bag[each] for bag in most)) for each in common)
    return found


def _ngrams(words: list[str], n: int) -> Iterable[Any]:
    return words if n == 1 else zip(*(words[at:] for at in range(n)), strict=False)
