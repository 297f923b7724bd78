"""Start-up: one line through nlpcli beside the ten lines of Python that do the least possible."""

from __future__ import annotations

import sys
from pathlib import Path

from machine import describe, medians, table

from nlpcli import registry, store

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
TEN_LINES = """
import sys
from fxtranslate import Translator
read = lambda name: open(sys.argv[1] + "/" + name, "rb").read()
vocabulary = read("vocab.enpt.spm")
model, shortlist = read("model.enpt.intgemm.alphas.bin"), read("lex.50.50.enpt.s2t.bin")
translator = Translator(model, vocabulary, vocabulary, shortlist)
for line in sys.stdin:
    print(translator.translate(line.rstrip("\\n")))
"""
LINE = b"The weather is nice today.\n"


def main() -> None:
    folder = store.fetch(registry.find("bergamot-en-pt").spec).folder
    python = sys.executable
    seconds = medians(
        {
            "ten lines over fxtranslate": [python, "-c", TEN_LINES, str(folder)],
            "nlpcli translate --to pt": [COMMAND, "translate", "--to", "pt"],
            "python -c 'import typer'": [python, "-c", "import typer"],
            "nlpcli --version": [COMMAND, "--version"],
            "nlpcli --help": [COMMAND, "--help"],
        },
        stdin=LINE,
    )
    script, translate, typer, version, help = seconds.values()
    bounds = {
        "nlpcli translate --to pt": (translate / script, 2.0),
        "nlpcli --version": (version / typer, 1.5),
        "nlpcli --help": (help / typer, 3.0),
    }
    print(describe("nlpcli", "fxtranslate", "typer"))
    rows = [("command", "ms, median of 21", "times its peer", "at most")]
    for name, taken in seconds.items():
        ratio, bound = bounds.get(name, (0.0, 0.0))
        rows.append(
            (name, f"{taken * 1000:.0f}", f"{ratio:.2f}" if ratio else "", str(bound or ""))
        )
    print(table(rows))


if __name__ == "__main__":
    main()
