"""Generation: a prompt or a dialogue goes to a language model, and what it says is checked."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from nlpcli.backends import Decoding, Delta, Hypothesis, LanguageModel, Message, Request, Result
from nlpcli.errors import DataError
from nlpcli.tasks import Answer, Text
from nlpcli.tasks.fence import Fence, code_block

NO_BLOCK = "the output has no fenced code block"
_SEED_BITS = 0x3FFFFFFF  # below what any backend takes, with room for the number of a sample


class Generate(NamedTuple):
    """Answers to prompts; with `raw` their continuation, without the model's chat template.

    `system` goes before every dialogue that has no system message of its own. What is sampled
    depends on `seed` and the prompt, and on nothing else. With `extract` the answer is its first
    fenced code block. In text output several answers stand between tabs where `lines` is set,
    else below each other. `field` names the field that is added.
    """

    decoding: Decoding
    system: str = ""
    raw: bool = False
    seed: int = 0
    extract: bool = False
    lines: bool = False
    field: str = "generation"

    @property
    def fields(self) -> tuple[str, ...]:
        fields = [self.field, "finish"]
        if self.decoding.logprobs is not None:
            fields.append("logprobs")
        if self.decoding.nbest > 1:
            fields.append(f"{self.field}s")
        return tuple(fields)

    def run(self, texts: Sequence[Text], *backends: LanguageModel) -> list[Answer]:
        """One answer for each text; a blank text has a blank one."""
        (backend,) = backends
        requests = [self.request(text) for text in texts if not _blank(text)]
        results = iter(backend.run(requests, self.decoding) if requests else [])
        nothing = (Hypothesis(""),) * self.decoding.nbest
        return [
            self._answer(nothing) if _blank(text) else self._checked(next(results))
            for text in texts
        ]

    def stream(self, text: Text, backend: LanguageModel) -> Iterator[Delta]:
        """The answer to one text as it comes. Raises DataError where there is none: the prompt is
        beyond the model's window, or the output has no code block to extract."""
        with closing(backend.stream(self.request(text), self.decoding)) as deltas:  # type: ignore[type-var]
            yield from _extracted(deltas) if self.extract else deltas

    def request(self, text: Text) -> Request:
        """What the model is asked."""
        if isinstance(text, str):
            turns = [Message("user", text)]
            said = text
        else:
            turns = [Message(*turn) for turn in text]
            said = json.dumps(text)
        seed = zlib.crc32(f"{self.seed}\n{said}".encode(errors="surrogatepass")) & _SEED_BITS
        if self.raw and isinstance(text, str):
            return Request(text, seed=seed)
        if self.system and all(turn.role != "system" for turn in turns):
            turns.insert(0, Message("system", self.system))
        return Request("", messages=tuple(turns), seed=seed)

    def _checked(self, result: Result) -> Answer:
        if result.error:
            return Answer({}, error=result.error)
        hypotheses = result.hypotheses
        if self.decoding.schema:
            for each in hypotheses:
                if error := _not_json(each):
                    return Answer({}, error=error)
        if self.extract:
            blocks = [code_block(each.text) for each in hypotheses]
            if None in blocks:
                return Answer({}, error=NO_BLOCK)
            hypotheses = tuple(
                each._replace(text=block or "")
                for each, block in zip(hypotheses, blocks, strict=True)
            )
        return self._answer(hypotheses)

    def _answer(self, hypotheses: Sequence[Hypothesis]) -> Answer:
        values = self._values(hypotheses[0])
        if self.decoding.nbest > 1:
            values[f"{self.field}s"] = [self._values(each) for each in hypotheses]
        texts = [each.text.removesuffix("\n") for each in hypotheses]
        if self.lines and len(texts) > 1:
            line = "\t".join(text.replace("\t", " ") for text in texts)
        else:
            line = "\n".join(texts)
        cut = any(each.finish == "length" for each in hypotheses)
        return Answer(values, line, self.cut_off if cut else "")

    @property
    def cut_off(self) -> str:
        """What is odd about an output that ended for want of room."""
        return f"was cut off at {self.decoding.max_tokens} tokens or at the end of the window"

    def _values(self, hypothesis: Hypothesis) -> dict[str, Any]:
        values: dict[str, Any] = {self.field: hypothesis.text, "finish": hypothesis.finish}
        if self.decoding.logprobs is not None:
            values["logprobs"] = [
                {
                    "token": token.text,
                    "logprob": round(token.logprob, 6),
                    **({"top": _alternatives(token.top)} if self.decoding.logprobs else {}),
                }
                for token in hypothesis.logprobs
            ]
        return values


def _extracted(deltas: Iterator[Delta]) -> Iterator[Delta]:
    """The first code block of what comes, line by line; nothing is asked for after its end."""
    fence = Fence()
    finish = "stop"
    for delta in deltas:
        if code := fence.feed(delta.text):
            yield Delta(code)
        if fence.closed:
            break
        finish = delta.finish or finish
    if rest := fence.end():
        yield Delta(rest)
    if not fence.found:
        raise DataError(NO_BLOCK, "ask for one in the prompt, or leave out --extract")
    yield Delta("", "stop" if fence.closed else finish)


def _alternatives(top: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"token": text, "logprob": round(logprob, 6)} for text, logprob in top]


def _not_json(hypothesis: Hypothesis) -> str:
    """Why an output is no JSON document; "" where it is one."""
    if hypothesis.finish == "length":
        return "the JSON was cut off: raise --max-tokens, or shorten the prompt"
    try:
        json.loads(hypothesis.text)
    except ValueError:
        return "the output is not valid JSON"
    return ""


def _blank(text: Text) -> bool:
    return isinstance(text, str) and not text.strip()
