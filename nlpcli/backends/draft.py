"""An output of a language model in the making: its tokens, its text, their probabilities."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from nlpcli.backends import Decoding, Hypothesis, Token
from nlpcli.backends.stopping import Output, alternative, pieces

Alternatives = Sequence[tuple[int, float]]


class Draft:
    """`tokenizer` is a tokenizers.Tokenizer, `ends` are the ids of the end tokens. The text is
    read token by token where `live` or where a stop string may end it, else at the end."""

    def __init__(
        self, tokenizer: Any, ends: Collection[int], decoding: Decoding, *, live: bool = False
    ) -> None:
        self._tokenizer, self._ends, self._decoding = tokenizer, ends, decoding
        self._output = Output(tokenizer, decoding.stop) if live or decoding.stop else None
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._top: list[Alternatives] = []
        self.ended = False
        """Whether an end token came."""

    def __len__(self) -> int:
        """In tokens, the end token included."""
        return len(self._ids) + self.ended

    @property
    def stopped(self) -> bool:
        """Whether a stop string came."""
        return self._output is not None and self._output.stopped

    @property
    def finish(self) -> str:
        return "stop" if self.ended or self.stopped else "length"

    def add(self, token: int, logprob: float | None = None, top: Alternatives = ()) -> str:
        """The text that is sure now and was not before; none where nobody waits for it."""
        if logprob is not None:
            self._logprobs.append(logprob)
            self._top.append(top)
        if token in self._ends:
            self.ended = True
            return ""
        self._ids.append(token)
        return self._output.add(token) if self._output else ""

    def end(self) -> str:
        """The text held back, when no more tokens come."""
        return self._output.end() if self._output else ""

    def hypothesis(self) -> Hypothesis:
        self.end()
        text = (
            self._output.text
            if self._output
            else self._tokenizer.decode(self._ids, skip_special_tokens=True)
        )
        score = None
        if self._decoding.scores:
            score = sum(self._logprobs) / max(len(self._logprobs), 1)
        tokens = self._tokens(len(text)) if self._decoding.logprobs is not None else ()
        return Hypothesis(text, score, len(self), self.finish, tokens)

    def _tokens(self, length: int) -> tuple[Token, ...]:
        """The tokens of the first `length` characters, with what was noted of them."""
        tokens = []
        for place, text in enumerate(pieces(self._tokenizer, self._ids)):
            if length <= 0 and text:
                break
            others = tuple(
                (alternative(self._tokenizer, self._ids[:place], token), logprob)
                for token, logprob in self._top[place]
            )
            tokens.append(Token(text, self._logprobs[place], others))
            length -= len(text)
        return tuple(tokens)
