"""A chat's screen: answers wrapped at words as they come, and notices apart from them."""

import os
import re
import shutil
import sys
import unicodedata

from nlpcli.cli import tell

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# A word ends at white space; one in a script that has none between words, after each character.
_WORD = re.compile(
    r"(\s*)([\u2e80-\uffff]|[^\s\u2e80-\uffff]{40}|[^\s\u2e80-\uffff]+(?=[\s\u2e80-\uffff]))"
)


class Screen:
    """Answers go to standard output, notices to standard error.

    Only a terminal gets its lines wrapped, and no control characters, which a model might say.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.terminal = sys.stdout.isatty()
        self._quiet = quiet
        self._held = ""
        self._column = 0
        self._last = ""
        self._plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"

    def styled(self, code: str, text: str, prompt: bool = False) -> str:
        """`text` in the SGR style `code` where the terminal shows styles; in a `prompt` readline
        is told what takes no room."""
        if self._plain or not (self.terminal and sys.stderr.isatty()):
            return text
        begin, end = f"\x1b[{code}m", "\x1b[0m"
        return f"\x01{begin}\x02{text}\x01{end}\x02" if prompt else f"{begin}{text}{end}"

    def say(self, text: str) -> None:
        """Show a piece of an answer; a word is held until it is complete."""
        if not self.terminal:
            self._last = text[-1:] or self._last
            self._put(text)
            return
        self._held += _CONTROLS.sub("", text)
        at, placed = 0, ""
        while word := _WORD.match(self._held, at):
            placed += self._placed(word[1], word[2])
            at = word.end()
        self._held = self._held[at:]
        self._put(placed)

    def end(self) -> None:
        """End the answer, with its line."""
        if self.terminal:
            word = self._held.strip()
            self._put(self._placed(self._held.partition(word)[0], word) + "\n" if word else "\n")
        elif self._last != "\n":
            self._put("\n")
        self._held, self._last, self._column = "", "", 0

    def note(self, text: str) -> None:
        """Show a notice, unless under --quiet."""
        if not self._quiet:
            self.show(text)

    def show(self, text: str) -> None:
        """Show what was asked for, one line or several."""
        if self.terminal and sys.stderr.isatty():
            print(self.styled("2", text), file=sys.stderr, flush=True)
        else:
            for line in text.splitlines():
                tell(line)

    def _placed(self, blank: str, word: str) -> str:
        """A word and the white space before it, which a line end replaces where the line is
        full."""
        _, newline, indent = blank.rpartition("\n")
        column = (0 if newline else self._column) + _width(indent)
        width = _width(word)
        room = shutil.get_terminal_size().columns
        if self._column and not newline and column + width > room:
            blank, column = "\n", 0
        self._column = column + width if width <= room else width % room
        return blank + word

    def _put(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _width(text: str) -> int:
    """The columns that `text` takes: two for each wide character, none for a combining one."""
    if text.isascii():
        return len(text.expandtabs())
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )
