"""The first fenced code block of a text that comes in pieces (CommonMark 0.31, section 4.5)."""

from __future__ import annotations

import re

_OPENING = r"( {0,3})(`{3,}|~{3,})(.*)"
_CLOSING = r" {0,3}(`{3,}|~{3,})[ \t]*"


class Fence:
    """Fed with pieces, gives the lines of the block as they are complete, the fence left out.

    A block that is never closed ends with the text.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._mark = ""
        self._indent = 0
        self.closed = False

    @property
    def found(self) -> bool:
        """Whether the block has begun."""
        return bool(self._mark)

    def feed(self, piece: str) -> str:
        """The lines of the block that `piece` completes."""
        *lines, self._rest = (self._rest + piece).split("\n")
        return "".join([f"{code}\n" for line in lines if (code := self._line(line)) is not None])

    def end(self) -> str:
        """What is left of the block when the text has ended."""
        rest, self._rest = self._rest, ""
        return self._line(rest) or ""

    def _line(self, line: str) -> str | None:
        """What of `line` is code; None where all of it is outside of the block."""
        if self.closed:
            return None
        if not self._mark:
            opening = re.fullmatch(_OPENING, line.removesuffix("\r"))
            if opening and not (opening[2][0] == "`" and "`" in opening[3]):
                self._indent, self._mark = len(opening[1]), opening[2]
            return None
        closing = re.fullmatch(_CLOSING, line.removesuffix("\r"))
        if closing and closing[1].startswith(self._mark):
            self.closed = True
            return None
        spaces = len(line) - len(line.lstrip(" "))
        return line[min(spaces, self._indent) :]


def code_block(text: str) -> str | None:
    """The first fenced code block of `text`, None where there is none."""
    fence = Fence()
    code = fence.feed(text) + fence.end()
    return code if fence.found else None
