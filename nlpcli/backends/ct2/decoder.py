"""Decoder-only language models through CTranslate2: the fastest batches on a CPU, without torch.

The answer does not depend on the batch. CTranslate2 reads in one step as much of the prompts of a
batch as the shortest of them has, and the rest token by token; in int8 the least difference in
rounding between the two ways then changes the words. So prompts share a batch only where they
have the same number of whole blocks of _BLOCK tokens, and a batch in which no prompt ends with a
block gets one more row that does, whose output is thrown away: every prompt is read in one step
up to its last whole block, whatever the batch.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import ctranslate2

from nlpcli import registry
from nlpcli.backends import Decoding, Delta, Request, Result, Scored, prompt, recipe, sliding
from nlpcli.backends.ct2.storage import computed, stored
from nlpcli.backends.ct2.writing import Writing
from nlpcli.backends.draft import Draft
from nlpcli.backends.memory import OutOfMemory, Room, of_batch
from nlpcli.backends.tokenize import TOKENIZER
from nlpcli.device import Device
from nlpcli.errors import DataError, DeviceError, ModelError, UsageError
from nlpcli.registry import LocalModel

_POLL_SECONDS = 0.005
_BLOCK = 16  # tokens
_CPU_ROWS, _CUDA_ROWS = 48, 256  # the greatest batches
# What CTranslate2 holds to score a row, for each of its tokens and each of the vocabulary, and what
# all rows that are scored at once may take.
_BYTES_A_SCORE, _SCORED_BYTES = 6, 2**31


class _Row(NamedTuple):
    """A prompt that fits the window, and the greatest length of its output in tokens."""

    ids: list[int]
    limit: int


class Decoder:
    """`window` and `measure` count tokens."""

    def __init__(self, model: LocalModel, device: Device) -> None:
        if model.spec.format == "ct2":
            folder = model.folder
        else:
            from nlpcli.backends.ct2.convert import convert

            folder = convert(model, stored(device))
        made = registry.read_json(folder / recipe.FILE)
        if made.get("kind") != "decoder":
            raise ModelError(
                f"{folder}: not a language model that nlpcli converted",
                "name the transformers model that it was made from",
            )
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._prompts = prompt.Prompts(self._tokenizer, prompt.from_json(made["format"]))
        vocabulary = (folder / "vocabulary.json").read_text(encoding="utf-8")
        self._names: list[str] = json.loads(vocabulary)
        self._ends: list[int] = made["ends"]
        self._folder, self._dtype, self._device = str(folder), made["dtype"], device
        self._workers = device.threads if device.kind == "cpu" else 1
        self._room = Room()
        self._generator: Any = None
        self._loaded = 0
        self.window: int = made["window"]
        self.chat = self._prompts.chat

    def measure(self, text: str) -> int:
        return self._prompts.measure(text)

    def close(self) -> None:
        if self._generator:
            self._generator.unload_model()

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        """Raises UsageError for a search that it lacks, DeviceError where memory does not suffice.

        Samples come out the same for the same requests in the same order, under the first's seed.
        """
        _check(decoding, self._device)
        prepared = [self._row(request, decoding.max_tokens) for request in requests]
        rows = [row for row in prepared if isinstance(row, _Row) for _ in range(decoding.nbest)]
        generator = self._ready(self._workers)
        if decoding.temperature and rows:
            generator = self._seeded(requests[0].seed)
        drafts = iter(self._generate(generator, rows, decoding))
        return [
            Result(tuple(next(drafts).hypothesis() for _ in range(decoding.nbest)))
            if isinstance(row, _Row)
            else Result((), row)
            for row in prepared
        ]

    def stream(self, request: Request, decoding: Decoding) -> Iterator[Delta]:
        """Raises DataError for a prompt beyond the window, else as `run`."""
        _check(decoding, self._device)
        row = self._row(request, decoding.max_tokens)
        if isinstance(row, str):
            raise DataError(row, "shorten it, or use a model with a longer window")
        # Alone, a sequence is fastest on all threads together.
        generator = self._seeded(request.seed) if decoding.temperature else self._ready(1)
        arrivals: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
        draft = self._draft(decoding, live=True)
        writing = Writing([draft], told=arrivals.put)
        future = self._start(generator, [row], decoding, writing)[0]
        last = False
        try:
            while not last:
                try:
                    piece, last = arrivals.get(timeout=1)
                except queue.Empty:
                    if future.done():
                        _awaited(future, self._device)  # raises what went wrong
                    continue
                if piece and not last:
                    yield Delta(piece)
            yield Delta(piece + draft.end(), draft.finish)
        finally:
            writing.closed = True
            _awaited(future, self._device)

    def likelihoods(
        self, requests: Sequence[Request], continuations: Sequence[str]
    ) -> list[list[float]]:
        """Raises DataError for a prompt and continuation beyond the window."""
        endings = [self._prompts.continuation(text) for text in continuations]
        rows = []
        for request in requests:
            ids = self._prompts.encode(request)
            rows += [ids + ending for ending in endings]
        longest = max(map(len, rows), default=0)
        if longest > self.window:
            raise DataError(
                f"a prompt of {longest} tokens is longer than the model's window of {self.window}",
                "shorten it",
            )
        sums = iter(
            sum(logprobs[len(logprobs) - len(ending) :])
            for logprobs, ending in zip(self._logprobs(rows), endings * len(requests), strict=True)
        )
        return [[next(sums) for _ in endings] for _ in requests]

    def logprobs(self, text: str, window: int = 0, stride: int = 0) -> list[Scored]:
        ids, spans = self._prompts.spans(text)
        return sliding.logprobs(ids, spans, self.window, window, stride, self._endings)

    def _endings(self, rows: list[list[int]], counts: list[int]) -> list[list[float]]:
        """The log-probabilities of as many tokens at the end of each row."""
        found = self._logprobs(rows)
        return [row[len(row) - count :] for row, count in zip(found, counts, strict=True)]

    def _draft(self, decoding: Decoding, *, live: bool = False) -> Draft:
        return Draft(self._tokenizer, self._ends, decoding, live=live)

    def _ready(self, workers: int) -> Any:
        """The model in memory, once, on `workers` that share the threads."""
        if self._loaded != workers:
            self.close()
            self._generator, self._loaded = self._load(workers), workers
        return self._generator

    def _seeded(self, seed: int) -> Any:
        """The model with one worker that draws from `seed` on: it does so from the seed that is
        set as it starts."""
        self.close()
        self._generator, self._loaded = None, 0
        ctranslate2.set_random_seed(seed % 2**32)
        return self._ready(1)

    def _load(self, workers: int) -> Any:
        threads = min(self._workers, self._device.threads_of_one)
        try:
            return ctranslate2.Generator(
                self._folder,
                device=self._device.kind,
                device_index=self._device.index,
                compute_type=computed(self._dtype, self._device),
                inter_threads=workers,
                intra_threads=max(threads // workers, 1),
                max_queued_batches=-1,
            )
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"CTranslate2 on {self._device}: {error}") from error

    def _row(self, request: Request, most: int | None) -> _Row | str:
        """The prompt, or why there can be no answer to it."""
        try:
            ids = self._prompts.encode(request)
        except DataError as error:
            return error.message
        if len(ids) >= self.window:
            return f"a prompt of {len(ids)} tokens does not fit the model's window of {self.window}"
        if most and len(ids) + most <= self.window:
            return _Row(ids, most)
        # The same for all prompts that can share a batch.
        return _Row(ids, max(self.window - (len(ids) | (_BLOCK - 1)), 1))

    def _generate(self, generator: Any, rows: Sequence[_Row], decoding: Decoding) -> list[Draft]:
        """The output of each row."""
        most = _CPU_ROWS if self._device.kind == "cpu" else _CUDA_ROWS
        size = 1 if decoding.logprobs else self._device.batch_size(decoding.batch_size) or most
        return self._room.halving(
            max(min(size, len(rows)), 1),
            lambda size: self._drafts(generator, rows, decoding, size),
            self._device,
        )

    def _drafts(
        self, generator: Any, rows: Sequence[_Row], decoding: Decoding, size: int
    ) -> list[Draft]:
        """The output of each row, at most `size` in a batch."""
        drafts = [self._draft(decoding) for _ in rows]
        alternatives = decoding.logprobs or 0
        writings: list[Writing] = []
        futures = []
        try:
            for batch in self._batches(rows, size):
                writing = Writing([drafts[index] for index in batch], alternatives)
                writings.append(writing)
                futures += self._start(generator, [rows[i] for i in batch], decoding, writing)
            for future in futures:
                _awaited(future, self._device)
        except BaseException as error:
            for writing in writings:
                writing.closed = True
            # A smaller try is not to share the memory with what is left of this one.
            while isinstance(error, OutOfMemory) and not all(f.done() for f in futures):
                time.sleep(_POLL_SECONDS)
            raise
        return drafts

    def _batches(self, rows: Sequence[_Row], most: int) -> list[list[int]]:
        """The indices of `rows` in batches that keep all workers busy, the fullest first."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index in sorted(range(len(rows)), key=lambda index: len(rows[index].ids)):
            ids, limit = rows[index]
            # Beside a prompt of one token, CTranslate2 gives the others back with their outputs.
            block = len(ids) // _BLOCK if len(ids) > 1 else -1
            groups.setdefault((block, limit), []).append(index)
        batches = [
            batch for group in groups.values() for batch in _even(group, -(-len(group) // most))
        ]
        batches.sort(key=len, reverse=True)
        if batches and (idle := -len(batches) % self._workers):
            batches += _even(batches.pop(), idle + 1)
        return batches

    def _start(
        self, generator: Any, rows: Sequence[_Row], decoding: Decoding, writing: Writing
    ) -> list[Any]:
        """Begin to generate for rows that may share a batch: their futures, and perhaps one more
        that stands for nothing."""
        prompts = [row.ids for row in rows]
        shortest = min(prompts, key=len)
        whole = max(len(shortest) // _BLOCK * _BLOCK, 2)
        if len(shortest) > whole:
            prompts.append(shortest[:whole])
        options: dict[str, Any] = {"sampling_topk": 1}
        if decoding.temperature:
            options = {
                "sampling_topk": decoding.top_k,
                "sampling_topp": decoding.top_p,
                "sampling_temperature": decoding.temperature,
            }
        try:
            futures: list[Any] = generator.generate_batch(
                [[self._names[index] for index in ids] for ids in prompts],
                asynchronous=True,
                max_length=rows[0].limit,
                end_token=self._ends,
                return_end_token=True,
                include_prompt_in_result=False,
                callback=writing,
                return_scores=decoding.scores or decoding.logprobs is not None,
                return_logits_vocab=bool(decoding.logprobs),
                **options,
            )
        except ValueError as error:
            raise UsageError(f"CTranslate2: {error}") from error
        return futures

    def _logprobs(self, rows: Sequence[list[int]]) -> list[list[float]]:
        """The log-probability of each token but the first. One row a batch: no padding, and
        nothing that depends on the others; a row is enough to keep a thread busy, where memory
        has room for so many."""
        longest = max(map(len, rows), default=1)
        room = _SCORED_BYTES // (_BYTES_A_SCORE * longest * len(self._names))
        tokens = [[self._names[index] for index in ids] for ids in rows]
        futures = self._ready(max(1, min(self._workers, room))).score_batch(
            tokens, max_batch_size=1, max_input_length=0, asynchronous=True
        )
        return [list(_awaited(future, self._device).log_probs) for future in futures]


def _even(group: list[int], count: int) -> list[list[int]]:
    """`group` in `count` parts of about the same size, as far as it goes."""
    size = -(-len(group) // count)
    return [group[start : start + size] for start in range(0, len(group), size)]


def _check(decoding: Decoding, device: Device) -> None:
    if decoding.temperature and device.deterministic:
        raise UsageError(
            "CTranslate2's samples depend on what is sampled beside them",
            "use --backend torch or llamacpp, or --temperature 0",
        )
    if (decoding.beam or 1) > 1:
        raise UsageError("language models have no beam search", "leave out --beam")
    if decoding.nbest > 1 and not decoding.temperature:
        raise UsageError("without sampling there is one output", "use --temperature 0.7")


def _awaited(future: Any, device: Device) -> Any:
    with of_batch(device):
        while not future.done():  # `result` would hold back Ctrl-C until the batch is done
            time.sleep(_POLL_SECONDS)
        return future.result()
