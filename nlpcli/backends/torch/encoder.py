"""Encoders through PyTorch and transformers: every architecture, every device, and attention.

On a CPU a batch holds rows of one length, so that none is padded and changed by those beside it.
GPUs want larger batches: there rows are padded and masked, which float32 shows in the sixth place
and 16-bit floats in the third.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from nlpcli.backends import Attention, Request, encoding
from nlpcli.backends.choice import kind
from nlpcli.backends.ct2.convert import quiet
from nlpcli.backends.memory import Room, of_batch
from nlpcli.backends.torch.loading import FROM_FILES, WEIGHTS, loading, prepare, release
from nlpcli.batching import by_equal_length, by_length
from nlpcli.device import Device
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel

_BATCH_TOKENS = {"cpu": 1024, "cuda": 32768, "mps": 8192, "xpu": 16384}


class Encoder:
    """`window` and `measure` count tokens without the special ones."""

    def __init__(self, model: LocalModel, device: Device) -> None:
        prepare(device)
        self._local = model
        self._device = torch.device(str(device))
        self._budget = _BATCH_TOKENS[device.kind]
        self._room = Room(release)
        self._batch_size = device.batch_size
        self._model = self._load(getattr(torch, device.dtype))
        with quiet():
            self._tokenizer = AutoTokenizer.from_pretrained(model.folder, **FROM_FILES)
        self._pad = self._tokenizer.pad_token_id
        self._pads = device.kind != "cpu" and self._pad is not None
        if self._model.config.pad_token_id is None:
            # Decoders with a head classify by the last token before the padding.
            self._model.config.pad_token_id = -1 if self._pad is None else self._pad
        self._head = kind(model) == "classifier"
        self._traits = encoding.of_model(self._model, self._tokenizer, head=self._head)
        self.labels = self._traits.labels
        self.multi_label = self._traits.multi_label
        self.window = self._traits.window

    def measure(self, text: str) -> int:
        with quiet():
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def embed(self, texts: Sequence[str], batch_size: int = 0) -> Any:
        """Raises DataError for a text longer than the window, DeviceError where memory does not
        suffice."""
        return self._run([Request(text) for text in texts], self._pooled, batch_size)

    def classify(self, requests: Sequence[Request], batch_size: int = 0) -> Any:
        """Raises ModelError without a head, DataError for a text longer than the window,
        DeviceError where memory does not suffice."""
        if not self._head:
            raise ModelError(
                f"{self._local.spec.name} has no classification head", "name a classifier"
            )
        return self._run(requests, lambda inputs: self._model(**inputs).logits, batch_size)

    def attend(self, request: Request) -> Attention:
        """Computed in float32 whatever the model's format. Of an encoder-decoder, its encoder's.

        Raises DataError for a text longer than the window, ModelError for a model without
        attention that can be shown.
        """
        row = self._encode([request])[0]
        ids = row["input_ids"]
        self._traits.check([len(ids)])
        with torch.inference_mode(), quiet():
            found = self._attentive(**self._inputs([row]), output_attentions=True)
        layers = found.get("attentions") or found.get("encoder_attentions")
        if not layers or any(layer is None for layer in layers):
            raise ModelError(f"{self._local.spec.name} does not show its attention")
        weights = torch.cat(tuple(layers)).float().cpu().numpy()
        tokens = tuple(self._tokenizer.convert_ids_to_tokens(ids))
        return Attention(tokens, self._offsets(request, len(tokens)), weights)

    def close(self) -> None:
        del self._model
        self.__dict__.pop("_attentive", None)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @cached_property
    def _attentive(self) -> Any:
        """The encoder once more, in float32 and with attention that can be seen."""
        model = self._load(torch.float32, "eager").base_model
        return model.get_encoder() if model.config.is_encoder_decoder else model

    def _load(self, dtype: torch.dtype, attention: str | None = None) -> Any:
        auto = AutoModel
        if kind(self._local) == "classifier":
            auto = AutoModelForSequenceClassification
        with loading(self._local.spec.name, self._device):
            model, told = auto.from_pretrained(
                self._local.folder,
                dtype=dtype,
                attn_implementation=attention,
                output_loading_info=True,
                **WEIGHTS,
            )
            head = [name for name in told["missing_keys"] if auto is not AutoModel]
            if head:
                raise LookupError(f"its weights lack {min(head)}")
            return model.eval().to(self._device)

    def _encode(self, requests: Sequence[Request]) -> list[dict[str, list[int]]]:
        """What the model takes for each request, by the names of its parameters."""
        rows: list[dict[str, list[int]]] = [{} for _ in requests]
        for paired in (False, True):
            chosen = [i for i, each in enumerate(requests) if (each.pair is not None) == paired]
            if chosen:
                texts = [requests[index].text for index in chosen]
                pairs = [requests[index].pair for index in chosen] if paired else None
                with quiet():
                    found = self._tokenizer(texts, pairs)
                for name, values in found.items():
                    for index, value in zip(chosen, values, strict=True):
                        rows[index][name] = value
        return rows

    def _run(
        self, requests: Sequence[Request], compute: Callable[[dict[str, Any]], Any], batch_size: int
    ) -> Any:
        rows = self._encode(requests)
        lengths = [len(row["input_ids"]) for row in rows]
        self._traits.check(lengths)
        group = by_length if self._pads else by_equal_length
        batch_size = self._batch_size(batch_size)
        budget = 0 if batch_size else self._budget
        batches = [
            part
            for batch in group(lengths, batch_size=batch_size, budget=budget)
            for part in self._alike(batch, rows)
        ]
        width = len(self.labels) if self._head else self._model.config.hidden_size
        answers = torch.empty(len(rows), 0 if batches else width)
        for batch in batches:
            with torch.inference_mode():
                found = torch.stack(
                    self._room.run(
                        batch,
                        lengths,
                        lambda part: list(self._computed(compute, [rows[i] for i in part])),
                    )
                )
            if not answers.shape[1]:
                answers = torch.empty(len(rows), found.shape[1])
            answers[batch] = found
        return answers.numpy()

    def _alike(self, batch: list[int], rows: list[dict[str, list[int]]]) -> Iterable[list[int]]:
        """BART's head wants equally many end tokens in all rows, and a text may spell one out."""
        if not self._model.config.is_encoder_decoder:
            return [batch]
        end = self._model.config.eos_token_id
        parts: dict[int, list[int]] = {}
        for index in batch:
            parts.setdefault(rows[index]["input_ids"].count(end), []).append(index)
        return parts.values()

    def _computed(
        self, compute: Callable[[dict[str, Any]], Any], rows: list[dict[str, list[int]]]
    ) -> torch.Tensor:
        with of_batch(self._device):
            found: torch.Tensor = compute(self._inputs(rows)).float().cpu()
        return found

    def _inputs(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        fill = {"input_ids": self._pad or 0}
        return {
            name: torch.tensor(
                [row[name] + [fill.get(name, 0)] * (longest - len(row[name])) for row in rows],
                device=self._device,
            )
            for name in rows[0]
        }

    def _pooled(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The mean over the real tokens' last states, of length one."""
        base = self._model.base_model
        if base.config.is_encoder_decoder:
            base = base.get_encoder()
        states = base(**inputs).last_hidden_state.float()
        real = inputs["attention_mask"].unsqueeze(-1)
        mean = (states * real).sum(1) / real.sum(1)
        pooled: torch.Tensor = mean / mean.norm(dim=1, keepdim=True)
        return pooled

    def _offsets(self, request: Request, count: int) -> tuple[tuple[int, int] | None, ...]:
        if not self._tokenizer.is_fast:
            raise ModelError(
                f"{self._local.spec.name}: its tokenizer does not tell where words are"
            )
        with quiet():
            found = self._tokenizer(request.text, request.pair, return_offsets_mapping=True)
        places = zip(found["offset_mapping"], found.sequence_ids(), strict=True)
        offsets = tuple(None if part is None else (start, end) for (start, end), part in places)
        assert len(offsets) == count
        return offsets
