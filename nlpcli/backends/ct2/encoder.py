"""Encoders through CTranslate2, a classification head in numpy. No torch, no transformers.

No row's answer depends on those beside it: a batch holds rows of one length, so that none is
padded, and at least 16 tokens, since products of fewer rows are summed in another order. The head
is one product of matrix and vector for each row. In int8 and in float32 this was measured to give
the same bits at every batch size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from nlpcli.backends import Request, recipe, tokenize
from nlpcli.backends.ct2.storage import computed, stored
from nlpcli.backends.encoding import from_json
from nlpcli.backends.memory import Room, of_batch
from nlpcli.batching import by_equal_length
from nlpcli.device import Device
from nlpcli.errors import DeviceError, ModelError
from nlpcli.registry import LocalModel

HEAD = "head.safetensors"
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "relu": lambda values: np.maximum(values, 0),
}
_BATCH_TOKENS = {"cpu": 256, "cuda": 16384}
_LEAST_TOKENS = 16


class Encoder:
    """`window` and `measure` count tokens without the special ones."""

    def __init__(self, model: LocalModel, device: Device) -> None:
        if model.spec.format == "ct2":
            folder = model.folder
        else:
            from nlpcli.backends.ct2.convert import convert

            folder = convert(model, stored(device))
        made = json.loads((folder / recipe.FILE).read_text(encoding="utf-8"))
        self._traits = from_json(made)
        self._dimensions = int(made["dimensions"])
        self._head = Head(folder / HEAD, made["activation"]) if self._traits.labels else None
        self._name = model.spec.name
        self._tokenizer = Tokenizer.from_file(str(folder / tokenize.TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._device = device
        self._room = Room()
        workers = device.threads if device.kind == "cpu" else 1
        try:
            # A batch for each thread: faster than splitting the products of one between them.
            self._encoder = ctranslate2.Encoder(
                str(folder),
                device=device.kind,
                device_index=device.index,
                compute_type=computed(made["dtype"], device),
                inter_threads=workers,
                intra_threads=1,
            )
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"CTranslate2 on {device}: {error}") from error
        self._workers = ThreadPoolExecutor(workers)
        self.labels = self._traits.labels
        self.multi_label = self._traits.multi_label
        self.window = self._traits.window

    def measure(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str], batch_size: int = 0) -> Any:
        """Raises DataError for a text longer than the window, DeviceError where memory does not
        suffice."""
        return self._run([Request(text) for text in texts], _pooled, batch_size)

    def classify(self, requests: Sequence[Request], batch_size: int = 0) -> Any:
        """Raises ModelError without a head, DataError for a text longer than the window,
        DeviceError where memory does not suffice."""
        if self._head is None:
            raise ModelError(f"{self._name} has no classification head", "name a classifier")
        return self._run(requests, self._head, batch_size)

    def close(self) -> None:
        self._workers.shutdown()
        self._encoder.unload_model()

    def _run(
        self, requests: Sequence[Request], reduce: Callable[[Any], Any], batch_size: int
    ) -> Any:
        """What `reduce` makes of the hidden states (rows, tokens, dimensions), a row a request."""
        encodings = self._tokenizer.encode_batch_fast(
            [each.text if each.pair is None else (each.text, each.pair) for each in requests]
        )
        ids = [encoding.ids for encoding in encodings]
        types = None
        if self._traits.types and any(each.pair is not None for each in requests):
            types = [encoding.type_ids for encoding in encodings]
        lengths = [len(row) for row in ids]
        self._traits.check(lengths)

        def compute(batch: list[int]) -> Any:
            spare = -(-_LEAST_TOKENS // lengths[batch[0]]) - len(batch)
            rows = batch + batch[:1] * spare
            hidden = self._forward(
                [ids[row] for row in rows], types and [types[row] for row in rows]
            )
            return reduce(hidden[: len(batch)])

        batch_size = self._device.batch_size(batch_size)
        budget = 0 if batch_size else _BATCH_TOKENS[self._device.kind]
        batches = by_equal_length(lengths, batch_size=batch_size, budget=budget)
        width = len(self.labels) if reduce is self._head else self._dimensions
        answers = np.empty((len(ids), width), np.float32)

        def fitting(batch: list[int]) -> list[Any]:
            return self._room.run(batch, lengths, lambda part: list(compute(part)))

        for batch, found in zip(batches, self._workers.map(fitting, batches), strict=True):
            answers[batch] = found
        return answers

    def _forward(self, rows: list[list[int]], types: list[list[int]] | None) -> Any:
        with of_batch(self._device):
            hidden = self._encoder.forward_batch(rows, token_type_ids=types).last_hidden_state
        if self._device.kind != "cpu":
            hidden = hidden.to(ctranslate2.DataType.float32).to_device(ctranslate2.Device.cpu)
        return np.asarray(hidden)


class Head:
    """The classification head that BERT, DistilBERT and RoBERTa share but for its names: a dense
    layer over the first token's state, an activation, and a layer that puts out logits."""

    def __init__(self, file: Path, activation: str) -> None:
        weights = load_file(file)
        self._dense = weights["dense.weight"], weights["dense.bias"]
        self._out = weights["out.weight"], weights["out.bias"]
        self._activate = _ACTIVATIONS[activation]

    def __call__(self, hidden: Any) -> Any:
        """The logits (rows, labels) of hidden states (rows, tokens, dimensions)."""
        return _linear(self._activate(_linear(hidden[:, 0], *self._dense)), *self._out)


def _linear(states: Any, weight: Any, bias: Any) -> Any:
    # Matrix by vector for each row: a product of matrices is rounded as its shape has it.
    return np.matmul(weight, states[:, :, None])[:, :, 0] + bias


def _pooled(hidden: Any) -> Any:
    """The mean over the tokens of hidden states (rows, tokens, dimensions), of length one."""
    mean = hidden.mean(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)
