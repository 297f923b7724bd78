"""How fast the ct2 backend is against CTranslate2's own translate_batch and transformers' generate.

A Marian-base model with random weights (512 wide, 6 + 6 layers, 58,101 tokens), beam 4, sources of
8 to 45 tokens, 32 output tokens for every sentence and every peer. Each peer runs in a process of
its own with the same number of threads; prints sentences per second and ratios.

    python tests/bench/ct2_vs_reference.py [--sentences N]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

VOCABULARY = 58_101
OUTPUT = 32
BEAM = 4
ROUNDS = 3
SETTINGS = [
    (1, 32, "examples"),
    (2, 8, "examples"),
    (2, 16, "examples"),
    (2, 32, "examples"),
    (2, 1024, "tokens"),
]


def texts(count: int) -> list[str]:
    """Sentences of 8 to 45 tokens made of 4,000 made-up words, seeded."""
    pick = random.Random(7)
    syllables = [c + v for c in "bcdfghjklmnprstvz" for v in "aeiou"]
    words = ["".join(pick.choices(syllables, k=pick.randint(1, 4))) for _ in range(4000)]
    return [" ".join(pick.choices(words, k=pick.randint(4, 22))) + "." for _ in range(count)]


def build(folder: Path) -> None:
    """The random Marian model, in the layout of an opus-mt repository."""
    import sentencepiece
    import torch
    from transformers import GenerationConfig, MarianConfig, MarianMTModel

    torch.manual_seed(7)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts(4000)), model_writer=model, vocab_size=4000,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(i) for i in range(3, len(processor))]
    names = ["</s>", "<unk>", *pieces]
    names += [f"unused{i}" for i in range(VOCABULARY - 1 - len(names))] + ["<pad>"]
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(model.getvalue())
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "MarianTokenizer"}')
    pad = VOCABULARY - 1
    config = MarianConfig(
        vocab_size=VOCABULARY, d_model=512, encoder_layers=6, decoder_layers=6,
        encoder_ffn_dim=2048, decoder_ffn_dim=2048, encoder_attention_heads=8,
        decoder_attention_heads=8, max_position_embeddings=512, activation_function="swish",
        scale_embedding=True, static_position_embeddings=True, pad_token_id=pad, eos_token_id=0,
        bos_token_id=0, decoder_start_token_id=pad, forced_eos_token_id=0,
    )  # fmt: skip
    made = MarianMTModel(config)
    made.generation_config = GenerationConfig(
        num_beams=BEAM, max_length=OUTPUT + 2, min_length=OUTPUT + 1, bad_words_ids=[[pad]],
        forced_eos_token_id=0, eos_token_id=0, pad_token_id=pad, decoder_start_token_id=pad,
    )  # fmt: skip
    made.save_pretrained(folder)


def backend(folder: Path, threads: int) -> Any:
    from nlpcli.backends.ct2.seq2seq import CTranslate2
    from nlpcli.device import Device
    from nlpcli.registry import LocalModel, ModelSpec

    spec = ModelSpec("bench", ("translate",), "transformers", (), "marian")
    return CTranslate2(LocalModel(spec, folder), Device("cpu", dtype="int8", threads=threads))


def clock(work: Callable[[], Any], count: int) -> float:
    """Sentences per second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def ours_and_theirs(folder: Path, threads: int, count: int) -> dict[str, float]:
    """Our backend from texts, CTranslate2 from tokens; turn by turn, so that a busy machine
    slows both; the median rate of each, and the best of all settings."""
    import ctranslate2

    from nlpcli.backends import Decoding, Request

    ours = backend(folder, threads)
    sample = texts(count)
    requests = [Request(text) for text in sample]
    ours.run(requests[:8], Decoding())
    tokens = [
        [*encoded, "</s>"] for encoded in ours._tokenization.encode([r.text for r in requests])
    ]
    options = {
        "beam_size": BEAM, "max_input_length": 0,
        "max_decoding_length": OUTPUT, "min_decoding_length": OUTPUT,
    }  # fmt: skip

    def peer(inter: int, size: int, kind: str) -> Callable[[], Any]:
        translator = ctranslate2.Translator(
            ours._folder, compute_type="int8", inter_threads=inter, intra_threads=threads // inter
        )
        translator.translate_batch(tokens[:8], **options)
        return lambda: translator.translate_batch(
            tokens, max_batch_size=size, batch_type=kind, **options
        )

    peers = {
        f"{inter} x {threads // inter} threads, {size} {kind}": peer(inter, size, kind)
        for inter, size, kind in SETTINGS
        if threads % inter == 0
    }
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, work in peers.items():
            found.setdefault(name, []).append(clock(work, count))
        for _ in range(2):
            rate = clock(lambda: ours.run(requests, Decoding()), count)
            found.setdefault("ours", []).append(rate)
    best = {name: median(rates) for name, rates in found.items()}
    for name in peers:
        print(f"    translate_batch, {name}: {best[name]:.1f}/s", file=sys.stderr)
    single = requests[:20]
    ours.run(single[:1], Decoding())
    alone = clock(lambda: [ours.run([request], Decoding()) for request in single], len(single))
    theirs = max(best[name] for name in peers)
    return {"ours": best["ours"], "translate_batch": theirs, "ours, one by one": alone}


def generate(folder: Path, threads: int, batch: int, count: int) -> dict[str, float]:
    """transformers in float32, from texts."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    sample = sorted(texts(count), key=len)

    def work() -> None:
        for start in range(0, count, batch):
            inputs = tokenizer(sample[start : start + batch], return_tensors="pt", padding=True)
            tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True)

    return {f"generate, batch {batch}": clock(work, count)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sentences", type=int, default=128)
    parser.add_argument("--part", nargs=2)
    arguments = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    if arguments.part:
        part, folder = arguments.part[0], Path(arguments.part[1])
        if part == "ct2":
            found = ours_and_theirs(folder, threads, arguments.sentences)
        else:
            batch = int(part)
            found = generate(folder, threads, batch, 64 if batch > 1 else 12)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "model"
        folder.mkdir()
        build(folder)
        rates: dict[str, float] = {}
        for part in ("ct2", "32", "1"):
            command = [sys.executable, __file__, "--part", part, str(folder)]
            command += ["--sentences", str(arguments.sentences)]
            environment = os.environ | {"XDG_CACHE_HOME": home, "PYTHONWARNINGS": "ignore"}
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
            rates |= json.loads(done.stdout.splitlines()[-1])
    report(rates, threads)


def report(rates: dict[str, float], threads: int) -> None:
    from importlib.metadata import version

    from nlpcli.device import cpu_device

    packages = ("ctranslate2", "torch", "transformers")
    print(f"{cpu_device().name or platform.machine()}, {threads} threads")
    print(*(f"{name} {version(name)}" for name in packages), f"Python {platform.python_version()}")
    targets = {"translate_batch": 0.95, "generate, batch 32": 4.0, "generate, batch 1": 12.0}
    for name, rate in rates.items():
        line = f"{name:22} {rate:7.2f} sentences/s"
        if name in targets:
            ours = rates["ours"]
            line += f"   ours is {ours / rate:6.2f} times that (target {targets[name]})"
        print(line)


if __name__ == "__main__":
    main()
