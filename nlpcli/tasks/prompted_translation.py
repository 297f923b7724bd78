"""Translation by a language model that is asked for it, chunk by chunk within its window."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from nlpcli import languages
from nlpcli.backends import Decoding, Hypothesis, LanguageModel, Message, Request, Result
from nlpcli.tasks import Answer
from nlpcli.tasks.repetition import loops
from nlpcli.tasks.sentences import Piece, join, split

_REPEATED = "repeats itself"
_CUT = "was cut off"
_CHUNK = 400  # tokens: more of them at once, and small models begin to leave things out
_SHARE = 5  # of a small window: a fifth for the text, the rest for the prompt and the translation
_GROWTH = 4  # tokens of a translation for each of its source, at most
_LINE_BREAKS = r"\s*\n\s*"


class PromptedTranslation(NamedTuple):
    """From `source` to `target` (BCP 47 tags) by an instruct model. `field` names the field added.

    The contract is that of `tasks.translate`: what stands between the chunks is kept, a text
    without a letter passes through, and no text depends on those beside it. A line stays a line.
    """

    source: str
    target: str
    decoding: Decoding
    field: str = "translation"

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def run(self, texts: Sequence[str], *backends: LanguageModel) -> list[Answer]:
        (backend,) = backends
        window = max(1, min(_CHUNK, backend.window // _SHARE))
        rows = [self._chunks(text, backend, window) for text in texts]
        asked = [piece.text for row in rows for piece in row if piece.text]
        most = min(backend.window // 2, _GROWTH * _CHUNK)
        decoding = self.decoding._replace(max_tokens=self.decoding.max_tokens or most)
        requests = [self.request(text) for text in asked]
        results = iter(backend.run(requests, decoding) if requests else [])
        return [
            self._answer(text, row, [next(results) for piece in row if piece.text])
            for text, row in zip(texts, rows, strict=True)
        ]

    def _chunks(self, text: str, backend: LanguageModel, window: int) -> list[Piece]:
        """`text` in pieces: each line one where it fits, since the sentences of a line explain one
        another, else its sentences."""
        pieces = []
        for line in text.splitlines(keepends=True):
            core = line.strip()
            if not any(character.isalpha() for character in core):
                pieces.append(Piece("", line))
            elif backend.measure(core) <= window:
                start = line.index(core[0])
                pieces += [Piece("", line[:start]), Piece(core, line[start + len(core) :])]
            else:
                pieces += split(line, self.source, backend.measure, window)
        return pieces

    def request(self, text: str) -> Request:
        source, target = _named(self.source), _named(self.target)
        system = f"You translate from {source} to {target}. Answer with the translation only."
        ask = f"Translate this {source} text to {target}:\n\n{text}"
        return Request("", messages=(Message("system", system), Message("user", ask)))

    def _answer(self, text: str, pieces: list[Piece], results: list[Result]) -> Answer:
        error = next((result.error for result in results if result.error), "")
        if error:
            return Answer({}, error=error)
        best = [result.hypotheses[0] for result in results]
        sources = [piece.text for piece in pieces if piece.text]
        warning = max(
            (_odd(each, source) for each, source in zip(best, sources, strict=True)), default=""
        )
        said = iter(re.sub(_LINE_BREAKS, " ", each.text.strip()) for each in best)
        outputs = [next(said) if piece.text else "" for piece in pieces]
        whole = join(pieces, outputs, self.target) if best else text
        return Answer({self.field: whole}, whole, warning)


def _named(tag: str) -> str:
    """The language in English, with its tag where that says more."""
    return f"{languages.name(tag)} ({tag})" if "-" in tag else languages.name(tag)


def _odd(hypothesis: Hypothesis, source: str) -> str:
    if loops(hypothesis.text, source):
        return _REPEATED
    return _CUT if hypothesis.finish == "length" else ""
