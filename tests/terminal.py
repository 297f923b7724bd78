"""An interactive shell behind a pseudo-terminal, driven by keys as a user drives it."""

from __future__ import annotations

import os
import pty
import re
import select
import time
from collections.abc import Mapping
from pathlib import Path

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|[\r\x07\x0f]")
_MARK = "printf '<%s>' "


class Terminal:
    """`start` are the lines that set the shell up; its prompt must not hold `<`."""

    def __init__(
        self, command: list[str], start: list[str], folder: Path, variables: Mapping[str, str]
    ) -> None:
        pid, self._file = pty.fork()
        if pid == 0:
            os.chdir(folder)
            settings = {"TERM": "xterm", "LINES": "40", "COLUMNS": "200", **variables}
            os.execvpe(command[0], command, {**os.environ, **settings})
        self._pid = pid
        self.raw = ""
        for line in start:
            self.send(line + "\n")
        self.send("echo rea''dy\n")
        self.until("ready")

    def completed(self, line: str) -> list[str]:
        """The words that `line` has become after TAB."""
        self.send(f"{line}\t\x01{_MARK}\n")
        self.send("echo do''ne\n")
        shown = [text for text in self.until("\ndone").split("\n") if text.startswith("<")]
        return re.findall("<([^>]*)>", shown[0])

    def listed(self, line: str, wanted: str) -> str:
        """What TAB TAB after `line` shows, read until it holds `wanted`."""
        self.send(f"{line}\t\t")
        said = self.until(re.escape(wanted))
        self.send("\x15\necho do''ne\n")
        return said + self.until("\ndone")

    def close(self) -> None:
        os.close(self._file)
        os.waitpid(self._pid, 0)

    def send(self, text: str) -> None:
        """Type `text`."""
        os.write(self._file, text.encode())

    def until(self, pattern: str, seconds: float = 15) -> str:
        """What is said until `pattern` is found in it, without control sequences."""
        said = b""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self._file], [], [], 0.1)[0]:
                read = os.read(self._file, 4096)
                said += read
                self.raw += read.decode(errors="replace")
            text = _CONTROLS.sub(" ", said.decode(errors="replace"))
            if re.search(pattern, text, re.DOTALL):
                return text
        raise AssertionError(f"no {pattern!r} in {said!r}")
