"""Records a second of the runners, Firefox Translations; Ray on a cluster of one and of two nodes
of this machine with a CPU each. Start-up is told apart by runs of two lengths.

    python tests/bench/runners.py [RECORDS]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe, table

COMMAND = str(Path(sys.executable).with_name("nlpcli"))
TRANSLATE = [COMMAND, "translate", "--from", "en", "--to", "pt", "--no-dedupe"]


def seconds(options: list[str], source: Path) -> float:
    begun = time.perf_counter()
    subprocess.run([*TRANSLATE, *options, source], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def main() -> None:
    from ray.cluster_utils import Cluster

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    few = count // 8
    print(describe("ray", "fxtranslate"), flush=True)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    ray = ["--ray-address", cluster.address]
    ways = {
        "local": ["--runner", "local"],
        "pool, 1 process": ["--runner", "pool", "--jobs", "1"],
        "pool, 2 processes": ["--jobs", "2"],
        "ray, 1 node": [*ray, "--jobs", "1"],
        "ray, 2 nodes": [*ray, "--jobs", "2"],
    }
    rows: list[tuple[str, ...]] = [("runner", "records/s", "start, s")]
    with tempfile.TemporaryDirectory() as name:
        long, short = Path(name) / "long.txt", Path(name) / "short.txt"
        lines = [f"Train {n} leaves platform {n % 9 + 1} at nine.\n" for n in range(count)]
        long.write_text("".join(lines))
        short.write_text("".join(lines[:few]))
        for way, options in ways.items():
            if way == "ray, 2 nodes":
                cluster.add_node(num_cpus=1)
            little, much = seconds(options, short), seconds(options, long)
            each = (much - little) / (count - few)
            rows.append((way, f"{1 / each:,.0f}", f"{little - few * each:.2f}"))
            print(rows[-1], file=sys.stderr, flush=True)
    cluster.shutdown()
    print(table(rows))


if __name__ == "__main__":
    main()
