"""The README does what it says: each command is run as it stands, or named where it cannot be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
# These install, follow a file for ever, or need a Hub or a GPU.
ELSEWHERE = ("pip install", "tail -f", "models pull", "-d cuda", "-m opus-mt")
FILES = {
    "reviews.csv": "id,text\n1,Good morning.\n",
    "articles.jsonl.gz": "",
    "letter.txt": "The train leaves at nine.\n",
}


def test_the_first_two_commands_install_and_test() -> None:
    first, second = COMMANDS[:2]
    assert first.startswith("pip install ./nlpcli && ") and "nlpcli translate --to pt" in first
    assert second == "pip install './nlpcli[test]' && pytest nlpcli"


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    "command", [line for line in COMMANDS if not any(word in line for word in ELSEWHERE)]
)
def test_commands_run(command: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name, content in FILES.items():
        (work / name).write_text(content)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if "--to de" in command:
        environment["NLPCLI_DRY_RUN"] = "1"
    done = subprocess.run(
        command, shell=True, cwd=work, env=environment, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_exit_codes_are_those_of_the_program() -> None:
    from nlpcli.errors import ExitCode

    text = " ".join(README.read_text().split())
    listed = set(
        map(int, re.findall(r"[ ,](\d+) (?=[a-z])", text.partition("which kind:")[2][:220]))
    )
    assert listed == {code.value for code in ExitCode}
