"""Encoder-decoder models through PyTorch and transformers: every architecture, every device.

Decodes with transformers' own `generate` under the model's generation_config.json, but for two
settings that make it give CTranslate2's answers: early_stopping=True, so that a beam search ends
once `beam` hypotheses are complete, and renormalize_logits=True wherever tokens are ruled out.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.generation import logits_process

from nlpcli.backends import Decoding, Hypothesis, Request, Result, recipe, tokenize
from nlpcli.backends.ct2.convert import check_kind, quiet
from nlpcli.backends.ct2.loader import token_names
from nlpcli.backends.memory import Room, of_batch
from nlpcli.backends.torch.loading import FROM_FILES, WEIGHTS, loading, prepare, release
from nlpcli.batching import by_length
from nlpcli.device import Device
from nlpcli.registry import LocalModel

# Padded source tokens of a batch; beams multiply what the decoder holds.
_BATCH_TOKENS = {"cpu": 2048, "cuda": 16384, "mps": 4096, "xpu": 8192}


class Torch:
    """`window` and `measure` count tokens without those that frame the text."""

    def __init__(self, model: LocalModel, device: Device) -> None:
        self._device = torch.device(str(device))
        self._budget = _BATCH_TOKENS[device.kind]
        self._room = Room(release)
        self._batch_size = device.batch_size
        prepare(device)
        with loading(model.spec.name, device):
            check_kind(model)
            tokenizer = AutoTokenizer.from_pretrained(model.folder, **FROM_FILES)
            self._model = AutoModelForSeq2SeqLM.from_pretrained(
                model.folder,
                dtype=getattr(torch, device.dtype),
                attn_implementation="sdpa",
                **WEIGHTS,
            )
            self._model.eval().to(self._device)
        names = token_names(tokenizer, self._model.config.vocab_size)
        self._recipe = recipe.of_model(self._model, tokenizer, names)
        self._tokenization = tokenize.of_tokenizer(tokenizer, self._recipe, names)
        self._names = names
        self._ids = {name: index for index, name in enumerate(names)}
        self._pad = self._model.config.pad_token_id
        self.window = self._recipe.window

    def measure(self, text: str) -> int:
        return len(self._tokenization.encode([text])[0])

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        """Raises UsageError for a language that the model lacks, DataError for a text longer than
        its positions, DeviceError where memory does not suffice."""
        search = recipe.search(self._recipe, decoding)
        sources, frames = tokenize.sources(requests, self._recipe, self._tokenization, self._ids)
        results = [Result((Hypothesis("", 0.0 if decoding.scores else None),))] * len(sources)
        # `generate` forces one first token on a whole batch, so each target has its own batches.
        for first in dict.fromkeys(frame.first for frame in frames):
            members = [i for i, tokens in enumerate(sources) if tokens and frames[i].first == first]
            lengths = [len(sources[index]) for index in members]
            size = self._batch_size(decoding.batch_size)
            budget = 0 if size else self._budget // search.beam
            for batch in by_length(lengths, batch_size=size, budget=budget):
                chosen = [members[position] for position in batch]

                def generate(part: list[int], first: tuple[str, ...] = first) -> list[Result]:
                    some = [sources[index] for index in part]
                    return self._generate(some, first, search, decoding.scores)

                found = self._room.run(chosen, [*map(len, sources)], generate)
                for index, result in zip(chosen, found, strict=True):
                    results[index] = result
        return results

    def close(self) -> None:
        del self._model
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _generate(
        self, sources: list[list[str]], first: tuple[str, ...], search: recipe.Search, scores: bool
    ) -> list[Result]:
        unknown = self._ids[self._recipe.unknown]
        longest = max(map(len, sources))
        rows, mask = [], []
        for tokens in sources:
            padding = longest - len(tokens)
            ids = [self._ids.get(token, unknown) for token in tokens]
            rows.append(ids + [self._pad] * padding)
            mask.append([1] * len(ids) + [0] * padding)
        with of_batch(self._device), torch.inference_mode(), quiet():
            inputs = {
                "input_ids": torch.tensor(rows, device=self._device),
                "attention_mask": torch.tensor(mask, device=self._device),
            }
            config = self._config(first, search)
            output = self._model.generate(**inputs, generation_config=config)
            totals = self._totals(inputs, output, search, len(first)) if scores else None
        made = []
        for index, ids in enumerate(output.tolist()):
            tokens = self._generated(ids[1:], search)[len(first) :]
            count = len(tokens)
            text = self._tokenization.decode([t for t in tokens if t != self._recipe.end])
            score = totals[index] / max(count, 1) if totals else None
            made.append(Hypothesis(text, score, count))
        size = search.nbest
        return [Result(tuple(made[at : at + size])) for at in range(0, len(made), size)]

    def _config(self, first: tuple[str, ...], search: recipe.Search) -> Any:
        config = copy.deepcopy(self._model.generation_config)
        config.update(
            do_sample=False,
            num_beams=search.beam,
            num_return_sequences=search.nbest,
            early_stopping=search.beam > 1,
            length_penalty=search.length_penalty if search.beam > 1 else 1.0,
            max_length=search.max_length + 1,
            max_new_tokens=None,
            min_length=search.min_length + 1 if search.min_length else 0,
            min_new_tokens=None,
            no_repeat_ngram_size=search.no_repeat_ngram,
            forced_bos_token_id=self._ids[first[0]] if first else None,
            renormalize_logits=True,
        )
        if self._recipe.architecture == "marian":  # never the token that decoding starts from
            config.bad_words_ids = [*(config.bad_words_ids or []), [self._pad]]
        return config

    def _generated(self, ids: list[int], search: recipe.Search) -> list[str]:
        """The tokens that the model chose: up to the end token, unless that was forced on it."""
        tokens: list[str] = []
        for index in ids:
            token = self._names[index]
            if token == self._recipe.end:
                forced = self._recipe.end_forced and len(tokens) + 1 == search.max_length
                return tokens if forced else [*tokens, token]
            tokens.append(token)
        return tokens

    def _totals(
        self, inputs: dict[str, Any], output: Any, search: recipe.Search, skip: int
    ) -> list[float]:
        """The log-probability of each output, in one more pass: `generate` would have to keep the
        scores of all steps and beams, many times the memory of the search itself."""
        copies = output.shape[0] // inputs["input_ids"].shape[0]
        repeated = {name: value.repeat_interleave(copies, 0) for name, value in inputs.items()}
        logits = self._model(**repeated, decoder_input_ids=output[:, :-1]).logits.float()
        rules = self._rules(search)
        for step in range(logits.shape[1] if rules else 0):
            logits[:, step] = rules(output[:, : step + 1], logits[:, step])
        chosen = logits.log_softmax(-1).gather(2, output[:, 1:, None])[:, :, 0].tolist()
        return [
            sum(row[skip : len(self._generated(ids[1:], search))])
            for row, ids in zip(chosen, output.tolist(), strict=True)
        ]

    def _rules(self, search: recipe.Search) -> Any:
        """What rules tokens out in this search, as `generate` applies it."""
        rules = logits_process.LogitsProcessorList()
        config = self._config((), search)
        end = self._ids[self._recipe.end]
        if config.bad_words_ids:
            rules.append(logits_process.NoBadWordsLogitsProcessor(config.bad_words_ids, end))
        if search.min_length:
            least = search.min_length + 1
            rules.append(logits_process.MinLengthLogitsProcessor(least, end, str(self._device)))
        if search.no_repeat_ngram:
            rules.append(logits_process.NoRepeatNGramLogitsProcessor(search.no_repeat_ngram))
        return rules
