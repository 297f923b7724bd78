"""Decoder-only language models through PyTorch and transformers: every architecture and device.

Runs transformers' own `generate`, which keeps each architecture's cache, and chooses every token
itself: what a row samples depends on its own seed and its own logits alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.generation import LogitsProcessorList, StoppingCriteriaList

from nlpcli.backends import Decoding, Delta, Hypothesis, Request, Result, Scored, prompt, sliding
from nlpcli.backends.ct2.convert import quiet
from nlpcli.backends.ct2.make_decoder import window
from nlpcli.backends.draft import Alternatives, Draft
from nlpcli.backends.memory import Room, of_batch
from nlpcli.backends.torch.loading import FROM_FILES, WEIGHTS, loading, prepare, release
from nlpcli.batching import by_equal_length, by_length
from nlpcli.device import Device
from nlpcli.errors import DataError, ModelError, UsageError
from nlpcli.registry import LocalModel

# Padded tokens of a batch, outputs included.
_BATCH_TOKENS = {"cpu": 8192, "cuda": 131072, "mps": 16384, "xpu": 65536}
_ASSUMED_OUTPUT = 128  # tokens, where no limit is given
_POSITIONS = 256  # whose probabilities are worked out at once: each has a float of every token


class _Row(NamedTuple):
    """A prompt that fits the window, the greatest length of its output in tokens, its seed, and
    the request that it belongs to."""

    ids: list[int]
    limit: int
    seed: int
    place: int


class Decoder:
    """`window` and `measure` count tokens."""

    def __init__(self, model: LocalModel, device: Device) -> None:
        if model.spec.format == "gguf":
            from nlpcli.backends.gguf import unpacked

            model = unpacked(model)
        self._device = torch.device(str(device))
        self._budget = _BATCH_TOKENS[device.kind]
        self._room = Room(release)
        self._batch_size = device.batch_size
        prepare(device)
        with loading(model.spec.name, device):
            tokenizer = AutoTokenizer.from_pretrained(model.folder, **FROM_FILES)
            self._model = AutoModelForCausalLM.from_pretrained(
                model.folder, dtype=getattr(torch, device.dtype), **WEIGHTS
            )
            self._model.eval().to(self._device)
        if not hasattr(tokenizer, "backend_tokenizer"):
            raise ModelError(
                f"{model.spec.name}: its tokenizer has no tokenizer.json",
                "name a conversion of it that has one",
            )
        form = prompt.of_tokenizer(tokenizer)
        self._tokenizer = tokenizer.backend_tokenizer
        self._prompts = prompt.Prompts(self._tokenizer, form)
        self._ends = frozenset(prompt.end_ids(self._model, tokenizer, form.template))
        self._pad = min(self._ends, default=0)
        self.window = window(self._model.config.get_text_config())
        self.chat = self._prompts.chat
        self._keeps = "logits_to_keep" in signature(self._model.forward).parameters

    def measure(self, text: str) -> int:
        return self._prompts.measure(text)

    def close(self) -> None:
        del self._model
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        """Raises UsageError for a search that it lacks, DeviceError where memory runs out."""
        _check(decoding)
        hypotheses: list[list[Hypothesis]] = [[] for _ in requests]
        results: list[Result | None] = [None] * len(requests)
        rows = []
        for place, request in enumerate(requests):
            found = self._row(place, request, decoding.max_tokens)
            if isinstance(found, str):
                results[place] = Result((), found)
            else:
                rows += [found._replace(seed=found.seed + k) for k in range(decoding.nbest)]
        lengths = [
            len(row.ids) + min(row.limit, decoding.max_tokens or _ASSUMED_OUTPUT) for row in rows
        ]
        size = self._batch_size(decoding.batch_size)
        budget = 0 if size else self._budget
        made: dict[int, Hypothesis] = {}
        for batch in by_length(lengths, batch_size=size, budget=budget):
            drafts = self._room.run(
                batch, lengths, lambda part: self._drafts([rows[i] for i in part], decoding)
            )
            for index, draft in zip(batch, drafts, strict=True):
                made[index] = draft.hypothesis()
        for index, row in enumerate(rows):
            hypotheses[row.place].append(made[index])
        return [
            result or Result(tuple(found))
            for result, found in zip(results, hypotheses, strict=True)
        ]

    def _drafts(self, rows: list[_Row], decoding: Decoding) -> list[Draft]:
        writing = _Writing(self, rows, decoding)
        self._generate(writing)
        return writing.drafts

    def stream(self, request: Request, decoding: Decoding) -> Iterator[Delta]:
        """Raises DataError for a prompt beyond the window, else as `run`."""
        _check(decoding)
        row = self._row(0, request, decoding.max_tokens)
        if isinstance(row, str):
            raise DataError(row, "shorten it, or use a model with a longer window")
        arrivals: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
        writing = _Writing(self, [row], decoding, arrivals.put)

        def work() -> None:
            try:
                self._generate(writing)
                arrivals.put(None)
            except BaseException as error:
                arrivals.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (piece := arrivals.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                if piece:
                    yield Delta(piece)
        finally:
            writing.closed = True
            thread.join()
        draft = writing.drafts[0]
        yield Delta(draft.end(), draft.finish)

    def likelihoods(
        self, requests: Sequence[Request], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Raises DataError for a prompt and continuation beyond the window."""
        endings = [self._prompts.continuation(text) for text in continuations]
        pairs = []
        for request in requests:
            ids = self._prompts.encode(request)
            pairs += [(ids, ending) for ending in endings]
        lengths = [len(ids) + len(ending) for ids, ending in pairs]
        if max(lengths, default=0) > self.window:
            raise DataError(
                f"a prompt of {max(lengths)} tokens is longer than the model's window of "
                f"{self.window}",
                "shorten it",
            )
        sums = [0.0] * len(pairs)
        for batch in by_length(lengths, batch_size=self._batch_size(0), budget=self._budget // 4):
            found = self._room.run(
                batch, lengths, lambda part: self._sums([pairs[i] for i in part])
            )
            for index, value in zip(batch, found, strict=True):
                sums[index] = value
        size = len(endings)
        return [sums[start * size : (start + 1) * size] for start in range(len(requests))]

    def logprobs(self, text: str, window: int = 0, stride: int = 0) -> list[Scored]:
        ids, spans = self._prompts.spans(text)
        return sliding.logprobs(ids, spans, self.window, window, stride, self._endings)

    def _row(self, place: int, request: Request, most: int | None) -> _Row | str:
        """The prompt, or why there can be no answer to it."""
        try:
            ids = self._prompts.encode(request)
        except DataError as error:
            return error.message
        room = self.window - len(ids)
        if room < 1:
            return f"a prompt of {len(ids)} tokens does not fit the model's window of {self.window}"
        return _Row(ids, min(most or room, room), request.seed, place)

    def _generate(self, writing: _Writing) -> None:
        # The model's own sampling defaults have no say: Decoding says all.
        config = GenerationConfig(
            max_new_tokens=max(row.limit for row in writing.rows),
            do_sample=False,
            pad_token_id=self._pad,
            use_cache=True,
        )
        kept = self._model.generation_config
        try:
            with of_batch(self._device), torch.inference_mode(), quiet():
                inputs = self._padded([row.ids for row in writing.rows])
                self._model.generation_config = GenerationConfig()
                self._model.generate(
                    **inputs,
                    generation_config=config,
                    logits_processor=LogitsProcessorList([writing.choose]),
                    stopping_criteria=StoppingCriteriaList([writing.stop]),
                )
        finally:
            self._model.generation_config = kept

    def _padded(self, rows: Sequence[list[int]]) -> dict[str, Any]:
        longest = max(map(len, rows))
        ids = [[self._pad] * (longest - len(row)) + row for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return {
            "input_ids": torch.tensor(ids, device=self._device),
            "attention_mask": torch.tensor(mask, device=self._device),
        }

    def _sums(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        """The log-probability of each second part behind its first."""
        keep = max(len(ending) for _, ending in pairs) + 1
        with of_batch(self._device), torch.inference_mode():
            inputs = self._padded([ids + ending for ids, ending in pairs])
            positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
            logits = self._model(**inputs, position_ids=positions).logits[:, -keep:-1]
            every = logits.float().log_softmax(-1)
            chosen = every.gather(2, inputs["input_ids"][:, 1 - keep :, None])[:, :, 0]
        return [
            float(row[len(row) - len(ending) :].sum())
            for row, (_, ending) in zip(chosen, pairs, strict=True)
        ]

    def _endings(self, rows: list[list[int]], counts: list[int]) -> list[list[float]]:
        """The log-probabilities of as many tokens at the end of each row."""
        found: list[list[float]] = [[] for _ in rows]
        sizes = [len(row) for row in rows]
        for batch in by_equal_length(
            sizes, batch_size=self._batch_size(0), budget=self._budget // 4
        ):
            ids = torch.tensor([rows[index] for index in batch], device=self._device)
            keep = max(counts[index] for index in batch) + 1
            with of_batch(self._device), torch.inference_mode():
                # What each position says of the next; the last says nothing of the row.
                few = {"logits_to_keep": keep} if self._keeps else {}
                logits = self._model(ids, use_cache=False, **few).logits[:, -keep:-1]
                for row, index in enumerate(batch):
                    own, count = slice(keep - 1 - counts[index], None), counts[index]
                    found[index] = _chosen(logits[row, own], ids[row, -count:])
        return found


def _chosen(logits: Any, ids: Any) -> list[float]:
    """The log-probability of each of `ids` under its row of `logits` (ids, vocabulary)."""
    found: list[float] = []
    for some, chosen in zip(logits.split(_POSITIONS), ids.split(_POSITIONS), strict=True):
        every = some.float().log_softmax(-1)
        found += every.gather(1, chosen[:, None])[:, 0].tolist()
    return found


class _Writing:
    """The outputs of one batch while they are written."""

    def __init__(
        self,
        model: Decoder,
        rows: Sequence[_Row],
        decoding: Decoding,
        told: Callable[[str], object] | None = None,
    ) -> None:
        self.rows, self.closed = rows, False
        self.drafts = [
            Draft(model._tokenizer, model._ends, decoding, live=told is not None) for _ in rows
        ]
        self._decoding, self._told = decoding, told
        self._done = [False] * len(rows)
        self._draws = [torch.Generator().manual_seed(row.seed % 2**63) for row in rows]
        self._reads = decoding.scores or decoding.logprobs is not None

    def choose(self, _: Any, logits: Any) -> Any:
        """Pick each row's next token from its `logits` (rows, vocabulary), note it, and leave
        `generate` no other choice."""
        chosen = self._sampled(logits) if self._decoding.temperature else logits.argmax(-1)
        ids = chosen.tolist()
        read = self._read(logits, chosen) if self._reads else [(None, ())] * len(ids)
        for index, token in enumerate(ids):
            if not self._done[index]:
                self._write(index, token, *read[index])
        only = torch.full_like(logits, -torch.inf)
        return only.scatter(1, chosen[:, None], 0.0)

    def stop(self, ids: Any, _: Any, **__: Any) -> Any:
        return torch.tensor([done or self.closed for done in self._done], device=ids.device)

    def _write(self, index: int, token: int, logprob: float | None, top: Alternatives) -> None:
        draft = self.drafts[index]
        piece = draft.add(token, logprob, top)
        if self._told:
            self._told(piece)
        full = len(draft) >= self.rows[index].limit
        self._done[index] = draft.ended or draft.stopped or full

    def _sampled(self, logits: Any) -> Any:
        decoding = self._decoding
        scaled = logits.float().cpu() / decoding.temperature
        # Ties are broken by the id, so that a draw does not depend on how sort was split up.
        ranked, order = scaled.sort(dim=-1, descending=True, stable=True)
        if decoding.top_k:
            ranked[:, decoding.top_k :] = -torch.inf
        shares = ranked.softmax(-1)
        if decoding.top_p < 1:
            before = shares.cumsum(-1) - shares
            shares[before >= decoding.top_p] = 0
        picks = [
            torch.multinomial(row, 1, generator=draw)
            for row, draw in zip(shares, self._draws, strict=True)
        ]
        return order.gather(1, torch.stack(picks))[:, 0].to(logits.device)

    def _read(self, logits: Any, chosen: Any) -> list[tuple[float, Alternatives]]:
        """For each row the log-probability of the token chosen, and the likeliest tokens."""
        every = logits.float().log_softmax(-1)
        own = every.gather(1, chosen[:, None])[:, 0].tolist()
        best = every.topk(min(self._decoding.logprobs or 0, every.shape[1]), -1)
        tops = [
            list(zip(ids, values, strict=True))
            for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        return list(zip(own, tops, strict=True))


def _check(decoding: Decoding) -> None:
    if (decoding.beam or 1) > 1:
        raise UsageError("language models have no beam search", "leave out --beam")
    if decoding.nbest > 1 and not decoding.temperature:
        raise UsageError("without sampling there is one output", "use --temperature 0.7")
