"""How fast batches of prompts are answered: nlpcli's ct2 and torch backends and llamacpp's, against
CTranslate2's own generate_batch (the best of a few settings).

SmolLM2 135M Instruct, 256 prompts of 8 to 60 words, 64 tokens each. Each peer runs in a process of
its own with the same number of threads; prints tokens per second and ratios.

    python tests/bench/generate_batch.py [--prompts N] [--peers ct2,raw,torch,llamacpp]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from nlpcli import registry, store
from nlpcli.backends import Decoding, Message, Request, load
from nlpcli.device import Device, cpu_has_bfloat16, cpu_threads
from nlpcli.registry import LocalModel

MODEL = "smollm2-135m-instruct"
TOKENS = 64
SETTINGS = [(1, 32), (2, 16), (2, 32), (2, 64)]  # workers, rows of a batch
VERBS = ["Describe", "Explain", "Compare", "Retell", "List what you know about", "Doubt"]
THINGS = "the river, an engine, winter, a letter, two markets, glass, the moon, bread, a bridge"


def requests(count: int) -> list[Request]:
    """Prompts of various lengths, seeded."""
    pick = random.Random(7)
    things = THINGS.split(", ")
    made = []
    for _ in range(count):
        named = ", ".join(pick.choices(things, k=pick.randint(2, 20)))
        made.append(Request("", messages=(Message("user", f"{pick.choice(VERBS)} {named}."),)))
    return made


def backend(name: str, model: LocalModel, count: int) -> float:
    """Tokens per second of nlpcli's backend `name`."""
    dtype = {"ct2": "int8", "torch": "bfloat16" if cpu_has_bfloat16() else "float32"}
    device = Device("cpu", dtype=dtype.get(name, "float32"), threads=cpu_threads())
    loaded = load(name, model, device)
    asked = requests(count)
    loaded.run(asked[:2], Decoding(max_tokens=4))
    start = time.perf_counter()
    found = loaded.run(asked, Decoding(max_tokens=TOKENS))
    return sum(r.hypotheses[0].tokens for r in found) / (time.perf_counter() - start)


def raw(model: LocalModel, count: int, workers: int, rows: int) -> float:
    """Tokens per second of CTranslate2 alone, prompts sorted by length, on the same weights."""
    import ctranslate2
    from tokenizers import Tokenizer

    from nlpcli.backends import prompt
    from nlpcli.backends.ct2.convert import convert

    folder = convert(model, "int8")
    made = registry.read_json(folder / "recipe.json")
    names = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompts = prompt.Prompts(tokenizer, prompt.from_json(made["format"]))
    threads = max(cpu_threads() // workers, 1)
    generator = ctranslate2.Generator(
        str(folder), compute_type=made["dtype"], inter_threads=workers, intra_threads=threads
    )
    tokens = [[names[i] for i in prompts.encode(request)] for request in requests(count)]
    generator.generate_batch(tokens[:2], max_length=4)
    start = time.perf_counter()
    found = generator.generate_batch(
        tokens,
        max_batch_size=rows,
        max_length=TOKENS,
        end_token=made["ends"],
        return_end_token=True,
        include_prompt_in_result=False,
    )
    return sum(len(r.sequences_ids[0]) for r in found) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--peers", default="ct2,raw,torch,llamacpp")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer:
        model = store.fetch(registry.find(MODEL).spec)
        name, *numbers = chosen.peer.split(":")
        count = chosen.prompts
        print(raw(model, count, *map(int, numbers)) if numbers else backend(name, model, count))
        return
    peers = []
    for name in chosen.peers.split(","):
        peers += [f"raw:{w}:{r}" for w, r in SETTINGS] if name == "raw" else [name]
    speeds = {}
    for peer in peers:
        command = [sys.executable, str(Path(__file__)), "--peer", peer]
        done = subprocess.run(
            [*command, "--prompts", str(chosen.prompts)], capture_output=True, text=True, check=True
        )
        speeds[peer] = float(done.stdout.split()[-1])
        print(f"{peer:12} {speeds[peer]:7.1f} tokens/s", flush=True)
    best = max((v for peer, v in speeds.items() if peer.startswith("raw")), default=0.0)
    for peer, speed in speeds.items():
        if best and not peer.startswith("raw"):
            print(f"{peer} / best raw CTranslate2: {speed / best:.2f}")


if __name__ == "__main__":
    main()
