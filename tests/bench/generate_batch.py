"""How fast batches of prompts are answered: nlpcli's backends against CTranslate2's own
generate_batch (the best of a few settings), llama.cpp with 8 slots and transformers in bfloat16.

SmolLM2 135M Instruct, 256 prompts of 8 to 60 words, 64 tokens each. Each peer runs in a process of
its own with the same number of threads, loaded and warm; the command counts from its start to its
end. Prints a Markdown table of tokens per second and ratios.

    python tests/bench/generate_batch.py [--prompts N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from machine import describe, table

from nlpcli import registry, store
from nlpcli.backends import Decoding, Message, Request
from nlpcli.backends.choice import load
from nlpcli.backends.gguf import unpacked
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
    # llama.cpp: 8 slots.
    decoding = Decoding(max_tokens=TOKENS, batch_size=8 if name == "llamacpp" else 0)
    found = loaded.run(asked, decoding)
    return sum(r.hypotheses[0].tokens for r in found) / (time.perf_counter() - start)


def command(count: int) -> float:
    """Tokens per second of `nlpcli generate` over JSONL, start and end included."""
    stdin = "".join(
        json.dumps({"prompt": request.messages[0].content}) + "\n" for request in requests(count)
    )
    ours = [sys.executable, "-m", "nlpcli", "generate", "-q", "-i", "jsonl", "-m", MODEL]
    ours += ["--max-tokens", str(TOKENS), "--device", "cpu", "--threads", str(cpu_threads())]
    start = time.perf_counter()
    done = subprocess.run(ours, input=stdin, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    from tokenizers import Tokenizer

    from nlpcli.backends.ct2.convert import convert

    folder = convert(store.fetch(registry.find(MODEL).spec), "int8")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    said = [json.loads(line)["generation"] for line in done.stdout.splitlines()]
    # An output shorter than the limit has an end token too.
    counts = [len(tokenizer.encode(text, add_special_tokens=False).ids) + 1 for text in said]
    return sum(min(each, TOKENS) for each in counts) / seconds


def transformers(model: LocalModel, count: int, rows: int) -> float:
    """Tokens per second of transformers' own `generate`, prompts sorted by length, padded left."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(cpu_threads())
    folder = unpacked(model).folder
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    dtype = torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    dialogues = [[message._asdict() for message in r.messages] for r in requests(count)]
    dialogues.sort(key=lambda dialogue: len(dialogue[0]["content"]))

    def generate(some: list[list[dict[str, str]]], tokens: int) -> int:
        inputs = tokenizer.apply_chat_template(
            some, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        output = loaded.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        new = output[:, inputs["input_ids"].shape[1] :]
        return int((new != tokenizer.pad_token_id).sum())

    generate(dialogues[:2], 4)
    start = time.perf_counter()
    made = sum(generate(dialogues[at : at + rows], TOKENS) for at in range(0, count, rows))
    return made / (time.perf_counter() - start)


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


def speed(peer: str, count: int) -> float:
    """Tokens per second of a peer, in this process."""
    name, *numbers = peer.split(":")
    if name == "command":
        return command(count)
    model = store.fetch(registry.find(MODEL).spec)
    if name == "raw":
        return raw(model, count, *map(int, numbers))
    if name == "transformers":
        return transformers(model, count, *map(int, numbers))
    return backend(name, model, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer:
        print(speed(chosen.peer, chosen.prompts))
        return
    quick = ["command", "ct2", *(f"raw:{workers}:{rows}" for workers, rows in SETTINGS)]
    slow = ["transformers:32", "transformers:64", "torch", "llamacpp"]
    speeds: dict[str, list[float]] = {peer: [] for peer in quick + slow}
    for turn in range(chosen.rounds):
        for peer in quick + slow if turn == 0 else quick:
            again = [sys.executable, str(Path(__file__)), "--peer", peer]
            done = subprocess.run(
                [*again, "--prompts", str(chosen.prompts)],
                capture_output=True,
                text=True,
                check=True,
            )
            speeds[peer].append(float(done.stdout.split()[-1]))
            print(f"{peer:16} {speeds[peer][-1]:7.1f} tokens/s", file=sys.stderr, flush=True)
    typical = {peer: median(each) for peer, each in speeds.items()}
    print(describe("ctranslate2", "xllamacpp", "transformers", "torch"))
    rows = [("", "tokens/s", "the command's to its", "the ct2 backend's to its")]
    for peer, each in typical.items():
        ratios = (typical["command"] / each, typical["ct2"] / each)
        rows.append((peer, f"{each:.0f}", *map("{:.2f}".format, ratios)))
    print(table(rows))


if __name__ == "__main__":
    main()
