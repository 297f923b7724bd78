"""The text of a language model's output as its tokens come, and where a stop string ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Output:
    """One output. `tokenizer` is a tokenizers.Tokenizer.

    Text is handed on only when it is sure: not half of a character that is spread over several
    tokens, not what may still become a stop string.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._ids: list[int] = []
        self._before = self._read = 0
        self._sent = 0
        self.text = ""
        """All of it that is known, up to the stop string."""
        self.stopped = False
        """Whether a stop string came."""

    def add(self, token: int) -> str:
        """The text that is sure now and was not before."""
        self._ids.append(token)
        # Decoded behind its forerunner, as some tokenizers write a space only between tokens.
        known = self._decode(self._ids[self._before : self._read])
        both = self._decode(self._ids[self._before :])
        if both.endswith("\ufffd") or len(both) <= len(known) or self._is_byte(token):
            return ""
        self.text += both[len(known) :]
        self._before, self._read = self._read, len(self._ids)
        return self._sure()

    def end(self) -> str:
        """The text held back, when no more tokens come."""
        rest = ""
        if not self.stopped:
            whole = self._decode(self._ids)
            if whole.startswith(self.text):
                self.text = whole
            rest = self._sure()
        rest += self.text[self._sent :]
        self._sent = len(self.text)
        return rest

    def _sure(self) -> str:
        places = [at for text in self._stop if (at := self.text.find(text, self._sent)) >= 0]
        if places:
            self.stopped = True
            self.text = self.text[: min(places)]
            until = len(self.text)
        else:
            until = len(self.text) - self._held()
        piece = self.text[self._sent : until]
        self._sent += len(piece)
        return piece

    def _held(self) -> int:
        """How many characters at the end may be the beginning of a stop string."""
        tail = self.text[self._sent :]
        return max(
            (
                size
                for text in self._stop
                for size in range(1, min(len(text), len(tail) + 1))
                if tail.endswith(text[:size])
            ),
            default=0,
        )

    def _is_byte(self, token: int) -> bool:
        """Whether `token` is a byte of a character, which only the next token completes."""
        name = self._tokenizer.id_to_token(token) or ""
        return len(name) == 6 and name.startswith("<0x") and name.endswith(">")

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text that each of `ids` adds; together the text of all. A character that is spread over
    several tokens belongs to the last of them."""
    output = Output(tokenizer)
    found = [output.add(token) for token in ids]
    if found:
        found[-1] += output.end()
    return found


def alternative(tokenizer: Any, before: Sequence[int], token: int) -> str:
    """The text that `token` would add behind the tokens `before`."""
    last = list(before[-1:])
    known = tokenizer.decode(last, skip_special_tokens=True)
    both = str(tokenizer.decode([*last, token], skip_special_tokens=True))
    return both[len(known) :]
