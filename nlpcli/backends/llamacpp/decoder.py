"""GGUF models as they are, through llama.cpp: the first word soonest, schemas and grammars.

An answer depends on its request alone: one is computed at a time unless a batch size asks for more
slots, since llama.cpp rounds otherwise where it computes several tokens at once; and what was
computed for another request is not used again. The one exception is a streamed dialogue: its
earlier turns are still there, so that the next answer begins at once. A deterministic device makes
none. The number of threads was measured to change no bit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from nlpcli.backends import Decoding, Delta, Hypothesis, Request, Result, Token
from nlpcli.backends.llamacpp import header
from nlpcli.backends.llamacpp.server import Job, Server, Shape, schema_grammar
from nlpcli.device import Device
from nlpcli.errors import DataError, DeviceError, UsageError
from nlpcli.registry import LocalModel
from nlpcli.registry.folder import ADAPTER, gguf_file

_SHARED = 16_384  # tokens that the slots of a batch have between them
_LEAST, _ROOM = 1024, 1024  # tokens of a context; of an output whose length is left open
_TEMPLATE = 512  # tokens that a chat template may add
_RANDOM_SEED = 2**32 - 1  # llama.cpp takes this one for a random seed
# JSON spaced as Python does. Free to add spaces, small models add them for ever.
_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class LlamaCpp:
    """`window` is the context that the model was trained with. Memory for it is taken in steps, as
    the requests need it. A LoRA adapter that lies in the model's folder is applied."""

    def __init__(self, model: LocalModel, device: Device) -> None:
        self._file = gguf_file(model.folder)
        adapter = model.folder / ADAPTER
        self._adapter = adapter if adapter.is_file() else None
        self._device = device
        told = header.read(self._file)
        self.window, self.chat, self._cache = told.window, told.chat, told.cache
        self._server: Server | None = None
        self._asked = Shape(0, 0)
        """What the server was to be; it has fewer slots where memory is short."""
        self._checked: dict[str, Any] = {}

    def close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    def measure(self, text: str) -> int:
        return (self._server or self._opened(Shape(1, _LEAST))).tokens(text)

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        # Greedy samples are all the same.
        samples = decoding.nbest if decoding.temperature > 0 else 1
        jobs = [self._job(each, decoding, k) for each in requests for k in range(samples)]
        outputs = self._complete(jobs, decoding)
        results = []
        for start in range(0, len(jobs), samples):
            some = outputs[start : start + samples]
            error = next((output.error for output in some if output.error), "")
            if error:
                results.append(Result((), error))
                continue
            found = tuple(self._hypothesis(output, decoding) for output in some)
            results.append(Result(found * (decoding.nbest // samples)))
        return results

    def stream(self, request: Request, decoding: Decoding) -> Iterator[Delta]:
        decoding = decoding._replace(logprobs=None)
        job = self._job(request, decoding)
        dialogue = any(each.role == "assistant" for each in request.messages)
        job.body["cache_prompt"] = dialogue and not self._device.deterministic
        shape = Shape(1, _bytes(job) + _TEMPLATE + (decoding.max_tokens or _ROOM))
        sent = 0
        for server in self._servers(shape, decoding):
            output = _Output()
            with closing(server.answers([job])) as answers:
                for _, chunk in answers:
                    output.add(chunk)
                    # A larger server begins anew; what a smaller one gave is not said again.
                    if len(output.text) > sent:
                        yield Delta(output.text[sent:])
                        sent = len(output.text)
            if output.needs(server.shape.context, decoding.max_tokens) <= server.shape.context:
                break
        if output.error:
            raise DataError(output.error)
        yield Delta("", output.finish)

    def _complete(self, jobs: Sequence[Job], decoding: Decoding) -> list[_Output]:
        """The output of each job; those that a slot is too short for go to longer ones."""
        outputs = [_Output() for _ in jobs]
        pending = list(range(len(jobs)))
        if not jobs:
            return []
        # Three bytes a token is less than most texts have.
        longest = max(map(_bytes, jobs)) // 3 + _TEMPLATE // 2 + (decoding.max_tokens or _ROOM)
        slots = self._device.batch_size(decoding.batch_size) or 1
        shape = Shape(min(slots, len(jobs)), min(longest, _SHARED // 2))
        for server in self._servers(shape, decoding):
            for index in pending:
                outputs[index] = _Output()
            with closing(server.answers([jobs[index] for index in pending])) as answers:
                for place, chunk in answers:
                    outputs[pending[place]].add(chunk)
            context = server.shape.context
            pending = [
                index
                for index in pending
                if outputs[index].needs(context, decoding.max_tokens) > context
            ]
            if not pending:
                break
        return outputs

    def _hypothesis(self, output: _Output, decoding: Decoding) -> Hypothesis:
        tokens = []
        for each in output.tokens:
            text = each["token"]
            if decoding.stop and self._server:
                # What might have become a stop string is told with the last of its tokens.
                text = self._server.spelled(each["id"])
            top = each["top_logprobs"][: decoding.logprobs]
            best = tuple((other["token"], other["logprob"]) for other in top)
            tokens.append(Token(text, each["logprob"], best))
        return Hypothesis(output.text, None, output.count, output.finish, tuple(tokens))

    def _servers(self, shape: Shape, decoding: Decoding) -> Iterator[Server]:
        """A server of `shape`, and at each step one with four times the context on a quarter of
        the slots, until the context is the model's window."""
        if (decoding.beam or 1) > 1:
            raise UsageError("llama.cpp has no beam search", "use --backend ct2 or torch")
        slots, context = shape
        while True:
            context = min(self.window, max(_LEAST, 1 << (context - 1).bit_length()))
            server = self._opened(Shape(max(1, min(slots, _SHARED // context)), context))
            self._check(server, decoding)
            yield server
            if server.shape.context >= self.window:
                return
            slots, context = max(1, slots // 4), server.shape.context * 4

    def _opened(self, shape: Shape) -> Server:
        """The server there is if it has that many slots and that much context, else a new one."""
        server = self._server
        enough = self._asked.slots >= shape.slots and self._asked.context >= shape.context
        if server and enough:
            return server
        self.close()
        memory = _free_memory()
        fitting = memory // max(1, self._cache * shape.context)
        if fitting < 1:
            raise DeviceError(
                f"a context of {shape.context:,} tokens takes "
                f"{self._cache * shape.context / 2**30:.1f} GiB of memory, "
                f"{memory / 2**30:.1f} GiB are free",
                "ask for fewer tokens (--max-tokens), or choose a smaller model",
            )
        self._asked = shape
        shape = shape._replace(slots=min(shape.slots, fitting))
        self._server = Server(self._file, self._adapter, shape, self._device.threads)
        return self._server

    def _check(self, server: Server, decoding: Decoding) -> None:
        """Raise UsageError where the schema or the grammar cannot be used."""
        constraint = _constraint(decoding)
        if constraint != self._checked:
            server.check(constraint, "schema" if decoding.schema else "grammar")
            self._checked = constraint

    def _job(self, request: Request, decoding: Decoding, sample: int = 0) -> Job:
        """The request as llama.cpp takes it; all that Decoding does not name is switched off."""
        body: dict[str, Any] = {
            "seed": (request.seed + sample) % _RANDOM_SEED,
            "max_tokens": min(decoding.max_tokens or self.window, self.window),
            "stop": [text for text in decoding.stop if text],
            "cache_prompt": False,
            # A stream leaves out the log-probabilities of what may become a stop string.
            "stream": decoding.logprobs is None,
            # The order of transformers, since the likeliest k are the same at any temperature.
            "samplers": ["top_k", "temperature", "top_p"],
            "top_k": decoding.top_k if decoding.temperature > 0 else 1,
            "top_p": decoding.top_p,
            "temperature": decoding.temperature,
            **_constraint(decoding),
        }
        alternatives = max(1, decoding.logprobs or 0)
        if self.chat and request.messages:
            messages = [{"role": role, "content": content} for role, content in request.messages]
            if decoding.logprobs is not None:
                body |= {"logprobs": True, "top_logprobs": alternatives}
            return Job({**body, "messages": messages}, True)
        if decoding.logprobs is not None:
            body["n_probs"] = alternatives
        contents = [message.content for message in request.messages]
        return Job({**body, "prompt": "\n\n".join(contents) or request.text}, False)


class _Output:
    """One output, as its chunks come."""

    def __init__(self) -> None:
        self.text = self.finish = self.error = ""
        self.count = self._prompt = 0
        self.tokens: list[dict[str, Any]] = []

    def add(self, chunk: dict[str, Any]) -> None:
        problem = chunk.get("error")
        if problem:
            self._refused(problem)
        for choice in chunk.get("choices", ()):
            message = choice.get("message") or choice.get("delta") or {}
            self.text += choice.get("text") or message.get("content") or ""
            self.tokens += (choice.get("logprobs") or {}).get("content", ())
            if choice.get("finish_reason"):
                self.finish = choice["finish_reason"]
                self.count = chunk["timings"]["predicted_n"]
                if not self.count:
                    self.error = "the prompt is empty"

    def _refused(self, problem: dict[str, Any]) -> None:
        self._prompt = problem.get("n_prompt_tokens", 0)
        if self._prompt:
            self.error = (
                f"the prompt is {self._prompt:,} tokens long, "
                f"the model's window holds {problem['n_ctx']:,}"
            )
        else:
            self.error = " ".join(str(problem.get("message", "llama.cpp failed")).split())

    def needs(self, context: int, max_tokens: int | None) -> int:
        """The context that the request needs at least: more than it had where it was refused, or
        ended early because the context was full."""
        if self._prompt:
            return self._prompt + 1
        full = (
            self.finish == "length"
            and not self.error
            and (max_tokens is None or self.count < max_tokens)
        )
        return context + 1 if full else 0


def _constraint(decoding: Decoding) -> dict[str, Any]:
    """The part of a request that constrains the output; {} for none."""
    if decoding.schema:
        schema = json.loads(decoding.schema)
        if isinstance(schema, dict):
            schema = {"x-guidance": _SPACING, **schema}
        return {"grammar": schema_grammar(json.dumps(schema))}
    return {"grammar": decoding.grammar} if decoding.grammar else {}


def _bytes(job: Job) -> int:
    """The length of the prompt in UTF-8, which its tokens hardly exceed."""
    texts = [each["content"] for each in job.body.get("messages", ())]
    return sum(len(text.encode(errors="replace")) for text in [job.body.get("prompt", ""), *texts])


def _free_memory() -> int:
    """Bytes that the system can give; no limit where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 1 << 62
