"""Abstractive summaries: a model writes them, in parts where the text is longer than its window."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from nlpcli import languages
from nlpcli.backends import Backend, Decoding, Message, Request, Result
from nlpcli.tasks import Answer
from nlpcli.tasks.language_id import identify
from nlpcli.tasks.prose import sentences
from nlpcli.tasks.sentences import split
from nlpcli.tasks.style import Style

# What a family was trained to see before the text. The others were trained on the text alone.
PREFIXES = {"t5": "summarize: "}
_SYSTEM = "You summarize texts. You keep to what the text says and add nothing of your own."
_WORDS_A_SENTENCE = 20
_TOKENS_A_WORD = 2  # and some more, so that a summary a little too long still ends by itself
_SPARE_TOKENS = 64
_ARTICLE = 32  # sentences
_MOST_OF_SHARE = 12  # sentences
_SHORT, _LONG = (0, 60), (100, 300)  # tokens: least and most of a model that takes no instructions
_PASSES = 8
_MARK = r"^([-*•–]|\d{1,2}[.)])\s+"

_CUT = "was cut off at {} tokens"
_NO_SHORTER = "is as long as what it sums up"


class Abstract(NamedTuple):
    """Summaries that a model writes. `family` is the architecture of an encoder-decoder, "" for a
    language model, which is asked for the style; an encoder-decoder has its own.

    A text beyond the window is cut into parts at sentence ends, and the summaries of the parts are
    summed up in turn, until one is left.
    """

    style: Style = Style()
    family: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.style.field,)

    def run(self, texts: Sequence[str], *backends: Backend) -> list[Answer]:
        """A text as short as its summary would be is its own summary."""
        (backend,) = backends
        answers: list[Answer | None] = [None] * len(texts)
        active, warnings = {}, dict.fromkeys(range(len(texts)), "")
        for index, text in enumerate(texts):
            if self._short(text):
                answers[index] = self._answer(text.rstrip("\r\n"))
            else:
                active[index] = text
        for _ in range(_PASSES):
            if not active:
                break
            active = self._shorten(active, answers, warnings, backend)
        for index, text in active.items():
            answers[index] = self._answer(text, _NO_SHORTER)
        return [
            answer._replace(warning=answer.warning or warnings[index])
            for index, answer in enumerate(answers)
            if answer
        ]

    def whole(self, parts: Iterable[str], backend: Backend) -> Iterator[Answer]:
        """The summary of one text that comes in parts; each is summed up as it comes, unless the
        window takes the whole."""
        text, notes, warning = "", [], ""
        for part in parts:
            text += part
            if len(found := self._parts(text, backend)) > 1:
                # The last one may go on in what comes next.
                *full, text = found
                for result in backend.run([self.request(each) for each in full], self._decoding()):
                    if result.error:
                        yield Answer({}, error=result.error)
                        return
                    notes.append(result.text.strip())
                    warning = warning or self._cut_off(result)
        for answer in self.run(["\n".join([*notes, text])], backend):
            yield answer._replace(warning=answer.warning or warning)

    def _shorten(
        self,
        active: dict[int, str],
        answers: list[Answer | None],
        warnings: dict[int, str],
        backend: Backend,
    ) -> dict[int, str]:
        """One pass over the texts by their index: the summary of a text of one part is its answer;
        of the others the summaries of their parts are returned. `warnings` gets what is odd."""
        cut = {index: self._parts(text, backend) for index, text in active.items()}
        requests = [self.request(part) for row in cut.values() for part in row]
        results = iter(backend.run(requests, self._decoding()))
        rest = {}
        for index, row in cut.items():
            found = [next(results) for _ in row]
            error = next((each.error for each in found if each.error), "")
            text = "\n".join(each.text.strip() for each in found if not each.error)
            cut_off = next(filter(None, (self._cut_off(e) for e in found if not e.error)), "")
            warnings[index] = warnings[index] or cut_off
            if error:
                answers[index] = Answer({}, error=error)
            elif len(row) == 1:
                answers[index] = self._answer(text)
            elif len(text) >= len(active[index]):
                answers[index] = self._answer(text, _NO_SHORTER)
            else:
                rest[index] = text
        return rest

    def _parts(self, text: str, backend: Backend) -> list[str]:
        """`text` in as few parts as the window takes, of about the same length."""
        room = backend.window - self._overhead(backend)
        room = max(room, backend.window // 4)
        total = backend.measure(text)
        if total <= room:
            return [text]
        even = math.ceil(total / math.ceil(total / room))
        parts, size = [""], 0
        for piece in split(text, _language(text), backend.measure, room):
            length = backend.measure(piece.text) + 1
            if size and (size + length > room or size >= even):
                parts, size = [*parts, ""], 0
            parts[-1] += piece.text + piece.gap
            size += length
        return [part for part in parts if part.strip()]

    def _overhead(self, backend: Backend) -> int:
        """What the window holds beside the text: the prompt and, in a decoder, the output."""
        if self.family:
            return backend.measure(PREFIXES.get(self.family, ""))
        request = self.request("")
        prompt = sum(backend.measure(message.content) for message in request.messages)
        return prompt + (self._decoding().max_tokens or 0) + _SPARE_TOKENS

    def request(self, text: str) -> Request:
        if self.family:
            return Request(PREFIXES.get(self.family, "") + " ".join(text.split()))
        style, language = self.style, _language(text)
        words = self._words(text)
        form = f"in about {words} words"
        if style.bullets:
            points = max(2, words // _WORDS_A_SENTENCE)
            form = f"in about {points} short points, each on a line of its own that begins with -"
        about = f" Say only what it says about: {style.focus}." if style.focus else ""
        tongue = "" if language == "en" else f" Write in {languages.name(language)}."
        ask = f"{text.strip()}\n\nSummarize the text above {form}.{about}{tongue}"
        return Request("", messages=(Message("system", _SYSTEM), Message("user", ask)))

    def _decoding(self) -> Decoding:
        """The same for all texts, so that none depends on those beside it."""
        style = self.style
        plain = Decoding(max_tokens=style.max_tokens, batch_size=style.batch_size)
        if self.family:
            least, most = {"short": _SHORT, "long": _LONG}.get(style.length.name, (None, None))
            return plain._replace(min_tokens=least, max_tokens=style.max_tokens or most)
        return plain._replace(max_tokens=style.max_tokens or self._most())

    def _most(self) -> int:
        """The tokens of a language model's summary, where it is not told when to end."""
        return _TOKENS_A_WORD * _WORDS_A_SENTENCE * self._ceiling() + _SPARE_TOKENS

    def _ceiling(self) -> int:
        """The most sentences a language model is asked for."""
        return _MOST_OF_SHARE if self.style.length.share else self.style.length.of(_ARTICLE)

    def _words(self, text: str) -> int:
        """How many words to ask for."""
        count = self.style.length.of(len(sentences(text, _language(text))))
        return _WORDS_A_SENTENCE * min(count, self._ceiling())

    def _short(self, text: str) -> bool:
        return not text.strip() or len(text.split()) <= self._words(text)

    def _cut_off(self, result: Result) -> str:
        hypothesis = result.hypotheses[0]
        return _CUT.format(hypothesis.tokens) if hypothesis.finish == "length" else ""

    def _answer(self, text: str, warning: str = "") -> Answer:
        if self.style.bullets:
            text = "\n".join(_points(text))
        return Answer({self.style.field: text}, text, warning)


def _points(text: str) -> list[str]:
    """The lines of `text`, or where it is one line its sentences, each after a dash."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = lines if len(lines) > 1 else sentences(text, _language(text))
    return [f"- {re.sub(_MARK, '', line)}" for line in found]


def _language(text: str) -> str:
    return identify([text[:2000]]).language or "en"
