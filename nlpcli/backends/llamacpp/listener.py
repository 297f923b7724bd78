"""The listener that llama.cpp's server cannot do without, where nobody else finds it.

It is a socket in a folder of this user's alone. Linux reaches it by a handle, so that folder and
name are gone as soon as the model is loaded, and even a killed process leaves nothing. Where there
are no such sockets it is a port of the loopback interface, behind a random key.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from typing import Any

_LONGEST = 100  # bytes of a socket's name; the systems allow 104 to 108


class Listener:
    """`name` is what the server listens on, `key` what it must be told ("" for nothing)."""

    def __init__(self) -> None:
        self.name, self.key = _socket_name(), ""
        self._folder = os.path.dirname(self.name)
        self._address = self.name
        self._handle = -1
        if not self.name:
            self.name, self.key = "127.0.0.1", os.urandom(32).hex()

    def hide(self, address: str) -> None:
        """Now that the server listens on `address`, take the name out of the folder tree."""
        if not self._folder:
            self._address = address
        elif hasattr(os, "O_PATH") and os.path.isdir("/proc/self/fd"):
            self._handle = os.open(self.name, os.O_PATH)
            self._address = f"/proc/self/fd/{self._handle}"
            self._remove()

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """The server's JSON answer to a POST of `body`."""
        from http.client import HTTPConnection

        if self._folder:
            connection = HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self._address)
        else:
            connection = HTTPConnection(self._address.removeprefix("http://"))
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            return json.load(connection.getresponse())
        finally:
            connection.close()

    def close(self) -> None:
        self._remove()
        handle, self._handle = self._handle, -1  # first: a signal may end this in its midst
        if handle >= 0:
            os.close(handle)

    def _remove(self) -> None:
        if self._folder:
            with suppress(OSError):
                os.unlink(self.name)
            with suppress(OSError):
                os.rmdir(self._folder)


def _socket_name() -> str:
    """A name for a socket in a new folder that is this user's alone; "" where there is no place."""
    if os.name != "posix":
        return ""
    for place in (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp"):
        folder = f"{place}/nlpcli-{os.urandom(8).hex()}"
        name = f"{folder}/llama.sock"
        if place and name.isascii() and len(name) <= _LONGEST:
            with suppress(OSError):
                os.mkdir(folder, 0o700)
                return name
    return ""
