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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import ctranslate2

from nlpcli import registry
from nlpcli.backends import Decoding, Delta, Hypothesis, Request, Result, Token, prompt, recipe
from nlpcli.backends.ct2.storage import computed, stored
from nlpcli.backends.stopping import Output, alternative, pieces
from nlpcli.backends.tokenize import TOKENIZER
from nlpcli.device import Device
from nlpcli.errors import DataError, DeviceError, ModelError, UsageError
from nlpcli.registry import LocalModel

_POLL_SECONDS = 0.005
_BLOCK = 16  # tokens
_CPU_ROWS, _CUDA_ROWS = 64, 256  # the greatest batches


class _Row(NamedTuple):
    """A prompt that fits the window, and the greatest length of its output in tokens."""

    ids: list[int]
    limit: int


class _Found(NamedTuple):
    """An output: the ids of its text, the end token that followed (() where none did), its text,
    and why it ended."""

    ids: list[int]
    end: tuple[int, ...]
    text: str
    finish: str


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
        self._generator = self._load(self._workers)
        self.window: int = made["window"]
        self.chat = self._prompts.chat

    def measure(self, text: str) -> int:
        return self._prompts.measure(text)

    def close(self) -> None:
        self._generator.unload_model()

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        """Raises UsageError for a search that it lacks, DeviceError where memory does not suffice.

        Samples come out the same for the same requests in the same order, under the first's seed.
        """
        _check(decoding)
        prepared = [self._row(request, decoding.max_tokens) for request in requests]
        rows = [row for row in prepared if isinstance(row, _Row)]
        generator = self._generator
        if decoding.temperature and rows:
            # A worker draws from a state of its own, which it seeds as it starts.
            ctranslate2.set_random_seed(requests[0].seed % 2**32)
            generator = self._load(1)
        found = self._generate(generator, rows, decoding)
        if decoding.scores or decoding.logprobs is not None:
            with ThreadPoolExecutor(self._workers) as pool:
                every = pool.map(lambda row, each: self._told(row, each, decoding), rows, found)
                told = iter(list(every))
        else:
            told = iter([tuple(map(_plain, each)) for each in found])
        return [
            Result(next(told)) if isinstance(row, _Row) else Result((), row) for row in prepared
        ]

    def stream(self, request: Request, decoding: Decoding) -> Iterator[Delta]:
        """Raises DataError for a prompt beyond the window, else as `run`."""
        _check(decoding)
        row = self._row(request, decoding.max_tokens)
        if isinstance(row, str):
            raise DataError(row, "shorten it, or use a model with a longer window")
        if decoding.temperature:
            ctranslate2.set_random_seed(request.seed % 2**32)
        steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
        closed: list[bool] = []

        def told(step: Any) -> bool:
            if step.batch_id == 0:
                steps.put((step.token_id, step.is_last))
            return bool(closed) or step.batch_id > 0

        # Alone, a sequence is fastest on all threads together.
        generator = self._load(1)
        future = self._start(generator, [row], decoding, told)[0]
        try:
            yield from self._deltas(future, steps, Output(self._tokenizer, decoding.stop))
        finally:
            closed.append(True)
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

    def _load(self, workers: int) -> Any:
        try:
            return ctranslate2.Generator(
                self._folder,
                device=self._device.kind,
                device_index=self._device.index,
                compute_type=computed(self._dtype, self._device),
                inter_threads=workers,
                intra_threads=max(self._workers // workers, 1),
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

    def _generate(
        self, generator: Any, rows: Sequence[_Row], decoding: Decoding
    ) -> list[list[_Found]]:
        """The outputs of each row."""
        jobs = []
        left: list[bool] = []
        found: list[list[_Found]] = [[] for _ in rows]
        try:
            for batch in self._batches(rows, decoding.batch_size):
                watched = self._watching(len(batch), decoding, left)
                futures = self._start(generator, [rows[i] for i in batch], decoding, watched)
                jobs.append((batch, futures))
            for batch, futures in jobs:
                for index, future in zip(batch, futures, strict=False):
                    sequences = _awaited(future, self._device).sequences_ids
                    found[index] = [self._ended(ids, decoding.stop) for ids in sequences]
        except BaseException:
            left.append(True)
            raise
        return found

    def _watching(
        self, count: int, decoding: Decoding, left: list[bool]
    ) -> Callable[[Any], bool] | None:
        """What is called with each token of a batch, and says whether its row is to stop: at a
        stop string, and once nobody waits for it any more (`left` is not empty)."""
        if decoding.nbest > 1:
            return None
        if not decoding.stop:
            return lambda step: bool(left)
        outputs = [Output(self._tokenizer, decoding.stop) for _ in range(count)]

        def told(step: Any) -> bool:
            if left or step.batch_id >= count:
                return True
            output: Output = outputs[step.batch_id]
            if step.token_id not in self._ends:
                output.add(step.token_id)
            return output.stopped

        return told

    def _batches(self, rows: Sequence[_Row], asked: int) -> list[list[int]]:
        """The indices of `rows` in batches that keep all workers busy, the fullest first."""
        most = _CPU_ROWS if self._device.kind == "cpu" else _CUDA_ROWS
        size = asked or min(most, -(-len(rows) // self._workers))
        groups: dict[tuple[int, int], list[int]] = {}
        for index in sorted(range(len(rows)), key=lambda index: len(rows[index].ids)):
            ids, limit = rows[index]
            # Beside a prompt of one token, CTranslate2 gives the others back with their outputs.
            block = len(ids) // _BLOCK if len(ids) > 1 else -1
            groups.setdefault((block, limit), []).append(index)
        batches = [
            group[start : start + size]
            for group in groups.values()
            for start in range(0, len(group), size)
        ]
        return sorted(batches, key=len, reverse=True)

    def _start(
        self, generator: Any, rows: Sequence[_Row], decoding: Decoding, callback: Any
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
                "num_hypotheses": decoding.nbest,
            }
        try:
            futures: list[Any] = generator.generate_batch(
                [[self._names[index] for index in ids] for ids in prompts],
                asynchronous=True,
                max_length=rows[0].limit,
                end_token=self._ends,
                return_end_token=True,
                include_prompt_in_result=False,
                callback=callback,
                **options,
            )
        except ValueError as error:
            raise UsageError(f"CTranslate2: {error}") from error
        return futures

    def _deltas(
        self, future: Any, steps: queue.SimpleQueue[Any], output: Output
    ) -> Iterator[Delta]:
        while True:
            try:
                token, last = steps.get(timeout=1)
            except queue.Empty:
                if future.done():
                    _awaited(future, self._device)  # raises what went wrong
                continue
            piece = "" if token in self._ends else output.add(token)
            if last or output.stopped:
                ended = token in self._ends or output.stopped
                piece += output.end()
                yield Delta(piece, "stop" if ended or output.stopped else "length")
                return
            if piece:
                yield Delta(piece)

    def _ended(self, ids: list[int], stop: tuple[str, ...]) -> _Found:
        end = tuple(ids[-1:]) if ids and ids[-1] in self._ends else ()
        ids = ids[: len(ids) - len(end)]
        if not stop:
            text = self._tokenizer.decode(ids, skip_special_tokens=True)
            return _Found(ids, end, text, "stop" if end else "length")
        output = Output(self._tokenizer, stop)
        for count, index in enumerate(ids, 1):
            output.add(index)
            if output.stopped:
                return _Found(ids[:count], (), output.text, "stop")
        output.end()
        return _Found(ids, end, output.text, "stop" if end or output.stopped else "length")

    def _told(
        self, row: _Row, found: Sequence[_Found], decoding: Decoding
    ) -> tuple[Hypothesis, ...]:
        """The outputs of a row with what was asked of their probabilities."""
        hypotheses = []
        for each in found:
            logprobs, top = self._read_again(row.ids, [*each.ids, *each.end], decoding)
            tokens = []
            texts = pieces(self._tokenizer, each.ids) if decoding.logprobs is not None else []
            left = len(each.text)
            for place, text in enumerate(texts):
                if left <= 0 and text:
                    break
                others = tuple(
                    (alternative(self._tokenizer, each.ids[:place], index), logprob)
                    for index, logprob in (top[place] if top else ())
                )
                tokens.append(Token(text, logprobs[place], others))
                left -= len(text)
            score = sum(logprobs) / max(len(logprobs), 1) if decoding.scores else None
            hypotheses.append(_plain(each)._replace(score=score, logprobs=tuple(tokens)))
        return tuple(hypotheses)

    def _read_again(
        self, ids: list[int], output: list[int], decoding: Decoding
    ) -> tuple[list[float], list[list[tuple[int, float]]]]:
        """The log-probability of each token of `output` behind `ids`, and the likeliest tokens
        in its place where they were asked for."""
        if not output:
            return [], []
        whole = [*ids, *output]
        if not decoding.logprobs:
            return self._logprobs([whole])[0][-len(output) :], []
        import numpy

        found = self._generator.forward_batch([whole[:-1]], return_log_probs=True)
        if self._device.kind != "cpu":
            found = found.to_device(ctranslate2.Device.cpu)
        every = numpy.asarray(found)[0, -len(output) :]
        count = min(decoding.logprobs, every.shape[1])
        best = numpy.argsort(-every, axis=1, kind="stable")[:, :count]
        top = [
            [(int(index), float(row[index])) for index in chosen]
            for row, chosen in zip(every, best, strict=True)
        ]
        return [float(row[index]) for row, index in zip(every, output, strict=True)], top

    def _logprobs(self, rows: Sequence[list[int]]) -> list[list[float]]:
        """The log-probability of each token but the first. One row a batch: no padding, and
        nothing that depends on the others; a row is enough to keep a thread busy."""
        tokens = [[self._names[index] for index in ids] for ids in rows]
        found = self._generator.score_batch(tokens, max_batch_size=1, max_input_length=0)
        return [list(result.log_probs) for result in found]


def _plain(found: _Found) -> Hypothesis:
    return Hypothesis(found.text, tokens=len(found.ids) + len(found.end), finish=found.finish)


def _check(decoding: Decoding) -> None:
    if (decoding.beam or 1) > 1:
        raise UsageError("language models have no beam search", "leave out --beam")
    if decoding.nbest > 1 and not decoding.temperature:
        raise UsageError("without sampling there is one output", "use --temperature 0.7")


def _awaited(future: Any, device: Device) -> Any:
    try:
        while not future.done():  # `result` would hold back Ctrl-C until the batch is done
            time.sleep(_POLL_SECONDS)
        return future.result()
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        raise DeviceError(
            f"{device}: not enough memory for this batch", "use a smaller --batch-size"
        ) from error
