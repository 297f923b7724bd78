"""A dialogue with a model that stays loaded: its turns, its settings, and the next answer.

The model lives in a thread of its own, so that it loads while the first line is typed and Ctrl-C
is never held up by it.
"""

import random
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from nlpcli import registry
from nlpcli.backends import Decoding, Delta, LanguageModel, Message
from nlpcli.cli.constraints import unescaped
from nlpcli.cli.inference import Plan, prepare
from nlpcli.cli.options import Shared
from nlpcli.errors import UsageError, did_you_mean
from nlpcli.tasks.dialogue import fit
from nlpcli.tasks.generate import Generate


class Settings(NamedTuple):
    """How answers are sampled; None for a seed means another each time.

    Not greedy: in a dialogue small models would say the same over and over. Without the unlikely
    tail, though: one odd token there, and all turns after it follow it.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 0
    max_tokens: int = 1024
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def changed(self, name: str, value: Any) -> "Settings":
        """With the setting `name` (dashes as typed) as `value` says, text as it is typed or JSON.
        Raises UsageError."""
        field = name.replace("-", "_")
        if field not in self._fields:
            known = [each.replace("_", "-") for each in self._fields]
            hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
            raise UsageError(f"no such setting: {name}", hint)
        if field == "stop":
            texts = value
            if isinstance(value, str):
                texts = () if value == "none" else (unescaped(value),)
            if not isinstance(texts, list | tuple) or not all(
                isinstance(each, str) for each in texts
            ):
                raise UsageError(f"{name} {value}: not a list of texts")
            return self._replace(stop=tuple(texts))
        if field == "seed" and value in (None, "random"):
            return self._replace(seed=None)
        kind, low, high = _RANGES[field]
        try:
            number = kind(value)
        except (TypeError, ValueError, OverflowError):
            number = low - 1
        if not low <= number <= high:
            most = f" to {high}" if high < _ENDLESS else " or more"
            what = "a number" if kind is float else "a whole number"
            raise UsageError(f"{name} {value}: not {what} of {low}{most}")
        return self._replace(**{field: number})

    @property
    def decoding(self) -> Decoding:
        return Decoding(
            temperature=self.temperature,
            top_p=self.top_p or 1e-6,
            top_k=self.top_k,
            max_tokens=self.max_tokens,
            stop=self.stop,
        )


_ENDLESS = 1 << 31
_RANGES: dict[str, tuple[type, int, int]] = {
    "temperature": (float, 0, _ENDLESS),
    "top_p": (float, 0, 1),
    "top_k": (int, 0, _ENDLESS),
    "max_tokens": (int, 1, _ENDLESS),
    "seed": (int, 0, _ENDLESS),
}


class Conversation:
    """`turns` are all that was said; the model may see fewer of them."""

    def __init__(self, given: Shared, settings: Settings) -> None:
        self.settings = settings
        self.turns: list[Message] = []
        self.left_out = 0
        """How many turns the model did not see for its last answer."""
        self.finish = ""
        """How the last answer ended, as in Hypothesis; "" where it was interrupted."""
        self.model = ""
        self.backend = ""
        self._given = given
        self._worker = ThreadPoolExecutor(1)
        self._loaded: Future[LanguageModel] | None = None

    def use(self, name: str) -> None:
        """Have the model `name` answer from now on; it is downloaded now and loaded meanwhile."""
        task = Generate(self.settings.decoding)
        dry = self._given.backend == "echo"
        models = () if dry else (registry.find(name).spec,)
        needs = {"sample": "chat"}
        plan = Plan(task, models, needs, work="stream", kinds=("decoder",), verb="generate")
        job = prepare(self._given, plan)
        if self._loaded is not None:
            self._worker.submit(_close, self._loaded)
        self._loaded = self._worker.submit(lambda: job.open()[0])
        self.model, self.backend = job.legs[0].model.spec.name, job.legs[0].backend
        self.left_out = 0

    def close(self) -> None:
        """Free the model, unless it is still being loaded."""
        if self._loaded is not None and self._loaded.done():
            self._worker.submit(_close, self._loaded).result()

    @property
    def window(self) -> int:
        """The model's window, waiting until it is loaded."""
        return self._ready().window

    def system(self, text: str) -> None:
        """Make `text` the system message; none where it is empty."""
        rest = self.turns[1:] if self.turns and self.turns[0].role == "system" else self.turns
        self.turns = [Message("system", text), *rest] if text else list(rest)

    def reset(self) -> None:
        """Forget all but the system message."""
        self.turns = [turn for turn in self.turns[:1] if turn.role == "system"]
        self.left_out = 0

    def answer(self, said: str) -> Generator[str, None, None]:
        """What the model answers to `said`, as it comes.

        Left early, it keeps what came so far; where nothing came, `said` is not kept either.
        Raises DataError where `said` does not fit the window.
        """
        model = self._ready()
        turns = [*self.turns, Message("user", said)]
        room = min(self.settings.max_tokens, model.window // 2)
        seen = self._worker.submit(fit, turns, model.measure, model.window, room).result()
        self.left_out = len(turns) - len(seen)
        self.finish = ""
        seed = random.getrandbits(31) if self.settings.seed is None else self.settings.seed
        decoding = self.settings.decoding
        request = Generate(decoding, seed=seed).request(tuple(seen))
        deltas = self._worker.submit(model.stream, request, decoding).result()
        text = ""
        try:
            while delta := self._worker.submit(next, deltas, _END).result():
                text += delta.text
                self.finish = delta.finish
                yield delta.text
                if self.finish:
                    break
        finally:
            self._worker.submit(deltas.close)  # type: ignore[attr-defined]
            if text:
                self.turns = [*turns, Message("assistant", text)]

    def _ready(self) -> LanguageModel:
        assert self._loaded is not None
        return self._loaded.result()


_END: Delta | None = None


def _close(loaded: "Future[LanguageModel]") -> None:
    if loaded.exception() is None:
        loaded.result().close()
