"""An OpenAI-compatible server over HTTP: its address, its key, and what to do when it fails.

Knows nothing of prompts. The key is in no message, no log record and no traceback: what the server
says is redacted before it is told, as it may repeat what it was sent.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from nlpcli.backends.openai.wire import Garbled, complaint, events, parsed
from nlpcli.errors import ModelError

DEFAULT = "https://api.openai.com/v1"

T = TypeVar("T")

_LOGGERS = ("httpx2", "httpcore2.connection", "httpcore2.http11", "httpcore2.proxy")
_BUSY = (408, 409, 425, 429)
_NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached")


class Refused(Exception):
    """The server will not answer this request: its words, its `code` for it, and the `field` of
    the request that it names, "" where none."""

    def __init__(self, said: str, status: int = 0, code: str = "", field: str = "") -> None:
        super().__init__(said)
        self.status, self.code, self.field = status, code, field


class Failed(Exception):
    """No usable answer to this request, tried often enough."""


class _Again(Exception):
    """What was tried may succeed later, in `after` seconds where the server says so."""

    def __init__(self, why: str, after: float | None = None, connected: bool = True) -> None:
        super().__init__(why)
        self.after, self.connected = after, connected


class Endpoint:
    """The server that OPENAI_BASE_URL names. May be used by many threads at once."""

    tries = 6
    """How often a request is sent, at most."""
    connecting = 10.0
    """Seconds to wait for a connection."""
    silence = 300.0
    """Seconds to wait for the next byte; an answer that does not stream comes after all of it is
    computed."""
    patience = 600.0
    """Seconds after which a request is not tried again."""
    longest_wait = 60.0
    """Seconds that are waited when the server asks for it; a longer wait is a failure."""

    def __init__(self) -> None:
        self.url = _address(os.environ.get("OPENAI_BASE_URL", "").strip() or DEFAULT)
        host = urlsplit(self.url).hostname or ""
        key = _key(self.url)
        self._secret = _Redaction(key)
        self._has_key = bool(key)
        self._over = threading.Event()
        self._reached = False
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._secret)
        self._client = httpx2.Client(
            headers={"User-Agent": "nlpcli", **({"Authorization": f"Bearer {key}"} if key else {})},
            timeout=httpx2.Timeout(self.silence, connect=self.connecting, pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            # What stays on this machine goes through no proxy.
            trust_env=not (host == "localhost" or host.startswith("127.") or host == "::1"),
        )

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at `path`, asked for once. Raises as `post`."""
        try:
            return self._whole("GET", path, None, lambda answer: answer)
        except _Again as error:
            raise Failed(str(error)) from None

    def post(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        """What `read` makes of the JSON object that answers `body`; it may raise Garbled.

        Tried again with growing pauses where that can help. Raises Failed where it does not,
        Refused where the server wants another request, and ModelError where no request can
        succeed: no server, no right, no credit.
        """
        return self._retrying(lambda: self._whole("POST", path, body, read))

    def events(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The server-sent events that answer `body`, as they come. Raises as `post`; once the
        first event came nothing is tried again. Closing the iterator hangs up."""
        response, first, others = self._retrying(lambda: self._opened(path, body))
        try:
            yield first
            yield from others
        except (httpx2.HTTPError, Garbled) as error:
            raise Failed(f"the server's answer was cut off: {self._words(error)}") from None
        finally:
            response.close()

    def close(self) -> None:
        """Hang up; requests that wait for another try give up."""
        self.stop()
        self._client.close()
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._secret)

    def stop(self) -> None:
        """Let no request of until now be tried again."""
        over, self._over = self._over, threading.Event()
        over.set()

    def redacted(self, text: object) -> str:
        """`text` as one printable line of bounded length, without the key."""
        line = self._secret.clean(str(text))
        line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        return line if len(line) <= 300 else line[:299] + "…"

    def _retrying(self, attempt: Callable[[], T]) -> T:
        began, over = time.monotonic(), self._over
        for count in range(1, self.tries + 1):
            try:
                return attempt()
            except _Again as error:
                failure = error
            pause = random.uniform(0.5, 1) * min(8.0, 0.5 * 2**count)
            if failure.after is not None:
                pause = max(failure.after, pause)
                if failure.after > self.longest_wait:
                    raise Failed(f"{failure}; it asks to wait {failure.after:.0f} s") from None
            gone = not failure.connected and not self._reached
            patient = time.monotonic() - began + pause <= self.patience
            if count == (3 if gone else self.tries) or not patient or over.wait(pause):
                break
        if gone:
            raise ModelError(
                f"{self.url} cannot be reached: {failure}",
                "check OPENAI_BASE_URL, the network and the proxy settings",
            )
        raise Failed(f"{failure} ({count} {'tries' if count > 1 else 'try'})")

    def _whole(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        read: Callable[[dict[str, Any]], T],
    ) -> T:
        response = self._sent(method, path, body)
        try:
            response.read()
            return read(parsed(response.content))
        except httpx2.HTTPError as error:
            raise _Again(self._words(error)) from None
        except Garbled as error:
            raise _Again(f"the server's answer is garbled: {self.redacted(error)}") from None
        finally:
            response.close()

    def _opened(
        self, path: str, body: dict[str, Any]
    ) -> tuple[httpx2.Response, dict[str, Any], Iterator[dict[str, Any]]]:
        """The response whose first event is here, and its other events."""
        response = self._sent("POST", path, body)
        try:
            kind = response.headers.get("Content-Type", "")
            if kind and "event-stream" not in kind:
                raise Garbled(f"it is {kind}, not a stream of events")
            found = events(response.iter_bytes())
            first = next(found, None)
            if first is None:
                raise Garbled("it is empty")
            return response, first, found
        except httpx2.HTTPError as error:
            response.close()
            raise _Again(self._words(error)) from None
        except Garbled as error:
            response.close()
            raise _Again(f"the server's answer is garbled: {self.redacted(error)}") from None

    def _sent(self, method: str, path: str, body: dict[str, Any] | None) -> httpx2.Response:
        """The response with its body still to come, if the server means to answer."""
        # Escaped to ASCII, so that no text can be one that does not encode.
        content = json.dumps(body).encode() if body is not None else None
        kind = {"Content-Type": "application/json"} if body is not None else {}
        request = self._client.build_request(
            method, f"{self.url}/{path}", content=content, headers=kind
        )
        try:
            response = self._client.send(request, stream=True)
            self._reached = True
            if not response.is_success:
                response.read()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise _Again(self._words(error), connected=False) from None
        except httpx2.HTTPError as error:
            raise _Again(self._words(error)) from None
        if not response.is_success:
            response.close()
            self._reject(response)
        return response

    def _reject(self, response: httpx2.Response) -> None:
        """Raise what a status that means no success stands for."""
        status = response.status_code
        said, code, field = complaint(response.content)
        words = f"the server says {status}: {self.redacted(said or response.reason_phrase)}"
        if status == 401 or (status == 403 and not self._has_key):
            told = "refuses the key in OPENAI_API_KEY" if self._has_key else "asks for a key"
            raise ModelError(f"{self.url} {told}", "set OPENAI_API_KEY to a key of this server")
        if status == 403:
            raise ModelError(f"{self.url}: {words}", "check what the key in OPENAI_API_KEY may do")
        if status == 402 or code in _NO_CREDIT:
            raise ModelError(f"{self.url}: {words}", "check the account of OPENAI_API_KEY")
        if status in _BUSY or status >= 500:
            raise _Again(words, _retry_after(response))
        if status < 400:
            there = self.redacted(response.headers.get("Location", "elsewhere").partition("?")[0])
            raise ModelError(
                f"{self.url} redirects to {there}, where the key is not sent",
                "set OPENAI_BASE_URL to the address meant",
            )
        raise Refused(words, status, code, field)

    def _words(self, error: Exception) -> str:
        if isinstance(error, httpx2.ReadTimeout):
            return f"nothing came from the server for {self.silence:g} s"
        if isinstance(error, httpx2.TimeoutException):
            return f"no connection within {self.connecting:g} s"
        return self.redacted(error) or type(error).__name__


class _Redaction(logging.Filter):
    """Takes the key out of texts, and out of the log records of the HTTP library."""

    def __init__(self, key: str) -> None:
        super().__init__()
        # Servers also repeat a key with stars in its middle.
        pattern = re.escape(key) + (rf"|{re.escape(key[:6])}[^\s\"'<>]*" if len(key) > 11 else "")
        self.__pattern = re.compile(pattern if key else "(?!)")

    def clean(self, text: str) -> str:
        return self.__pattern.sub("…", text)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.clean(record.getMessage()), ()
        return True


def _address(url: str) -> str:
    """`url` as requests go below it. Raises ModelError where it cannot be a server's."""
    try:
        parts = urlsplit(url)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        fit = False
    if not fit or not url.isascii() or not url.isprintable() or " " in url:
        raise ModelError(
            "OPENAI_BASE_URL is not an http address", "it is one such as http://127.0.0.1:8080/v1"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ModelError(
            "OPENAI_BASE_URL holds more than an address: a user, a query or a fragment",
            "leave it out; the key belongs in OPENAI_API_KEY",
        )
    return url.rstrip("/")


def _key(url: str) -> str:
    """The key for the server at `url`, "" for none. Raises ModelError where it cannot be one."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelError(
            "OPENAI_API_KEY holds what no key can: white space, or letters beyond ASCII",
            "set it to the key alone",
        )
    if not key and url == DEFAULT:
        raise ModelError(
            f"OPENAI_API_KEY is not set, and {DEFAULT} asks for it",
            "set it, or OPENAI_BASE_URL to another server",
        )
    return key


def _retry_after(response: httpx2.Response) -> float | None:
    """The seconds to wait that the server asks for, None where it does not."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
