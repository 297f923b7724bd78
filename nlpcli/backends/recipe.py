"""What an encoder-decoder model wants around its text and in its search, whichever backend runs it.

A recipe is read off a loaded transformers model once and kept beside the converted model, so that
decoding needs neither torch nor transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nlpcli import languages
from nlpcli.backends import Decoding, Request
from nlpcli.errors import DataError, UsageError

FILE = "recipe.json"
SOURCE, TARGET = "{source}", "{target}"
_FRAME_RESERVE = 12  # tokens; the longest frame is T5's "translate English to Norwegian: "


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything but the weights and the tokenizer.

    `before` and `after` are the tokens around the source, `first` those forced upon the target;
    "{source}" and "{target}" in them stand for a language's token. `naming` says how languages
    are named: nllb, m2m100, mbart, marian, madlad, t5, or "" for a model that needs none.
    `window` is the longest source in tokens without its frame, `positions` the longest sequence.
    `max_length` and `min_length` count generated tokens, the end token included.
    """

    architecture: str
    naming: str
    window: int
    positions: int
    start: str
    end: str
    unknown: str
    specials: tuple[str, ...]
    added: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    end_forced: bool = False
    suppressed: tuple[tuple[str, ...], ...] = ()
    beam: int = 1
    length_penalty: float = 1.0
    max_length: int = 0
    min_length: int = 0
    no_repeat_ngram: int = 0
    cleanup: bool = False
    dtype: str = "float32"

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Recipe:
    """The recipe kept in `folder`. Raises OSError where there is none."""
    fields = json.loads((folder / FILE).read_text(encoding="utf-8"))
    for name in ("specials", "added", "before", "after", "first"):
        fields[name] = tuple(fields[name])
    fields["suppressed"] = tuple(tuple(tokens) for tokens in fields["suppressed"])
    return Recipe(**fields)


def of_model(model: Any, tokenizer: Any, names: Sequence[str]) -> Recipe:
    """The recipe of a transformers model; `names` are its tokens by id."""
    settings, defaults = model.config, model.generation_config
    naming = _naming(settings.model_type, names)
    before, after = _frame(tokenizer, naming)
    end_id = _first(defaults.eos_token_id, settings, "eos_token_id")
    start_id = _first(defaults.decoder_start_token_id, settings, "decoder_start_token_id")
    first: tuple[str, ...] = ()
    # mBART-25 has its source language behind the text and its target in the start token.
    if naming in ("nllb", "m2m100") or (naming == "mbart" and before):
        first = (TARGET,)
    elif defaults.forced_bos_token_id is not None:
        first = (names[defaults.forced_bos_token_id],)
    window, positions = lengths(settings, tokenizer)
    suppressed = [tuple(names[i] for i in ids) for ids in defaults.bad_words_ids or []]
    if settings.model_type == "marian":
        suppressed = [tokens for tokens in suppressed if tokens != (tokenizer.pad_token,)]
    ceiling = defaults.max_length - 1 if defaults.max_length else defaults.max_new_tokens
    fast = getattr(tokenizer, "backend_tokenizer", None)
    return Recipe(
        architecture=settings.model_type,
        naming=naming,
        window=window,
        positions=positions,
        start=names[start_id],
        end=names[end_id],
        unknown=tokenizer.unk_token,
        specials=tuple(tokenizer.all_special_tokens),
        added=tuple(tokenizer.get_added_vocab()),
        before=before,
        after=after,
        first=first,
        end_forced=defaults.forced_eos_token_id is not None,
        suppressed=tuple(suppressed),
        beam=defaults.num_beams or 1,
        length_penalty=1.0 if defaults.length_penalty is None else defaults.length_penalty,
        max_length=ceiling or 0,
        min_length=max((defaults.min_length or 0) - 1, 0),
        no_repeat_ngram=defaults.no_repeat_ngram_size or 0,
        # transformers ignores the clean-up for byte-pair tokenizers.
        cleanup=bool(tokenizer.clean_up_tokenization_spaces)
        and type(getattr(fast, "model", None)).__name__ != "BPE",
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """What goes around one source text, and the tokens its output must begin with."""

    text: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    first: tuple[str, ...] = ()


def frame(recipe: Recipe, names: Collection[str], request: Request) -> Frame:
    """The frame of `request`. Raises UsageError where the model lacks a language or is not told."""
    source, target = request.source, request.target
    plain = Frame("", recipe.before, recipe.after, recipe.first)
    if recipe.naming == "t5":
        if not (source and target):
            return plain
        task = f"translate {languages.name(source)} to {languages.name(target)}: "
        return replace(plain, text=task)
    if recipe.naming in ("marian", "madlad"):
        if not target:
            return plain
        token = _token(recipe.naming, target, names)
        if recipe.naming == "madlad":
            return replace(plain, text=f"{token} ")
        return replace(plain, before=(token, *recipe.before))
    if recipe.naming:
        filled = {}
        for part, language in ((SOURCE, source), (TARGET, target)):
            if any(part in tokens for tokens in (recipe.before, recipe.after, recipe.first)):
                filled[part] = _token(recipe.naming, language, names)
        return Frame(
            "",
            tuple(filled.get(token, token) for token in recipe.before),
            tuple(filled.get(token, token) for token in recipe.after),
            tuple(filled.get(token, token) for token in recipe.first),
        )
    return plain


@dataclass(frozen=True, slots=True)
class Search:
    """How to decode one run. Lengths count generated tokens, forced ones and the end included."""

    beam: int
    nbest: int
    length_penalty: float
    max_length: int
    min_length: int
    no_repeat_ngram: int


def search(recipe: Recipe, decoding: Decoding) -> Search:
    """`decoding` completed by the model's own defaults, its generation_config.json.

    Where that file sets no greatest length, it is the number of positions the model has. Raises
    UsageError where more hypotheses are asked for than the beam holds.
    """
    beam = decoding.beam or max(recipe.beam, decoding.nbest)
    if decoding.nbest > beam:
        raise UsageError(
            f"{decoding.nbest} hypotheses do not fit a beam of {beam}",
            f"use --beam {decoding.nbest} or more",
        )
    ceiling = recipe.positions - 1
    longest = min(decoding.max_tokens or recipe.max_length or ceiling, ceiling)
    least = recipe.min_length if decoding.min_tokens is None else decoding.min_tokens
    if recipe.first and beam > 1:
        # After forced tokens CTranslate2's beam search weighs an immediate end by a rule of its
        # own; without empty outputs all backends agree.
        least = max(least, len(recipe.first) + 1)
    return Search(
        beam=beam,
        nbest=decoding.nbest,
        length_penalty=recipe.length_penalty,
        max_length=longest,
        min_length=max(min(least, longest - 1), 0),
        no_repeat_ngram=decoding.no_repeat_ngram or recipe.no_repeat_ngram,
    )


def check_length(count: int, recipe: Recipe) -> None:
    """Raise DataError if a source of `count` tokens, frame included, does not fit the model."""
    if count > recipe.window + _FRAME_RESERVE:
        raise DataError(
            f"a text of {count} tokens is longer than the model's window of {recipe.window}",
            "split it into sentences or paragraphs",
        )


def _first(value: Any, settings: Any, name: str) -> int:
    value = getattr(settings, name) if value is None else value
    return int(value[0] if isinstance(value, list) else value)


def _naming(architecture: str, names: Sequence[str]) -> str:
    known = set(names)
    for token, naming in (("eng_Latn", "nllb"), ("__en__", "m2m100"), ("en_XX", "mbart")):
        if token in known:
            return naming
    if architecture == "marian":
        return "marian" if any(re.fullmatch(r">>\S+<<", name) for name in names) else ""
    if architecture in ("t5", "mt5", "umt5"):
        return "madlad" if any(re.fullmatch(r"<2\w+>", name) for name in names) else "t5"
    return ""


def _frame(tokenizer: Any, naming: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tokens that the tokenizer puts around a text, its source language as a place holder."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    at = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
    around = []
    for ids in (full[:at], full[at + len(bare) :]):
        tokens = tokenizer.convert_ids_to_tokens(ids)
        if naming in ("nllb", "m2m100", "mbart"):
            specials = {tokenizer.eos_token, tokenizer.bos_token}
            tokens = [token if token in specials else SOURCE for token in tokens]
        around.append(tuple(tokens))
    return around[0], around[1]


def lengths(settings: Any, tokenizer: Any) -> tuple[int, int]:
    """The longest source text and the longest sequence, in tokens."""
    found = [getattr(settings, name, None) for name in ("max_position_embeddings", "n_positions")]
    positions = next((value for value in found if value), 512)
    limit = min(positions, tokenizer.model_max_length)
    return max(int(limit) - _FRAME_RESERVE, 1), int(positions)


def _token(naming: str, language: str | None, names: Collection[str]) -> str:
    if not language:
        raise UsageError(
            "this model translates between many languages and must be told which",
            "name them with --from and --to",
        )
    for token in languages.tokens(naming, language):
        if token in names:
            return token
    raise UsageError(f"this model does not know {languages.describe(language)}")
