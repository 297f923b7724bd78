"""llama.cpp's server inside this process: requests are dictionaries of its HTTP API, answered in
parallel slots without any network."""

from __future__ import annotations

import re
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import xllamacpp

from nlpcli.backends.llamacpp.listener import Listener
from nlpcli.errors import DeviceError, ModelError, NlpcliError, UsageError

_BATCH = 512  # prompt tokens computed at once; only between two batches can a request be stopped
_SILENT, _ERRORS = -1, 1  # levels of llama.cpp's log
_NO_MODEL = "/nlpcli/no/model"
_LAST_WORDS = "exiting due to model loading error"


class Job(NamedTuple):
    """A request in the words of llama.cpp's API: for /chat/completions where `chat`, else for
    /completions."""

    body: dict[str, Any]
    chat: bool


class Shape(NamedTuple):
    """How many requests at once, and how many tokens (prompt and output) each."""

    slots: int
    context: int


def schema_grammar(schema: str) -> str:
    """The grammar of the JSON that follows a JSON Schema."""
    return str(xllamacpp.json_schema_to_grammar(schema))


class Server:
    """One model, loaded. Raises ModelError or DeviceError where it cannot be."""

    def __init__(self, file: Path, adapter: Path | None, shape: Shape, threads: int) -> None:
        self.shape = shape
        self._spelled: dict[int, str] = {}
        self._listener = Listener()
        params = _params(file, adapter, shape, threads)
        try:
            self._native: Any = _open(params, self._listener)
        except RuntimeError:
            self._listener.close()
            raise _failure(file, params) from None
        except BaseException:  # Ctrl-C
            self._listener.close()
            raise
        self._listener.hide(self._native.listening_address)

    def close(self) -> None:
        """Free the model, at once or when the last request has stopped."""
        self._native = None
        self._listener.close()

    def answers(self, jobs: Sequence[Job]) -> Generator[tuple[int, dict[str, Any]], None, None]:
        """The chunks of the answers as they come, each with the number of its job.

        Closing the iterator stops all jobs, without waiting for it.
        """
        chunks: SimpleQueue[tuple[int, Any] | Exception | None] = SimpleQueue()
        waiting = deque(enumerate(jobs))
        stopped = False

        def work(native: Any) -> None:
            while not stopped:
                try:
                    index, job = waiting.popleft()
                except IndexError:
                    break
                answer = native.handle_chat_completions if job.chat else native.handle_completions

                def receive(chunk: dict[str, Any], index: int = index) -> bool:
                    chunks.put((index, chunk))
                    return stopped

                # Told of its progress, a long prompt too can be stopped.
                try:
                    answer({"return_progress": True, **job.body}, receive)
                except Exception as error:  # which would end this thread alone, unheard
                    chunks.put(error)
            chunks.put(None)

        # A native call cannot be interrupted, so this thread makes none: it stays free for signals.
        running = min(self.shape.slots, len(jobs))
        for _ in range(running):
            Thread(target=work, args=(self._native,), daemon=True).start()
        try:
            while running:
                item = chunks.get()
                if item is None:
                    running -= 1
                elif isinstance(item, Exception):
                    raise item
                else:
                    yield item
        finally:
            stopped = True

    def tokens(self, text: str) -> int:
        """How many tokens `text` is, without those that begin or end a prompt."""
        asked = {"content": text, "add_special": False, "parse_special": True}
        return len(self._listener.ask("/tokenize", asked)["tokens"])

    def spelled(self, token: int) -> str:
        """The text of the token with that id."""
        if token not in self._spelled:
            answer = self._listener.ask("/detokenize", {"tokens": [token]})
            self._spelled[token] = answer["content"]
        return self._spelled[token]

    def check(self, constraint: dict[str, Any], what: str) -> None:
        """Raise UsageError where the grammar or schema of a request cannot be used.

        llama.cpp logs that and goes on without it, so its log is heard. An empty prompt costs
        nothing.
        """
        body = {"prompt": "", "max_tokens": 1, **constraint}
        answer, said = _heard(lambda: self._native.handle_completions(body))
        if "llg error" in said or "error" in answer:
            raise UsageError(
                f"the {what} cannot be used: {_reason(said)}", f"change the {what}, or leave it out"
            )


def _params(file: Path, adapter: Path | None, shape: Shape, threads: int) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    if adapter:
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = str(adapter), 1.0
        params.lora_adapters = [lora]
    params.n_parallel, params.n_ctx = shape.slots, shape.slots * shape.context
    params.kv_unified = False  # shared by all slots, it would let one answer change another
    params.n_batch = _BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_threads_http = 1
    # All of these take time or memory at the start, for uses that are not ours.
    params.warmup = params.fit_params = params.ui = False
    params.cache_ram_mib = 0
    params.verbosity = _SILENT
    # The text as the model wrote it: neither its thoughts nor its calls of tools are taken out.
    params.force_pure_content_parser = True
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    return params


def _open(params: Any, listener: Listener) -> Any:
    """The native server. Its threads leave signals to those of Python."""
    params.hostnames, params.api_keys = [listener.name], [listener.key] if listener.key else []
    if not hasattr(signal, "pthread_sigmask"):
        return _running(params)
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        return _running(params)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _running(params: Any) -> Any:
    """A server that has answered: one freed before its loop runs would wait for it for ever."""
    native = xllamacpp.Server(params)
    native.handle_completions({"prompt": "", "max_tokens": 1})
    return native


def _failure(file: Path, params: Any) -> NlpcliError:
    """Why the model cannot be loaded: tried again, to hear it from the log."""

    def again() -> None:
        params.verbosity = _ERRORS
        _try(params)

    _, said = _heard(again)
    reason = _reason(said)
    if "alloc" in reason:
        return DeviceError(
            f"not enough memory for {file.name}: {reason}", "choose a smaller model or shorter text"
        )
    return ModelError(f"{file}: cannot be loaded: {reason}", "fetch it again, or name another")


def _try(params: Any) -> None:
    listener = Listener()
    try:
        _open(params, listener)
    except RuntimeError:
        pass
    finally:
        listener.close()


def _set_level(level: int) -> None:
    """Set how much llama.cpp logs, which only the start of a server does: here of one that fails
    within a few milliseconds, for want of a model."""
    params = xllamacpp.CommonParams()
    params.model.path, params.verbosity = _NO_MODEL, level
    _try(params)


def _heard(act: Callable[[], Any]) -> tuple[Any, str]:
    """What `act` returns, and what llama.cpp logs meanwhile: errors alone.

    The log is written by a thread of its own, in order; it is complete once the words with which
    the second failing server ends are there.
    """
    import os
    import sys
    import tempfile
    import time

    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile("a+b") as log:
        os.dup2(log.fileno(), 2)
        try:
            _set_level(_ERRORS)
            result = act()
            _set_level(_ERRORS)
            patience = time.monotonic() + 1
            said = ""
            while said.count(_LAST_WORDS) < 2 and time.monotonic() < patience:
                time.sleep(0.001)
                log.seek(0)
                said = log.read().decode(errors="replace")
            _set_level(_SILENT)
        finally:
            os.dup2(own, 2)
            os.close(own)
    meant = said.partition(_LAST_WORDS)[2].splitlines()
    ends = next((n for n, line in enumerate(meant) if _NO_MODEL in line), len(meant))
    return result, "\n".join(meant[:ends])


def _reason(said: str) -> str:
    """The cause that llama.cpp's log names, in one line."""
    causes = re.sub(r"(?m)^[\d.]+ E (srv |failed to parse grammar).*$", "", said)
    text = " ".join(re.sub(r"(?m)^[\d.]+ E ", "", causes).split())
    for pattern in (
        r"failed to compile JSON schema: (.*?)(?: \d+ \| |$)",
        r"llg error: (.*?)(?: \d+ \| |$)",
        r"error parsing grammar: (.*? at .{0,40})",
        r"llama_grammar\w*: (.*)",
        r"(\S*failed to allocate.{0,80})",
        r"gguf_\w+: (.*?)(?: gguf_| llama_|$)",
        r"error loading model: (?:llama_model_loader: )?(.*?)(?: llama_| gguf_| common_|$)",
    ):
        found = re.search(pattern, text)
        if found:
            return found[1].strip()
    return text[:200] or "llama.cpp does not say why"
