"""BLEU, chrF and TER through the commands of nlpcli and sacreBLEU, which take turns.

The system's outputs are references with words lost, doubled and moved. Needs NLPCLI_BENCH_DATA: a
folder with multi30k/test_2016_flickr.de.gz and tatoeba-en-pt/test.pt.
"""

from __future__ import annotations

import gzip
import os
import random
import sys
import tempfile
from pathlib import Path

from machine import describe, medians, table

BIN = Path(sys.executable).parent
OURS, THEIRS = str(BIN / "nlpcli"), str(BIN / "sacrebleu")


def altered(line: str, draw: random.Random) -> str:
    words = [word for word in line.split() if draw.random() > 0.08]
    words = [draw.choice(words) if draw.random() < 0.08 else word for word in words]
    if len(words) > 3 and draw.random() < 0.4:
        at = draw.randrange(len(words) - 2)
        words[at : at + 2] = reversed(words[at : at + 2])
    return " ".join(words)


def main() -> None:
    data = Path(os.environ["NLPCLI_BENCH_DATA"])
    corpora = {
        "multi30k": gzip.decompress((data / "multi30k/test_2016_flickr.de.gz").read_bytes()),
        "tatoeba": (data / "tatoeba-en-pt/test.pt").read_bytes(),
    }
    print(describe("nlpcli", "sacrebleu"))
    rows = [("corpus", "lines", "metrics", "sacreBLEU, s", "nlpcli, s", "times", "asked")]
    with tempfile.TemporaryDirectory() as folder:
        for name, corpus in corpora.items():
            draw = random.Random(1)
            references = corpus.decode().splitlines()
            hyp, ref = Path(folder, "hyp"), Path(folder, "ref")
            ref.write_bytes(corpus)
            hyp.write_text("".join(f"{altered(line, draw)}\n" for line in references))
            theirs = [THEIRS, str(ref), "-i", str(hyp), "-m"]
            ours = [OURS, "eval", "translate", "--hyp", str(hyp), "--ref", str(ref), "--metric"]
            for metrics, asked, one, other in (
                ("BLEU", "0.91", [*theirs, "bleu"], [*ours, "bleu"]),
                (
                    "BLEU, chrF, TER, 1,000 draws",
                    "1.7",
                    [*theirs, "bleu", "chrf", "ter", "-ci"],
                    [*ours, "bleu,chrf,ter", "--ci"],
                ),
            ):
                reference, own = medians({"theirs": one, "ours": other}, runs=11).values()
                rows.append(
                    (
                        *(name, f"{len(references):,}", metrics),
                        *(f"{reference:.2f}", f"{own:.2f}", f"{reference / own:.2f}", asked),
                    )
                )
    print(table(rows))


if __name__ == "__main__":
    main()
