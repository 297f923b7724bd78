"""Requests to the token ids of a language model: chat templates and encoding without transformers.

Gives the ids of transformers' own `apply_chat_template`, where text that only looks like a control
token (a turn marker in the user's own text) stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from nlpcli.backends import Message, Request
from nlpcli.errors import DataError

# Private-use characters around what must not become a control token; they never reach the model.
_START, _END = "\U000f0000", "\U000f0001"

# Tokens that end a turn; chat models stop there even where their tokenizer's end token is another.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "<|end_of_turn|>", "<|end|>")


@dataclass(frozen=True, slots=True)
class Format:
    """What turns messages into a model's prompt.

    `template` is its chat template ("" for none), `specials` the tokens that it may name
    (bos_token, eos_token, ...), `controls` those that only it may write, `begin` the id that an
    empty prompt begins with (None for none).
    """

    template: str = ""
    specials: dict[str, Any] | None = None
    controls: tuple[str, ...] = ()
    begin: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def from_json(fields: dict[str, Any]) -> Format:
    return Format(**{**fields, "controls": tuple(fields["controls"])})


def of_tokenizer(tokenizer: Any) -> Format:
    """The format that a transformers tokenizer brings."""
    try:
        template = tokenizer.get_chat_template() or ""
    except ValueError:  # none, or several without a default
        template = ""
    controls = tuple(
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content in template and not token.content.isspace())
    )
    specials = {
        name: [str(each) for each in value] if isinstance(value, list | tuple) else str(value)
        for name, value in tokenizer.special_tokens_map.items()
    }
    begin = tokenizer.bos_token_id
    return Format(template, specials, controls, tokenizer.eos_token_id if begin is None else begin)


def end_ids(model: Any, tokenizer: Any, template: str) -> list[int]:
    """The ids that end an output of a transformers model: its own, its tokenizer's, and those
    that end a turn in its chat template."""
    found: list[int] = []
    own = model.generation_config.eos_token_id
    for value in (model.config.eos_token_id if own is None else own, tokenizer.eos_token_id):
        found += value if isinstance(value, list) else [] if value is None else [value]
    vocabulary = tokenizer.get_vocab()
    for token in _TURN_ENDS:
        # In the harmony format <|end|> ends a message, <|return|> the turn.
        if token == "<|end|>" and "<|return|>" in vocabulary:
            continue
        if token in vocabulary and token in template:
            found.append(vocabulary[token])
    return sorted(set(found))


class Prompts:
    """Encodes for one model. `tokenizer` is a tokenizers.Tokenizer."""

    def __init__(self, tokenizer: Any, form: Format) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._format = form
        self.chat = bool(form.template)
        longest_first = sorted(form.controls, key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._marks = re.compile(f"{_START}({self._controls.pattern}){_END}|[{_START}{_END}]")

    def measure(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, request: Request) -> list[int]:
        """The ids of the prompt, at least one. Raises DataError where the model's template refuses
        the messages, or the prompt is empty."""
        if request.messages and self.chat:
            ids = self._chat(request.messages)
        else:
            contents = [message.content for message in request.messages]
            text = "\n\n".join(contents) if contents else request.text
            ids = list(self._tokenizer.encode(text).ids)
        if not ids and self._format.begin is not None:
            ids = [self._format.begin]
        if not ids:
            raise DataError("an empty prompt", "give the model some words to begin with")
        return ids

    def spans(self, text: str) -> tuple[list[int], list[tuple[int, int] | None]]:
        """The ids of a whole text, and the characters [start, end) of it that each stands for;
        None for a token that the tokenizer puts in front. It ends where the text does."""
        found = self._tokenizer.encode(text)
        added = found.special_tokens_mask
        count = len(added)
        while count and added[count - 1]:
            count -= 1
        return list(found.ids[:count]), [
            None if special else span
            for special, span in zip(added[:count], found.offsets[:count], strict=True)
        ]

    def continuation(self, text: str) -> list[int]:
        """The ids of `text` as they follow a prompt."""
        return self._piece(text)

    def _chat(self, messages: Sequence[Message]) -> list[int]:
        forged = any(self._controls.search(message.content) for message in messages)
        if forged:
            messages = [
                message._replace(content=self._marked(message.content)) for message in messages
            ]
        rendered = render(self._format.template, messages, self._format.specials or {})
        if not forged:
            return list(self._tokenizer.encode(rendered, add_special_tokens=False).ids)
        pieces = self._marks.split(rendered)
        ids = list(self._tokenizer.encode(pieces[0], add_special_tokens=False).ids)
        for place, piece in enumerate(pieces[1:], start=1):
            if piece:
                ids += self._piece(piece, as_text=place % 2 == 1)
        return ids

    def _marked(self, text: str) -> str:
        text = text.replace(_START, "").replace(_END, "")
        return self._controls.sub(f"{_START}\\g<0>{_END}", text)

    def _piece(self, text: str, *, as_text: bool = False) -> list[int]:
        """The ids of a piece from the middle of a text: encoded behind a line break, so that no
        space is put in front of it."""
        self._tokenizer.encode_special_tokens = as_text
        try:
            ids = list(self._tokenizer.encode("\n" + text, add_special_tokens=False).ids)
            newline = list(self._tokenizer.encode("\n", add_special_tokens=False).ids)
            if ids[: len(newline)] == newline:
                return ids[len(newline) :]
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        finally:
            self._tokenizer.encode_special_tokens = False


def render(template: str, messages: Sequence[Message], specials: dict[str, Any]) -> str:
    """`messages` in the model's chat `template`, ready for its answer.

    Where the template knows no system turn, the system's words go in front of the first user
    turn. Raises DataError where it refuses the messages.
    """
    from jinja2.exceptions import TemplateError

    try:
        return _rendered(template, messages, specials)
    except TemplateError as error:
        refusal = str(error)
    if len(messages) > 1 and messages[0].role == "system" and messages[1].role == "user":
        content = f"{messages[0].content}\n\n{messages[1].content}"
        try:
            return _rendered(template, [Message("user", content), *messages[2:]], specials)
        except TemplateError as error:
            refusal = str(error)
    raise DataError(
        f"the model's chat template refuses these messages: {refusal}",
        "let user and assistant take turns",
    )


def _rendered(template: str, messages: Sequence[Message], specials: dict[str, Any]) -> str:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return str(
        _compiled(template).render(
            **{**specials, "tools": None, "documents": None},
            messages=turns,
            add_generation_prompt=True,
        )
    )


@lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    """The template in a sandbox set up like transformers' own: templates come with the weights
    and are not to be trusted."""
    from datetime import datetime

    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """{% generation %} marks what an assistant wrote, for training; here its body alone."""

        tags = {"generation"}

        def parse(self, parser: Any) -> nodes.Node | list[nodes.Node]:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)
