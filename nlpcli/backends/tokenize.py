"""Texts to tokens and back with sentencepiece or tokenizers alone, as transformers does it.

Both classes give the ids of transformers' own tokenizer without the special tokens around the
text (those are the frame's), and its text for given tokens, special tokens left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from nlpcli.backends import Request
from nlpcli.backends.recipe import Frame, Recipe, check_length, frame

TOKENIZER, SOURCE_MODEL = "tokenizer.json", "source.spm"


class Tokenization(Protocol):
    """Texts to and from the tokens of one model."""

    def encode(self, texts: Sequence[str]) -> list[list[str]]: ...

    def decode(self, tokens: Sequence[str]) -> str: ...


def load(folder: Path, recipe: Recipe, names: Sequence[str]) -> Tokenization:
    """The tokenization kept in `folder` at conversion; `names` are the model's tokens by id."""
    if (folder / SOURCE_MODEL).exists():
        return Pieces(str(folder / SOURCE_MODEL), recipe)
    from tokenizers import Tokenizer

    return Fast(Tokenizer.from_file(str(folder / TOKENIZER)), recipe, names)


def sources(
    requests: Sequence[Request], recipe: Recipe, tokenization: Tokenization, names: Collection[str]
) -> tuple[list[list[str]], list[Frame]]:
    """For each request its source tokens in their frame, and the frame.

    No tokens at all stand for a text without any: its output is empty, and no model is asked.
    Raises UsageError for a language that the model lacks, DataError for a text that is too long.
    """
    known: dict[tuple[str | None, str | None], Frame] = {}
    frames = []
    for request in requests:
        languages = request.source, request.target
        if languages not in known:
            known[languages] = frame(recipe, names, request)
        frames.append(known[languages])
    texts = [around.text + request.text for request, around in zip(requests, frames, strict=True)]
    found = []
    for request, tokens, around in zip(requests, tokenization.encode(texts), frames, strict=True):
        blank = not tokens or not request.text.strip()
        found.append([] if blank else [*around.before, *tokens, *around.after])
    check_length(max(map(len, found), default=0), recipe)
    return found, frames


def of_tokenizer(tokenizer: Any, recipe: Recipe, names: Sequence[str]) -> Tokenization:
    """The same for a loaded transformers tokenizer."""
    if hasattr(tokenizer, "backend_tokenizer"):
        return Fast(tokenizer.backend_tokenizer, recipe, names)
    return Pieces(str(source_model(tokenizer)), recipe)


def source_model(tokenizer: Any) -> Path:
    """The SentencePiece file that a Marian or M2M100 tokenizer splits its source with."""
    return Path(tokenizer.spm_files[0] if hasattr(tokenizer, "spm_files") else tokenizer.spm_file)


class Pieces:
    """Marian's and M2M100's way: SentencePiece pieces looked up in a vocabulary of their own.

    A piece that the vocabulary lacks stays itself here and becomes the unknown token by its id.
    """

    def __init__(self, model_file: str, recipe: Recipe) -> None:
        from sentencepiece import SentencePieceProcessor

        self._processor = SentencePieceProcessor(model_file=model_file)
        self._specials = frozenset(recipe.specials)
        self._added = frozenset(recipe.added) | self._specials
        longest_first = sorted(self._added, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self._codes = recipe.architecture == "marian"

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        plain: list[list[str]] = self._processor.encode(list(texts), out_type=str)
        for index, text in enumerate(texts):
            if (self._codes and ">>" in text) or self._split.search(text):
                plain[index] = self._encode_marked(text)
        return plain

    def _encode_marked(self, text: str) -> list[str]:
        """A text that holds added tokens, or begins with a language code as in `>>por<< Hello`."""
        tokens: list[str] = []
        for part in self._split.split(text):
            if part in self._added:
                tokens.append(part)
                continue
            end = part.find("<<")
            if self._codes and part.startswith(">>") and end != -1:
                tokens.append(part[: end + 2])
                part = part[end + 2 :]
            tokens += self._processor.encode(part, out_type=str)
        return tokens

    def decode(self, tokens: Sequence[str]) -> str:
        pieces = [token for token in tokens if token not in self._specials]
        text: str = self._processor.decode_pieces(pieces)
        return text.replace("▁", " ").strip()


class Fast:
    """The tokenizers library's way, for all other families."""

    def __init__(self, tokenizer: Any, recipe: Recipe, names: Sequence[str]) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._names = names
        self._ids = {name: index for index, name in enumerate(names)}
        self._specials = frozenset(recipe.specials)
        self._cleanup = recipe.cleanup

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        names = self._names
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[names[index] for index in encoding.ids] for encoding in found]

    def decode(self, tokens: Sequence[str]) -> str:
        ids = [self._ids[token] for token in tokens if token not in self._specials]
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return _tidied(text) if self._cleanup else text


def _tidied(text: str) -> str:
    """`text` without the spaces that transformers' clean_up_tokenization_spaces takes out: these
    very ones in this order, which the same answers demand."""
    for found in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(found, found.strip())
    return text
