"""Learning to go on with a text: answers to prompts, dialogues, or running text.

Prompts are encoded as nlpcli.backends encodes them, so that what was learnt is what will be asked;
of a prompt nothing is learnt, only of the answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch.nn import functional

from nlpcli.backends import Decoding, Message, Request, prompt
from nlpcli.backends.ct2.convert import quiet
from nlpcli.backends.ct2.make_decoder import window
from nlpcli.batching import by_length
from nlpcli.errors import ModelError
from nlpcli.metrics import Figure
from nlpcli.tasks.abstract import Abstract
from nlpcli.tasks.prompted_translation import PromptedTranslation
from nlpcli.training.data import Example
from nlpcli.training.objective import IGNORED, Feature, Objective, padded
from nlpcli.training.recipe import Recipe
from nlpcli.training.writing_scores import FIGURES, scores

PERPLEXITY = (Figure("perplexity", "Perplexity", 2, higher=False),)
_WRITTEN = 4096  # padded tokens of a batch whose outputs are written, those to come counted
_SPARE = 1.5  # of the tokens of the longest target, the most that an output may take
_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "<|end_of_turn|>", "<|end|>")


class Causal(Objective):
    """`scores` gives the perplexity of the answers' tokens and, for summaries and translations,
    the figures of what the model writes."""

    def __init__(self, tokenizer: Any, model: Any, plan: Recipe) -> None:
        self._tokenizer = tokenizer
        self._task, self._plan = plan.task, plan
        self._smoothing = plan.label_smoothing or 0.0
        form = prompt.of_tokenizer(tokenizer)
        self._prompts = prompt.Prompts(tokenizer.backend_tokenizer, form)
        vocabulary = tokenizer.get_vocab()
        ends = [token for token in _ENDS if token in vocabulary and token in form.template]
        end = vocabulary[ends[0]] if ends else tokenizer.eos_token_id
        if end is None:
            raise ModelError("the model's tokenizer has no token that ends a text")
        self._end = int(end)
        pad = tokenizer.pad_token_id
        self._pad = self._end if pad is None else int(pad)
        self._window = window(model.config.get_text_config())
        self._keeps = "logits_to_keep" in signature(type(model).forward).parameters
        figures, self.best = FIGURES.get(plan.task, (PERPLEXITY, "perplexity"))
        self.figures = figures
        self.writes = plan.task in FIGURES

    def features(self, examples: Sequence[Example]) -> list[Feature]:
        found = []
        for place, example in enumerate(examples):
            ids, labels = self._encoded(example)
            found.append(Feature(ids, labels, place, len(ids), len(ids)))
        return found

    def cut(self, feature: Feature, limit: int) -> Feature:
        """Cuts the beginning, so that the answer stays."""
        ids, labels = feature.ids[-limit:], [IGNORED, *feature.labels[-limit:][1:]]
        return feature._replace(ids=ids, labels=labels, window=len(ids), length=len(ids))

    def collate(self, features: Sequence[Feature], epoch: int) -> dict[str, torch.Tensor]:
        """Padded on the left, so that the answers stand at the end together: of what is before,
        no logits are computed."""
        ids = [each.ids for each in features]
        mask = padded([[1] * len(row) for row in ids], 0, left=True)
        return {
            "input_ids": padded(ids, self._pad, left=True),
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
            "labels": padded([each.labels for each in features], IGNORED, left=True),
        }

    def loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        labels = inputs["labels"]
        given: dict[str, Any] = {k: each for k, each in inputs.items() if k != "labels"}
        learnt = (labels != IGNORED).any(0).nonzero()
        start = max(int(learnt[0]) if len(learnt) else labels.shape[1] - 1, 1)
        kept = labels.shape[1] - start + 1
        if self._keeps:
            given["logits_to_keep"] = kept
        logits = model(**given, use_cache=False).logits[:, -kept:-1]
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1),
            labels[:, start:].flatten(),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self._smoothing if model.training else 0.0,
        )
        return loss, None

    def write(self, model: Any, examples: Sequence[Example]) -> list[str]:
        prompts = [self._prompts.encode(self.request(each)) for each in examples]
        targets = [self._prompts.measure(each.targets[0]) for each in examples]
        most = min(int(_SPARE * max(targets)) + 1, self._window // 2)
        prompts = [row[-(self._window - most) :] for row in prompts]
        device = next(model.parameters()).device
        written = [""] * len(prompts)
        for batch in by_length([len(row) + most for row in prompts], budget=_WRITTEN):
            rows = [prompts[place] for place in batch]
            with quiet():
                found = model.generate(
                    input_ids=padded(rows, self._pad, left=True).to(device),
                    attention_mask=padded([[1] * len(r) for r in rows], 0, left=True).to(device),
                    do_sample=False,
                    max_new_tokens=most,
                    pad_token_id=self._pad,
                    eos_token_id=[self._end],
                )
            longest = max(map(len, rows))
            for place, ids in zip(batch, found[:, longest:].tolist(), strict=True):
                text = self._tokenizer.decode(ids, skip_special_tokens=True)
                written[place] = text.strip()
        return written

    def scores(self, outputs: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        if not self.writes:
            return {}
        return scores(self._task, outputs, [each.targets for each in examples])

    def request(self, example: Example) -> Request:
        """What the model will be asked."""
        if self._task == "summarize":
            return Abstract().request(example.source)
        if self._task == "translate":
            source, target = self._plan.source_language, self._plan.target_language
            return PromptedTranslation(source or "", target or "", Decoding()).request(
                example.source
            )
        if self._prompts.chat and example.source:
            return Request("", messages=(Message("user", example.source),))
        return Request(example.source)

    def _encoded(self, example: Example) -> tuple[list[int], list[int]]:
        """The ids of an example, and those of them that are learnt."""
        if example.messages:
            return self._dialogue(example)
        if not example.source:  # running text, of which all is learnt
            ids = [*self._prompts.encode(Request(example.targets[0])), self._end]
            return ids, [IGNORED, *ids[1:]]
        request = self.request(example)
        ids = self._prompts.encode(request)
        answer = example.targets[0]
        apart = answer[:1].isspace() or example.source[-1:].isspace()
        if not (apart or (request.messages and self._prompts.chat)):
            answer = f" {answer}"
        said = [*self._prompts.continuation(answer), self._end]
        return ids + said, [IGNORED] * len(ids) + said

    def _dialogue(self, example: Example) -> tuple[list[int], list[int]]:
        """The ids of a dialogue; every answer in it is learnt whose prompt its ids begin with."""
        messages = [Message(role, content) for role, content in example.messages]
        ids = self._answered(messages)
        labels = [IGNORED] * len(ids)
        for place, message in enumerate(messages):
            if message.role != "assistant" or not place:
                continue
            asked = len(self._prompts.encode(Request("", messages=tuple(messages[:place]))))
            said = self._answered(messages[: place + 1])
            if ids[: len(said)] == said:
                labels[asked : len(said)] = said[asked:]
        return ids, labels

    def _answered(self, messages: list[Message]) -> list[int]:
        """The ids of a dialogue that ends with an answer, and with the token that ends it."""
        ids = self._prompts.encode(Request("", messages=tuple(messages[:-1])))
        return [*ids, *self._prompts.continuation(messages[-1].content), self._end]


class Text(Causal):
    """Running text in blocks of `block` tokens: every token but the first is learnt."""

    def __init__(self, tokenizer: Any, model: Any, plan: Recipe, block: int) -> None:
        super().__init__(tokenizer, model, plan)
        self._block = block

    def features(self, examples: Sequence[Example]) -> list[Feature]:
        """The examples as one text, with the lines' ends; a file of text is a stream of lines."""
        stream: list[int] = []
        tokenizer = self._tokenizer.backend_tokenizer
        texts = [each.source + "\n" for each in examples]
        for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            stream += found.ids
        blocks = [stream[at : at + self._block] for at in range(0, len(stream), self._block)]
        return [
            Feature(ids, [IGNORED, *ids[1:]], place, len(ids), len(ids))
            for place, ids in enumerate(blocks)
            if len(ids) > 1
        ]


def perplexity(loss: float) -> float:
    """Of a mean loss in nats."""
    return math.exp(loss) if loss < 700 else math.inf
