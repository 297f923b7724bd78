"""How soon `nlpcli generate` answers one prompt, and how fast: against llama.cpp by hand and
transformers.

Each peer runs in a cold process of its own, in turns, greedy, with the same prompt and number of
tokens on the same number of threads: nlpcli, a script that drives xllamacpp itself, and
transformers' `generate` in bfloat16 on the weights unpacked from the same GGUF. The first token is
timed from the start of the process; tokens per second are those after the first. Prints a Markdown
table of medians and ratios. The machine should have nothing else to do.

    python tests/bench/generate.py [--rounds N] [--tokens N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe, table

from nlpcli import registry, store
from nlpcli.backends.gguf import unpacked
from nlpcli.device import cpu_threads
from nlpcli.registry.folder import gguf_file

MODEL = "smollm2-135m-instruct"
PROMPT = "Write a long story about a cat that learns to sail."

# Each peer writes its pieces unbuffered to standard output, as a terminal would get them.
BY_HAND = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 2048, 1, False, -1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
server = xllamacpp.Server(params)
def receive(chunk):
    for choice in chunk["choices"]:
        sys.stdout.write(choice["delta"].get("content") or "")
        sys.stdout.flush()
    return False
server.handle_chat_completions({
    "messages": [{"role": "user", "content": sys.argv[4]}],
    "max_tokens": int(sys.argv[3]), "temperature": 0, "stream": True,
}, receive)
import os; os._exit(0)
"""
TRANSFORMERS = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer
torch.set_num_threads(int(sys.argv[2]))
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16).eval()
class Tokens(TextStreamer):
    def put(self, value):  # a token is told as soon as it is there, not only at word ends
        if self.next_tokens_are_prompt:
            self.next_tokens_are_prompt = False
        else:
            sys.stdout.write(tokenizer.decode(value.flatten()))
            sys.stdout.flush()
    def end(self):
        pass
inputs = tokenizer.apply_chat_template(
    [{"role": "user", "content": sys.argv[4]}], add_generation_prompt=True,
    return_tensors="pt", return_dict=True,
)
model.generate(
    **inputs, max_new_tokens=int(sys.argv[3]), do_sample=False,
    streamer=Tokens(tokenizer, skip_prompt=True),
)
import os; os._exit(0)
"""


def clock(command: list[str], tokens: int) -> tuple[float, float]:
    """Seconds to the first piece, and tokens per second from there to the last one."""
    begun = time.perf_counter()
    first = last = 0.0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        while os.read(process.stdout.fileno(), 1 << 16):
            last = time.perf_counter()
            first = first or last
    if process.returncode or last == first:
        sys.exit(f"{command[0]} failed ({process.returncode})")
    return first - begun, (tokens - 1) / (last - first)


def commands(folder: Path, file: Path, threads: int, tokens: int) -> dict[str, list[str]]:
    """The command of each peer."""
    rest = [str(threads), str(tokens), PROMPT]
    ours = [sys.executable, "-m", "nlpcli", "generate", "--text", PROMPT, "--temperature", "0"]
    ours += ["-m", MODEL, "--max-tokens", str(tokens), "--threads", str(threads), "--device", "cpu"]
    return {
        "nlpcli generate": ours,
        "xllamacpp by hand": [sys.executable, "-c", BY_HAND, str(file), *rest],
        "transformers generate, bfloat16": [
            sys.executable, "-c", TRANSFORMERS, str(folder), *rest
        ],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = parser.parse_args()
    model = store.fetch(registry.find(MODEL).spec)
    peers = commands(
        unpacked(model).folder, gguf_file(model.folder), cpu_threads(), arguments.tokens
    )
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for _ in range(arguments.rounds + 1):
        for name, command in peers.items():
            found[name].append(clock(command, arguments.tokens))
    rows = [("", "first token, s", "tokens/s", "first token, ours to its", "tokens/s, ours to its")]
    # The first round warms the caches.
    firsts = {name: statistics.median(f for f, _ in each[1:]) for name, each in found.items()}
    rates = {name: statistics.median(r for _, r in each[1:]) for name, each in found.items()}
    ours = next(iter(peers))
    for name in peers:
        ratios = (firsts[ours] / firsts[name], rates[ours] / rates[name])
        rows.append(
            (name, f"{firsts[name]:.2f}", f"{rates[name]:.0f}", *map("{:.2f}".format, ratios))
        )
    print(describe("xllamacpp", "transformers", "torch"))
    print(f"{MODEL}, one prompt, {arguments.tokens} tokens, {arguments.rounds} rounds\n")
    print(table(rows))


if __name__ == "__main__":
    main()
