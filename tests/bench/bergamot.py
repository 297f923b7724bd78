"""The default models on Tatoeba, both directions: speed beside one process that loops over the
engine, sentence-for-sentence equality with it, BLEU and chrF.

Needs NLPCLI_BENCH_DATA: a folder with tatoeba-en-pt/test.en and test.pt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fxtranslate import Translator
from machine import describe, table
from sacrebleu.metrics import BLEU, CHRF
from sentencex import segment

from nlpcli import registry, store

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
LOOP = """
import sys
from pathlib import Path
from fxtranslate import Translator
folder = Path(sys.argv[1])
read = lambda pattern: next(folder.glob(pattern)).read_bytes()
vocabulary = read("vocab*.spm")
translator = Translator(read("model*.bin"), vocabulary, vocabulary, read("lex*.bin"))
for line in sys.stdin:
    print(translator.translate(line.rstrip("\\n")))
"""


def timed(command: list[str], source: Path) -> tuple[float, list[str]]:
    """The seconds of `command` over `source`, and the lines it printed."""
    with source.open("rb") as stdin, tempfile.TemporaryFile() as out:
        begun = time.perf_counter()
        subprocess.run(command, stdin=stdin, stdout=out, check=True)
        seconds = time.perf_counter() - begun
        out.seek(0)
        return seconds, out.read().decode().split("\n")[:-1]


def by_sentence(folder: Path, language: str, texts: list[str]) -> list[str]:
    """The engine by hand over each sentence, the white space between them kept."""
    vocabulary = next(folder.glob("vocab*.spm")).read_bytes()
    translator = Translator(
        next(folder.glob("model*.bin")).read_bytes(),
        vocabulary,
        vocabulary,
        next(folder.glob("lex*.bin")).read_bytes(),
    )
    return [
        "".join(
            translator.translate(sentence.strip()) + sentence[len(sentence.rstrip()) :]
            for sentence in segment(language, text)
        )
        for text in texts
    ]


def main() -> None:
    data = Path(os.environ["NLPCLI_BENCH_DATA"]) / "tatoeba-en-pt"
    print(describe("nlpcli", "fxtranslate", "sacrebleu"))
    rows: list[tuple[str, ...]] = [
        (
            "direction",
            "loop, lines/s",
            "nlpcli, lines/s",
            "ratio",
            "one sentence: equal",
            "several: equal",
            "BLEU",
            "chrF",
        )
    ]
    for source, target in (("en", "pt"), ("pt", "en")):
        texts = (data / f"test.{source}").read_text().splitlines()
        references = (data / f"test.{target}").read_text().splitlines()
        folder = store.fetch(registry.find(f"bergamot-{source}-{target}").spec).folder
        slow, by_hand = timed([sys.executable, "-c", LOOP, str(folder)], data / f"test.{source}")
        command = [COMMAND, "translate", "--from", source, "--to", target]
        fast, outputs = timed(command, data / f"test.{source}")
        single = [i for i, text in enumerate(texts) if len(segment(source, text)) == 1]
        equal = sum(outputs[i] == by_hand[i] for i in single)
        several = [i for i in range(len(texts)) if i not in set(single)]
        expected = by_sentence(folder, source, [texts[i] for i in several])
        joined = sum(outputs[i] == text for i, text in zip(several, expected, strict=True))
        scores = [metric.corpus_score(outputs, [references]).score for metric in (BLEU(), CHRF())]
        rows.append(
            (
                f"{source} to {target}",
                f"{len(texts) / slow:.0f}",
                f"{len(texts) / fast:.0f}",
                f"{slow / fast:.2f}",
                f"{equal} of {len(single)}",
                f"{joined} of {len(several)}",
                *(f"{score:.1f}" for score in scores),
            )
        )
        by_hand_scores = BLEU().corpus_score(by_hand, [references]).score
        print(f"{source} to {target}: whole lines by hand, BLEU {by_hand_scores:.1f}")
    print(table(rows))


if __name__ == "__main__":
    main()
