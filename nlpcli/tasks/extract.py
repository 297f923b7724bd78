"""Extractive summaries: the sentences that say most, word for word and in their order.

A sentence's score is how much it has in common with the others (its mean cosine to all of them,
as in LexRank), plus a prior for standing early and against being very short or long, plus its
cosine to the focus where there is one. The best are taken one by one, each losing for what it
repeats of those taken before (maximal marginal relevance).

The mean cosine of a sentence to all others follows from the sum of all embeddings, so that a text
of any length is read once, and only the candidates are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

from nlpcli.backends import Encoder
from nlpcli.tasks import Answer
from nlpcli.tasks.language_id import identify
from nlpcli.tasks.prose import sentences
from nlpcli.tasks.sentences import split
from nlpcli.tasks.style import Style

# Set on the development data of SciTLDR and on news: see tests/bench/RESULTS.md.
_EARLY = 0.4  # what the first sentence has before one from far behind
_EARLY_SPAN = 8.0  # sentences over which that falls to 1/e
_ARTICLE = 100  # sentences; in longer texts the beginning says less of the whole
_LENGTH_WEIGHT = 0.1
_IDEAL_WORDS = 25
_REDUNDANCY = 0.2
_FOCUS = 2.0

_CANDIDATES = 512
_TOO_LONG = "has one sentence, longer than --max-tokens"


class Extract(NamedTuple):
    """Summaries of whole sentences, each on a line of its own. Tokens are the encoder's."""

    style: Style = Style()

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.style.field,)

    def run(self, texts: Sequence[str], *backends: Encoder) -> list[Answer]:
        """A text with no more sentences than its summary would have is its own summary."""
        (encoder,) = backends
        split_texts = [sentences(text, _language(text)) for text in texts]
        long = [self.style.length.of(len(found)) < len(found) for found in split_texts]
        rows = [found for found, more in zip(split_texts, long, strict=True) if more]
        embedded = iter(self._embedded(rows, encoder))
        answers = []
        for text, found, more in zip(texts, split_texts, long, strict=True):
            if not more and not self._too_long(found, encoder):
                answers.append(self._answer(found if self.style.bullets else [text.rstrip("\r\n")]))
                continue
            pool = self._pool(encoder)
            pool.add(found, next(embedded) if more else self._embedded([found], encoder)[0])
            answers.append(self._answer(*pool.best(self.style.length.of(len(found)))))
        return answers

    def whole(self, parts: Iterable[str], encoder: Encoder) -> Iterator[Answer]:
        """The summary of one text that comes in parts, in memory that does not grow with it.

        A share of the sentences is as long as the text makes it: it comes in several answers.
        """
        rest = iter(parts)
        first = next(rest, "")
        second = next(rest, None)
        if second is None:
            yield from self.run([first], encoder)
            return
        language = _language(first)
        pool = self._pool(encoder)
        for part in chain((first, second), rest):
            found = sentences(part, language)
            (rows,) = self._embedded([found], encoder)
            if self.style.length.share and pool.count + len(found) > 2 * _CANDIDATES:
                yield self._answer(*pool.best(self.style.length.of(pool.count)))
                pool = self._pool(encoder)
            pool.add(found, rows)
        yield self._answer(*pool.best(self.style.length.of(pool.count)))

    def _embedded(self, texts: list[list[str]], encoder: Encoder) -> list[Any]:
        flat = [sentence for row in texts for sentence in row]
        every = embed(flat, encoder, self.style.batch_size) if flat else []
        starts = [0]
        for row in texts:
            starts.append(starts[-1] + len(row))
        return [every[start:end] for start, end in pairwise(starts)]

    def _too_long(self, found: list[str], encoder: Encoder) -> bool:
        return bool(self.style.max_tokens) and sum(map(encoder.measure, found)) > (
            self.style.max_tokens or 0
        )

    def _pool(self, encoder: Encoder) -> Pool:
        focus = embed([self.style.focus], encoder)[0] if self.style.focus else None
        return Pool(focus, self.style.max_tokens, encoder, keep_all=bool(self.style.length.share))

    def _answer(self, chosen: list[str], warning: str = "") -> Answer:
        mark = "- " if self.style.bullets else ""
        text = "\n".join(f"{mark}{sentence}" for sentence in chosen)
        return Answer({self.style.field: text}, text, warning)


class Pool:
    """The sentences of one text that may yet be in its summary, at most 512 once there are more
    than twice as many, unless it is to `keep_all`; those with the lowest score are dropped."""

    def __init__(
        self, focus: Any, max_tokens: int | None, encoder: Encoder, *, keep_all: bool = False
    ) -> None:
        self._keep_all = keep_all
        self.count = 0
        self._focus = focus
        self._max_tokens = max_tokens
        self._encoder = encoder
        self._texts: list[str] = []
        self._places: Any = None
        self._rows: Any = None
        self._sum: Any = 0.0

    def add(self, found: list[str], rows: Any) -> None:
        """Add the text's next sentences with their embeddings (sentences, dimensions)."""
        import numpy

        if not found:
            return
        places = numpy.arange(self.count, self.count + len(found))
        self.count += len(found)
        self._sum = self._sum + rows.sum(axis=0, dtype=numpy.float64)
        self._texts += found
        self._places = places if self._rows is None else numpy.append(self._places, places)
        self._rows = rows if self._rows is None else numpy.concatenate([self._rows, rows])
        if len(self._texts) > 2 * _CANDIDATES and not self._keep_all:
            kept = numpy.sort(numpy.argsort(-self._scores(), kind="stable")[:_CANDIDATES])
            self._texts = [self._texts[index] for index in kept]
            self._places, self._rows = self._places[kept], self._rows[kept]

    def best(self, count: int) -> tuple[list[str], str]:
        """At most `count` sentences in their order, and a warning where even one is too long."""
        import numpy

        if not self._texts:
            return [], ""
        left = math.inf if self._max_tokens is None else self._max_tokens
        scores = self._scores()
        repeats = numpy.zeros_like(scores)
        chosen: list[int] = []
        while len(chosen) < count and numpy.isfinite(scores).any():
            index = int(numpy.argmax(scores - _REDUNDANCY * repeats))
            scores[index] = -math.inf
            tokens = 0 if self._max_tokens is None else self._encoder.measure(self._texts[index])
            if tokens > left:
                continue
            left -= tokens
            chosen.append(index)
            repeats = numpy.maximum(repeats, self._rows @ self._rows[index])
        if not chosen:
            return [min(self._texts, key=self._encoder.measure)], _TOO_LONG
        return [self._texts[index] for index in sorted(chosen)], ""

    def _scores(self) -> Any:
        import numpy

        # A sentence's cosine with itself is no support.
        scores = (self._rows @ self._sum - 1) / max(1, self.count - 1)
        weight = _EARLY * min(1.0, _ARTICLE / self.count)
        scores += weight * numpy.exp(-self._places / _EARLY_SPAN)
        words = numpy.array([len(text.split()) for text in self._texts])
        scores -= _LENGTH_WEIGHT * numpy.abs(numpy.log(words / _IDEAL_WORDS))
        if self._focus is not None:
            scores += _FOCUS * (self._rows @ self._focus)
        return scores


def embed(texts: Sequence[str], encoder: Encoder, batch_size: int = 0) -> Any:
    """float32 array (texts, dimensions), rows of length one; a text longer than the encoder's
    window has the mean of its parts."""
    import numpy

    pieces = [_pieces(text, encoder) for text in texts]
    rows = encoder.embed([piece for row in pieces for piece in row], batch_size)
    if len(rows) == len(texts):
        return rows
    starts = numpy.cumsum([0, *map(len, pieces)])[:-1]
    sums = numpy.add.reduceat(rows, starts, axis=0)
    return sums / numpy.linalg.norm(sums, axis=1, keepdims=True)


def _pieces(text: str, encoder: Encoder) -> list[str]:
    if len(text.encode()) <= encoder.window:  # no text has more tokens than bytes
        return [text]
    return [
        piece.text for piece in split(text, "en", encoder.measure, encoder.window) if piece.text
    ]


def _language(text: str) -> str:
    return identify([text[:2000]]).language or "en"
