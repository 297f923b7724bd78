"""Learning to write a target from a source with an encoder-decoder: translations, summaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from nlpcli.backends import Request, recipe, tokenize
from nlpcli.backends.ct2.convert import quiet
from nlpcli.backends.ct2.loader import token_names
from nlpcli.batching import by_length
from nlpcli.tasks.abstract import PREFIXES
from nlpcli.training.data import Example
from nlpcli.training.objective import IGNORED, Feature, Objective, padded
from nlpcli.training.recipe import Recipe
from nlpcli.training.writing_scores import FIGURES, scores

_WRITTEN = 4096  # padded source tokens of a batch whose outputs are written
_SPARE = 1.5  # of the tokens of the longest target, the most that an output may take


class Seq2Seq(Objective):
    """`model` is on the meta device: only what it needs around a text is read off it. Sources are
    framed as nlpcli.backends frames them, so that what was learnt is what will be asked."""

    writes = True

    def __init__(self, tokenizer: Any, model: Any, plan: Recipe) -> None:
        self._tokenizer = tokenizer
        self._task = plan.task
        self._languages = plan.source_language, plan.target_language
        self._smoothing = plan.label_smoothing or 0.0
        self.figures, self.best = FIGURES[plan.task]
        with quiet():
            names = token_names(tokenizer, model.config.vocab_size)
            self._recipe = recipe.of_model(model, tokenizer, names)
        self._names = {name: index for index, name in enumerate(names)}
        self._tokenization = tokenize.of_tokenizer(tokenizer, self._recipe, names)
        self._frame = recipe.frame(self._recipe, self._names, self._request(""))
        if self._frame.first and hasattr(tokenizer, "tgt_lang"):
            # M2M100's tokenizer takes codes, the others the tokens themselves.
            codes = getattr(tokenizer, "lang_code_to_token", {})
            (token,) = self._frame.first
            tokenizer.tgt_lang = next((each for each in codes if codes[each] == token), token)
        self._prefix = self._frame.text
        if plan.task == "summarize":
            self._prefix = PREFIXES.get(self._recipe.architecture, "")
        self._pad = int(model.config.pad_token_id)
        self._start = self._names[self._recipe.start]
        self._limit = self._recipe.positions - 1

    def features(self, examples: Sequence[Example]) -> list[Feature]:
        sources = self._sources([each.source for each in examples])
        targets = self._targets(examples)
        return [
            Feature(source, target, place, max(len(source), len(target)), len(source) + len(target))
            for place, (source, target) in enumerate(zip(sources, targets, strict=True))
        ]

    def cut(self, feature: Feature, limit: int) -> Feature:
        """Cuts the ends of the source and of the target; their end tokens stay."""
        ids, labels = (_cut(row, limit) for row in (feature.ids, feature.labels))
        length = len(ids) + len(labels)
        return feature._replace(ids=ids, labels=labels, window=limit, length=length)

    def collate(self, features: Sequence[Feature], epoch: int) -> dict[str, torch.Tensor]:
        targets = [each.labels for each in features]
        return {
            "input_ids": padded([each.ids for each in features], self._pad),
            "attention_mask": padded([[1] * len(each.ids) for each in features], 0),
            "decoder_input_ids": padded([[self._start, *row[:-1]] for row in targets], self._pad),
            "labels": padded(targets, IGNORED),
        }

    def loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        given = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**given, use_cache=False).logits
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1),
            inputs["labels"].flatten(),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self._smoothing if model.training else 0.0,
        )
        return loss, logits

    def write(self, model: Any, examples: Sequence[Example]) -> list[str]:
        sources = self._sources([each.source for each in examples])
        sources = [_cut(source, self._limit) for source in sources]
        device = next(model.parameters()).device
        written = [""] * len(sources)
        targets = [len(row) for row in self._targets(examples)]
        first = self._names[self._frame.first[0]] if self._frame.first else None
        for batch in by_length([*map(len, sources)], budget=_WRITTEN):
            rows = [sources[place] for place in batch]
            longest = max(targets[place] for place in batch)
            with quiet():
                found = model.generate(
                    input_ids=padded(rows, self._pad).to(device),
                    attention_mask=padded([[1] * len(row) for row in rows], 0).to(device),
                    num_beams=1,
                    do_sample=False,
                    max_length=min(self._limit, int(_SPARE * longest) + 8),
                    min_length=0,
                    forced_bos_token_id=first,
                )
            given = 1 + len(self._frame.first)
            for place, ids in zip(batch, found[:, given:].tolist(), strict=True):
                written[place] = self._tokenizer.decode(ids, skip_special_tokens=True)
        return written

    def scores(self, outputs: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        return scores(self._task, outputs, [each.targets for each in examples])

    def _request(self, text: str) -> Request:
        return Request(text, *self._languages)

    def _targets(self, examples: Sequence[Example]) -> list[list[int]]:
        """The ids of the targets, of several references the first."""
        texts = [each.targets[0] for each in examples]
        with quiet():
            found = self._tokenizer(text_target=texts, truncation=False)["input_ids"]
        return [list(row) for row in found]

    def _sources(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of the sources in their frames."""
        texts = [self._prefix + " ".join(text.split()) for text in texts]
        unknown = self._names[self._recipe.unknown]
        before, after = (
            [self._names[token] for token in tokens]
            for tokens in (self._frame.before, self._frame.after)
        )
        return [
            [*before, *(self._names.get(token, unknown) for token in tokens), *after]
            for tokens in self._tokenization.encode(texts)
        ]


def _cut(ids: list[int], limit: int) -> list[int]:
    """At most `limit` of the tokens, the last one among them."""
    return ids if len(ids) <= limit else ids[: limit - 1] + ids[-1:]
