"""Language models on any OpenAI-compatible server, by its chat completions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from functools import cached_property
from typing import Any

from nlpcli.backends import Decoding, Delta, Hypothesis, Request, Result, Token
from nlpcli.backends.openai.endpoint import Endpoint, Failed, Refused
from nlpcli.backends.openai.wire import Garbled, complaint
from nlpcli.device import Device
from nlpcli.errors import DataError, ModelError, UsageError, nearest
from nlpcli.notice import notice
from nlpcli.registry import LocalModel

CONCURRENCY = 8
"""Requests in flight at once where no batch size is given."""

_PATH = "chat/completions"
_WINDOW = 100_000
_CHARACTERS = 3  # a token has about four in English, fewer elsewhere
_LENGTHS = ("n_ctx", "context_length", "max_model_len", "max_context_length", "n_ctx_train")
_FULL = re.compile(r"(context|prompt|input)\W+(\w+\W+){0,4}(length|window|size|long|large)", re.I)
_NO_MODEL = re.compile(r"\bmodel\b.*\b(not (exist|found|a valid)|unknown)|unknown model", re.I)
# A server whose model has these fixed is asked without them.
_FIXED = ("temperature", "top_p", "seed")
_UNKNOWN = ("unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden")


class OpenAI:
    """`measure` counts characters, and the window is a guess from the server's list of models:
    only the server counts tokens. The device does not matter."""

    chat = True

    def __init__(self, model: LocalModel, device: Device) -> None:
        self._name = model.spec.sources[0].location
        self._server = Endpoint()
        self._limit = "max_tokens"
        self._fixed: set[str] = set()

    @cached_property
    def window(self) -> int:
        entry = self._entry
        known = {**entry, **(entry["meta"] if isinstance(entry.get("meta"), dict) else {})}
        lengths = [known[key] for key in _LENGTHS if isinstance(known.get(key), int)]
        return max(1, lengths[0]) * _CHARACTERS if lengths else _WINDOW

    def measure(self, text: str) -> int:
        return len(text)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        if not requests:
            return []
        self._check(decoding)
        size = min(decoding.batch_size or CONCURRENCY, len(requests))
        workers = ThreadPoolExecutor(size, thread_name_prefix="openai")
        try:
            futures = [workers.submit(self._answer, each, decoding) for each in requests]
            waiting = set(futures)
            while waiting:  # a signal that another thread gets does not wake this one
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            return [future.result() for future in futures]
        except BaseException:
            self._server.stop()
            raise
        finally:
            workers.shutdown(wait=False, cancel_futures=True)

    def stream(self, request: Request, decoding: Decoding) -> Iterator[Delta]:
        self._check(decoding)
        decoding = decoding._replace(nbest=1, logprobs=None)
        try:
            while True:
                body = self._body(request, decoding)
                try:
                    yield from self._deltas({**body, "stream": True})
                    return
                except Refused as refused:
                    if not self._adapts(refused, body):
                        raise self._explained(refused) from None
        except (Refused, Failed) as error:
            raise DataError(str(error)) from None

    def close(self) -> None:
        self._server.close()

    def _answer(self, request: Request, decoding: Decoding) -> Result:
        found: list[Hypothesis] = []
        try:
            # Not every server heeds `n`.
            while len(found) < max(1, decoding.nbest):
                found += self._asked(request, decoding, len(found))
        except (Refused, Failed) as error:
            return Result((), str(error))
        return Result(tuple(found[: max(1, decoding.nbest)]))

    def _asked(self, request: Request, decoding: Decoding, have: int) -> list[Hypothesis]:
        while True:
            body = self._body(request, decoding, have)
            try:
                return self._server.post(_PATH, body, lambda each: self._read(each, decoding))
            except Refused as refused:
                if not self._adapts(refused, body):
                    raise self._explained(refused) from None

    def _body(self, request: Request, decoding: Decoding, have: int = 0) -> dict[str, Any]:
        """The request as JSON, for the samples that are missing when `have` are here."""
        turns = [each._asdict() for each in request.messages]
        body: dict[str, Any] = {
            "model": self._name,
            "messages": turns or [{"role": "user", "content": request.text}],
            "temperature": decoding.temperature,
        }
        if decoding.max_tokens is not None:
            body[self._limit] = decoding.max_tokens
        if decoding.temperature > 0:
            body["seed"] = request.seed + have
            if decoding.top_p < 1:
                body["top_p"] = decoding.top_p
            if decoding.top_k:
                body["top_k"] = decoding.top_k
        if decoding.stop:
            body["stop"] = list(decoding.stop)
        if decoding.nbest - have > 1:
            body["n"] = decoding.nbest - have
        if decoding.logprobs is not None:
            body["logprobs"] = True
            if decoding.logprobs:
                body["top_logprobs"] = decoding.logprobs
        if decoding.schema:
            schema = {"name": "answer", "schema": json.loads(decoding.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if decoding.grammar:
            body["grammar"] = decoding.grammar
        return {key: value for key, value in body.items() if key not in self._fixed}

    def _read(self, answer: dict[str, Any], decoding: Decoding) -> list[Hypothesis]:
        """The hypotheses in a whole answer. Raises Garbled, or Refused where there is a choice
        that is no answer."""
        self._accuse(answer)
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise Garbled("it has no choices")
        usage = answer.get("usage")
        count = usage.get("completion_tokens") if isinstance(usage, dict) else 0
        tokens = count if isinstance(count, int) and len(choices) == 1 else 0
        return [self._hypothesis(choice, tokens, decoding) for choice in choices]

    def _hypothesis(self, choice: object, tokens: int, decoding: Decoding) -> Hypothesis:
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            raise Garbled("a choice of it has no message")
        finish, text = self._finish(choice), message.get("content")
        if refusal := message.get("refusal"):
            raise Failed(f"the model refused: {self._server.redacted(refusal)}")
        if text is not None and not isinstance(text, str):
            raise Garbled("a message of it is no text")
        if not text and not decoding.stop:
            spent = ", its tokens spent: raise --max-tokens" if finish == "length" else ""
            raise Refused(f"the server's answer is empty{spent}")
        logprobs: tuple[Token, ...] = ()
        if decoding.logprobs is not None:
            logprobs = _tokens(choice.get("logprobs"))
            tokens = tokens or len(logprobs)
        return Hypothesis(_clean(text or ""), None, tokens, finish, logprobs)

    def _deltas(self, body: dict[str, Any]) -> Iterator[Delta]:
        """A streamed answer. Raises Refused or Failed."""
        finish, said = "", False
        with closing(self._server.events(_PATH, body)) as events:  # type: ignore[type-var]
            for event in events:
                try:
                    self._accuse(event)
                except Refused as refused:
                    raise Failed(str(refused)) if said else refused from None
                text, ended = self._piece(event)
                finish = ended or finish
                if text:
                    said = True
                    yield Delta(_clean(text))
        if not finish:
            raise Failed("the server's answer was cut off")
        if not said and "stop" not in body:
            raise Failed("the server's answer is empty")
        yield Delta("", finish)

    def _piece(self, event: dict[str, Any]) -> tuple[str, str]:
        """The text of an event, and why the output ended if it did."""
        # Servers send usage and timings in events without choices.
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(delta, dict):
            return "", ""
        if refusal := delta.get("refusal"):
            raise Failed(f"the model refused: {self._server.redacted(refusal)}")
        text = delta.get("content")
        finish = self._finish(choice) if choice.get("finish_reason") else ""
        return text if isinstance(text, str) else "", finish

    def _finish(self, choice: dict[str, Any]) -> str:
        """Why the output ended, in our words."""
        reason = choice.get("finish_reason")
        if reason == "content_filter":
            raise Refused("the server's content filter stopped the answer")
        return "length" if reason in ("length", "max_tokens") else "stop"

    def _accuse(self, answer: dict[str, Any]) -> None:
        """Raise Refused where an answer of a good status is a complaint all the same."""
        if answer.get("error"):
            said, code, field = complaint(answer)
            raise Refused(f"the server says: {self._server.redacted(said)}", 0, code, field)

    def _adapts(self, refused: Refused, body: dict[str, Any]) -> bool:
        """Whether the next `body` will do without what the server refused in this one."""
        if "max_tokens" in body and "max_completion_tokens" in str(refused):
            self._limit = "max_completion_tokens"
            return True
        field = refused.field
        if field not in body or refused.code not in _UNKNOWN:
            return False
        if field not in _FIXED:
            return False
        if field not in self._fixed:
            self._fixed.add(field)
            notice(f"openai:{self._name} takes no {field}: its own is used")
        return True

    def _explained(self, refused: Refused) -> Refused:
        """The refusal as this request's own failure. Raises ModelError where it is the model's."""
        if refused.code == "model_not_found" or _NO_MODEL.search(str(refused)):
            raise self._no_model(refused)
        if refused.status in (404, 405):
            raise self._no_model(refused)
        too_long = ("context_length_exceeded", "exceed_context_size_error")
        if refused.code in too_long or refused.status == 413 or _FULL.search(str(refused)):
            return Refused(f"the prompt is longer than the model's window: {refused}")
        return refused

    def _no_model(self, refused: Refused) -> ModelError:
        names = [str(each.get("id")) for each in self._listed]
        if names and self._name not in names:
            near = nearest(self._name, names, 8) or sorted(names)[:8]
            shown = self._server.redacted(", ".join(near))
            return ModelError(f"{self._server.url} has no model {self._name}", f"it has: {shown}")
        if names:
            return ModelError(f"{self._server.url}, openai:{self._name}: {refused}")
        return ModelError(
            f"{self._server.url}/{_PATH}: {refused}",
            "check the model's name, and OPENAI_BASE_URL: it usually ends in /v1",
        )

    def _check(self, decoding: Decoding) -> None:
        # Other servers drop the field without a word.
        if decoding.grammar and self._entry.get("owned_by") != "llamacpp":
            raise UsageError(
                "--grammar: only llama.cpp's server takes one, and this is another",
                "give a JSON schema, or name a GGUF model",
            )

    @cached_property
    def _listed(self) -> list[dict[str, Any]]:
        """The server's models as it lists them; [] where it does not."""
        try:
            models = self._server.get("models").get("data")
        except (Refused, Failed):
            return []
        return [each for each in models if isinstance(each, dict)] if type(models) is list else []

    @cached_property
    def _entry(self) -> dict[str, Any]:
        """What the server's list says of the model; llama.cpp's has one model, for every name."""
        named = [each for each in self._listed if each.get("id") == self._name]
        return next(iter(named or (self._listed if len(self._listed) == 1 else [])), {})


def _tokens(given: object) -> tuple[Token, ...]:
    """Log-probabilities as the server gives them. Raises Refused where it gives none."""
    content = given.get("content") if isinstance(given, dict) else None
    if content is None:
        raise Refused("the server gives no log-probabilities")
    try:
        return tuple(
            Token(
                _clean(each["token"]),
                float(each["logprob"]),
                tuple(
                    (_clean(other["token"]), float(other["logprob"]))
                    for other in each.get("top_logprobs") or ()
                ),
            )
            for each in content
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Garbled("its log-probabilities have another form") from error


def _clean(text: str) -> str:
    """`text` without half characters, which JSON can hold and UTF-8 cannot."""
    return text if text.isascii() else text.encode(errors="replace").decode()
