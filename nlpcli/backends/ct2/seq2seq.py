"""Encoder-decoder models through CTranslate2: the fastest way on a CPU. No torch, no transformers.

Its beam search ends once `beam` hypotheses are complete, and ranks them by log-probability over
length to the power of the length penalty, end token included: transformers' search with
early_stopping=True. Where a model's generation_config.json says otherwise (opus-mt, Pegasus), the
torch backend is told the same, so that both give the same answer; transformers' own default may
search a little longer there and find another output for a few sentences. Tokens that are ruled
out (by a least length, no-repeat n-grams, bad words) leave the remaining probabilities summing to
one, as with transformers' renormalize_logits=True. Where the end token is forced (opus-mt, BART,
Pegasus), an output cut off at its greatest length may differ from torch's in rare cases.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import ctranslate2

from nlpcli.backends import Decoding, Hypothesis, Request, Result, recipe, tokenize
from nlpcli.backends.ct2.storage import computed, stored
from nlpcli.backends.memory import Room
from nlpcli.device import Device
from nlpcli.errors import DeviceError, ModelError
from nlpcli.registry import LocalModel

_CUDA_TOKENS = 8192  # padded source tokens of a batch
_CPU_SENTENCES = 16  # of a batch; measured to beat batches of equal tokens by 8 %


class CTranslate2:
    """`window` and `measure` count tokens without those that frame the text."""

    def __init__(self, model: LocalModel, device: Device) -> None:
        if model.spec.format == "ct2":
            folder = model.folder
        else:
            from nlpcli.backends.ct2.convert import check_kind, convert

            check_kind(model)
            folder = convert(model, stored(device))
        try:
            self._recipe = recipe.read(folder)
        except OSError as error:
            raise ModelError(
                f"{folder}: a CTranslate2 model without {recipe.FILE}",
                "name the transformers model that it was made from",
            ) from error
        vocabulary = (folder / "shared_vocabulary.json").read_text(encoding="utf-8")
        names: list[str] = json.loads(vocabulary)
        self._names = frozenset(names)
        self._tokenization = tokenize.load(folder, self._recipe, names)
        self._folder = str(folder)
        self._device = device
        self._room = Room()
        self._workers = device.threads if device.kind == "cpu" else 1
        self._suppressed = [
            list(tokens) for tokens in self._recipe.suppressed if self._names.issuperset(tokens)
        ]
        self._translator = self._load()
        self.window = self._recipe.window

    def measure(self, text: str) -> int:
        return len(self._tokenization.encode([text])[0])

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        """Raises UsageError for a language that the model lacks, DataError for a text longer than
        its positions, DeviceError where memory does not suffice."""
        search = recipe.search(self._recipe, decoding)
        sources, frames = tokenize.sources(requests, self._recipe, self._tokenization, self._names)
        results = [Result((Hypothesis("", 0.0 if decoding.scores else None),))] * len(sources)
        asked = [index for index, tokens in enumerate(sources) if tokens]
        if asked:
            first = [list(frames[index].first) for index in asked] if self._recipe.first else None
            found = self._translate([sources[i] for i in asked], first, search, decoding)
            for index, result in zip(asked, found, strict=True):
                skip = len(frames[index].first)
                results[index] = self._result(result, skip, search, decoding)
        return results

    def close(self) -> None:
        self._translator.unload_model()

    def _load(self) -> Any:
        # One thread for each of several batches, even for a single sentence: splitting a matrix
        # product between threads costs more than it gains (0.33 s against 0.56 s for a sentence
        # of a Marian-base model on 2 cores).
        try:
            return ctranslate2.Translator(
                self._folder,
                device=self._device.kind,
                device_index=self._device.index,
                compute_type=computed(self._recipe.dtype, self._device),
                inter_threads=self._workers,
                intra_threads=1,
            )
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"CTranslate2 on {self._device}: {error}") from error

    def _batch(self, count: int, asked: int) -> tuple[int, str]:
        """The greatest size of a batch, and its unit: what was asked for; else on a GPU tokens;
        on a CPU as many sentences as keep all workers busy to the end."""
        if size := self._device.batch_size(asked):
            return min(size, count), "examples"
        if self._device.kind == "cuda":
            return _CUDA_TOKENS, "tokens"
        rounds = -(-count // (self._workers * _CPU_SENTENCES))
        return -(-count // (self._workers * rounds)), "examples"

    def _translate(
        self,
        sources: list[list[str]],
        first: list[list[str]] | None,
        search: recipe.Search,
        decoding: Decoding,
    ) -> list[Any]:
        forced = self._recipe.end_forced
        size, unit = self._batch(len(sources), decoding.batch_size)

        def translate(size: int) -> list[Any]:
            found: list[Any] = self._translator.translate_batch(
                sources,
                first,
                max_batch_size=size,
                batch_type=unit,
                max_input_length=0,
                beam_size=search.beam,
                # All of the beam, to rank hypotheses that were cut off as transformers does.
                num_hypotheses=search.beam if forced else search.nbest,
                # A penalty of 0 would also switch to another rule for when to stop.
                length_penalty=search.length_penalty or 1e-9,
                no_repeat_ngram_size=search.no_repeat_ngram,
                suppress_sequences=self._suppressed or None,
                # Where the end token is forced, it takes the last place without being searched for.
                max_decoding_length=max(search.max_length - forced, 1),
                min_decoding_length=search.min_length,
                return_end_token=True,
                return_scores=forced or decoding.scores,
            )
            return found

        return self._room.halving(size, translate, self._device)

    def _result(self, found: Any, skip: int, search: recipe.Search, decoding: Decoding) -> Result:
        hypotheses: list[list[str]] = found.hypotheses
        scores: list[float] = found.scores or [0.0] * len(hypotheses)
        penalty = search.length_penalty
        ranked = []
        for tokens, score in zip(hypotheses, scores, strict=True):
            total = score * len(tokens) ** penalty
            cut_off = self._recipe.end_forced and tokens[-1] != self._recipe.end
            ranked.append((total / (len(tokens) + cut_off) ** penalty, total, tokens))
        ranked.sort(key=lambda item: -item[0])
        made = []
        for _, total, tokens in ranked[: search.nbest]:
            count = len(tokens) - skip
            text = self._tokenization.decode(tokens[skip:])
            made.append(Hypothesis(text, total / max(count, 1) if decoding.scores else None, count))
        return Result(tuple(made))
