"""Learning to fill in tokens that are left out (Devlin et al. 2019), masked anew each epoch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from nlpcli.errors import ModelError
from nlpcli.training.causal import PERPLEXITY
from nlpcli.training.data import Example
from nlpcli.training.objective import IGNORED, Feature, Objective, padded
from nlpcli.training.recipe import Recipe

_SHARE = 0.15  # of the tokens are to be foretold: 8 of 10 are masked, 1 is another, 1 stays


class Masked(Objective):
    """Running text in blocks of `block` tokens, special tokens counted."""

    figures, best = PERPLEXITY, "perplexity"

    def __init__(self, tokenizer: Any, plan: Recipe, block: int) -> None:
        if tokenizer.mask_token_id is None:
            raise ModelError("the model's tokenizer has no mask token", "use --objective causal")
        self._tokenizer, self._block, self._seed = tokenizer, block, plan.seed
        self._mask, self._size = int(tokenizer.mask_token_id), len(tokenizer)
        self._pad = int(tokenizer.pad_token_id)
        around = tokenizer("")["input_ids"]
        self._begin, self._end = around[: len(around) // 2], around[len(around) // 2 :]

    def features(self, examples: Sequence[Example]) -> list[Feature]:
        """The examples as one text, blank lines left out."""
        stream: list[int] = []
        texts = [each.source for each in examples if each.source.strip()]
        backend = self._tokenizer.backend_tokenizer
        for found in backend.encode_batch_fast(texts, add_special_tokens=False):
            stream += found.ids
        room = self._block - len(self._begin) - len(self._end)
        rows = [
            [*self._begin, *stream[at : at + room], *self._end]
            for at in range(0, len(stream), room)
        ]
        return [Feature(ids, [], place, len(ids), len(ids)) for place, ids in enumerate(rows)]

    def collate(self, features: Sequence[Feature], epoch: int) -> dict[str, torch.Tensor]:
        rows = [self._masked(each, epoch) for each in features]
        return {
            "input_ids": padded([ids for ids, _ in rows], self._pad),
            "attention_mask": padded([[1] * len(ids) for ids, _ in rows], 0),
            "labels": padded([labels for _, labels in rows], IGNORED),
        }

    def loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        given = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**given).logits.float()
        loss = functional.cross_entropy(
            logits.flatten(0, 1),
            inputs["labels"].flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )
        return loss, None

    def _masked(self, feature: Feature, epoch: int) -> tuple[list[int], list[int]]:
        """The ids as the model sees them and what it is to foretell, the same for a record and an
        epoch in whatever batch it is."""
        draw = random.Random(f"{self._seed} {epoch} {feature.place}")
        ids, labels = list(feature.ids), [IGNORED] * len(feature.ids)
        inner = range(len(self._begin), len(ids) - len(self._end))
        count = max(1, round(_SHARE * len(inner)))
        for place in draw.sample(inner, min(count, len(inner))):
            labels[place] = ids[place]
            kind = draw.random()
            if kind < 0.8:
                ids[place] = self._mask
            elif kind < 0.9:
                ids[place] = draw.randrange(self._size)
        return ids, labels
