"""The README does what it says: each command is run as it stands, or named where it cannot be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
# These install, follow a file for ever, talk with somebody, train for minutes, or need a Hub, a
# server or a GPU.
ELSEWHERE = (
    *("pip install", "tail -f", "nlpcli chat", "models pull", "nlpcli finetune"),
    *("-d cuda", "-m opus-mt", "-m openai", "-m distilbert"),
)
ARTICLE = (
    "The old bridge over the river was closed on Monday. Engineers had found cracks in two of its "
    "pillars. The city wants to repair them before the winter, and the work will cost two million. "
    "Until then, a ferry takes people across every ten minutes. Shops on the far side complain "
    "that they have lost half of their customers. The mayor promised to help them.\n"
)
FILES = {
    "reviews.csv": "id,text\n1,Good morning.\n",
    "articles.jsonl.gz": "",
    "letter.txt": "The train leaves at nine.\n",
    "prompts.txt": "What is rain?\n\nName a river.\n",
    "city.json": json.dumps(
        {
            "type": "object",
            "properties": {"name": {"enum": ["Lisbon", "Porto"]}},
            "required": ["name"],
            "additionalProperties": False,
        }
    ),
    "article.txt": ARTICLE,
    "articles.jsonl": json.dumps({"id": 1, "body": ARTICLE}) + "\n",
    "headlines.txt": "The minister resigned.\n\nThe home team won the cup final.\n",
    "reviews.txt": "I loved every minute of it.\nA dull and tiresome film.\n",
    "ref.txt": "The old bridge over the river was closed on Monday.\nIt is late.\n",
    "a.txt": "The old bridge over the river was shut on Monday.\nIt is late.\n",
    "b.txt": "The bridge at the river closed on Monday.\nIt is late.\n",
    "said.tsv": "label\tscore\nsports\t0.9\npolitics\t0.6\n",
    "gold.csv": "id,label\n1,sports\n2,sports\n",
    "pairs.tsv": "text\treference\nGood morning.\tBom dia.\n",
    "topics.tsv": "sports\ta match, a race, a team\npolitics\ta government, an election\n",
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
    environment["NLPCLI_QUIET"] = "1"
    if "--to de" in command:
        environment["NLPCLI_DRY_RUN"] = "1"
    done = subprocess.run(
        command,
        shell=True,
        cwd=work,
        env=environment,
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_exit_codes_are_those_of_the_program() -> None:
    from nlpcli.errors import ExitCode

    text = " ".join(README.read_text().split())
    listed = set(
        map(int, re.findall(r"[ ,](\d+) (?=[a-z])", text.partition("which kind:")[2][:260]))
    )
    assert listed == {code.value for code in ExitCode}
