"""generate and chat on the real SmolLM2: what a user types and what comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import COMMAND, run, start
from terminal import Terminal

pytestmark = pytest.mark.usefixtures("weights")

PROMPTS = [
    "Name a colour.",
    "Say hello.",
    "What is the capital of France?",
    "Name an animal.",
    "Write one word.",
    "What do cows drink?",
    "Is snow warm?",
    "Name a tree.",
]
COUNT = ["generate", "--text", "Count from one to twenty."]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp's threads wait for each other busily, which is slow where CPUs are shared."""
    monkeypatch.setenv("NLPCLI_THREADS", "1")


def lines(*options: str, prompts: list[str] = PROMPTS) -> list[str]:
    done = run("generate", "--lines", *options, stdin="\n".join(prompts), timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def records(*options: str, prompts: list[str] = PROMPTS) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines("-f", "jsonl", *options, prompts=prompts)]


def test_the_answer_streams_and_is_the_one_that_a_batch_gives() -> None:
    process = start(*COUNT, "--max-tokens", "40")
    assert process.stdout
    pieces, times = [], []
    while piece := os.read(process.stdout.fileno(), 1 << 16):
        pieces.append(piece)
        times.append(time.monotonic())
    assert process.wait(60) == 0
    assert len(pieces) > 10 and times[-1] - times[0] > 0.05
    text = b"".join(pieces).decode()
    assert text.endswith("\n")
    done = run(*COUNT, "--max-tokens", "40", "--backend", "llamacpp", "-f", "jsonl")
    said = json.loads(done.stdout)
    assert said["prompt"] == COUNT[2] and said["finish"] == "length"
    assert said["generation"].removesuffix("\n") + "\n" == text
    assert b"1 of 1 records: the output was cut off at 40 tokens" in done.stderr


def test_as_many_lines_come_out_as_go_in() -> None:
    answers = lines("--max-tokens", "8", prompts=["", *PROMPTS[:2], "", " ", PROMPTS[2]])
    assert len(answers) == 6
    assert [bool(each) for each in answers] == [False, True, True, False, False, True]


def test_records_with_prompts_and_with_messages(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    talk = [
        {"role": "user", "content": "Remember the number 7421."},
        {"role": "assistant", "content": "I will remember the number 7421."},
        {"role": "user", "content": "Which number should you remember?"},
    ]
    rows = [{"id": 1.0, "prompt": "Say hello."}, {"id": 2, "messages": talk}, {"text": "Hi."}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("generate", "--backend", "llamacpp", "--max-tokens", "20", str(file))
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [list(row)[:-2] for row in said] == [list(r) for r in rows]
    assert done.stdout.startswith(b'{"id": 1.0, "prompt": "Say hello.", "generation": "')
    assert "7421" in said[1]["generation"]


def test_greedy_answers_are_the_same_in_every_batch() -> None:
    alone = lines("--max-tokens", "12", "--batch-size", "1")
    assert lines("--max-tokens", "12", "--batch-size", "7") == alone
    again = lines("--max-tokens", "12", "--batch-size", "64", prompts=PROMPTS[::-1])
    assert again[::-1] == alone


def test_a_seed_samples_the_same_wherever_a_prompt_stands() -> None:
    options = ["--temperature", "1", "--max-tokens", "8", "--seed", "5"]
    alone = lines(*options, "--batch-size", "1")
    assert lines(*options, "--batch-size", "8", prompts=PROMPTS[::-1])[::-1] == alone
    assert lines(*options[:-1], "6") != alone
    by_itself = run("generate", *options, "--text", PROMPTS[3]).stdout.decode()
    assert " ".join(by_itself.split()) == " ".join(alone[3].split())


def test_a_random_seed_is_told_and_gives_the_same_again() -> None:
    options = ["--text", "Invent a name.", "--temperature", "1", "--max-tokens", "8"]
    first = run("generate", *options, "-v")
    seed = first.stderr.decode().partition("seed ")[2].split()[0]
    assert run("generate", *options, "--seed", seed).stdout == first.stdout


def test_stop_ends_the_answer_before_the_text() -> None:
    whole = run(*COUNT, "--max-tokens", "20", "-q").stdout.decode()
    word = whole.split()[3]
    stopped = run(*COUNT, "--max-tokens", "20", "--stop", word)
    assert stopped.stdout.decode().rstrip("\n") == whole.partition(word)[0].rstrip("\n")
    assert stopped.stderr == b""


def test_several_answers_to_a_prompt() -> None:
    said = records("--num", "3", "--seed", "1", "--max-tokens", "8", prompts=PROMPTS[:2])
    for each in said:
        every = [one["generation"] for one in each["generations"]]  # type: ignore[attr-defined]
        assert len(every) == 3 and len(set(every)) > 1 and every[0] == each["generation"]
    below = run("generate", "--num", "3", "--seed", "1", "--max-tokens", "8", stdin=PROMPTS[0])
    assert below.stdout.decode() == "".join(
        one["generation"].removesuffix("\n") + "\n"
        for one in said[0]["generations"]  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("backend", ["llamacpp", "ct2"])
def test_log_probabilities_have_the_shape_that_is_promised(backend: str) -> None:
    options = ["--logprobs", "3", "--max-tokens", "6", "--backend", backend]
    (said,) = records(*options, prompts=PROMPTS[:1])
    tokens = said["logprobs"]
    assert isinstance(tokens, list) and 3 <= len(tokens) <= 6
    assert "".join(token["token"] for token in tokens).startswith(str(said["generation"])[:10])
    for token in tokens:
        told = [each["logprob"] for each in token["top"]]
        assert len(told) == 3 and told == sorted(told, reverse=True) and told[0] <= 0
        assert token["top"][0] == {"token": token["token"], "logprob": token["logprob"]}


def test_every_answer_follows_the_schema() -> None:
    options = ["--schema", json.dumps(PERSON), "--max-tokens", "60"]
    prompts = [f"Describe a person called {name}." for name in ("Ana", "Bo", "Cy")]
    for each in records(*options, prompts=prompts):
        person = json.loads(str(each["generation"]))
        assert set(person) == {"name", "age"} and isinstance(person["age"], int)


def test_json_that_is_cut_off_is_an_error_and_not_put_out() -> None:
    options = ["generate", "--schema", json.dumps(PERSON), "--max-tokens", "4", "--text", "A man."]
    done = run(*options)
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"--text:1: the JSON was cut off: raise --max-tokens" in done.stderr
    done = run(*options, "--on-error", "null")
    assert (done.returncode, done.stdout) == (1, b"\n")


def test_a_program_goes_straight_to_python(tmp_path: Path) -> None:
    rule = r'root ::= "Sure:\n\n```python\nprint(" [1-9] " + " [1-9] ")\n```\nIt adds" [^\n]*'
    (tmp_path / "g.gbnf").write_text(rule)
    done = subprocess.run(
        f"{COMMAND} generate --extract --grammar g.gbnf --text 'Add 2 and 3 in Python.'"
        f" | tee code.py | {sys.executable} -",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert 2 <= int(done.stdout) <= 18 and done.stderr == b""
    assert (tmp_path / "code.py").read_text().startswith("print(")


def test_an_answer_without_a_block_is_an_error() -> None:
    options = ["generate", "--extract", "--max-tokens", "4", "--text", "Say hello."]
    done = run(*options)
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr.startswith(b"nlpcli: --text:1: the output has no fenced code block\n")
    assert run(*options, "--on-error", "skip").returncode == 1


@pytest.mark.parametrize("options", [[], ["-f", "jsonl"]])
def test_a_prompt_beyond_the_window_is_refused(options: list[str]) -> None:
    done = run("generate", "--backend", "llamacpp", *options, stdin="one two three " * 4000)
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"<stdin>:1: " in done.stderr and b"window" in done.stderr
    assert done.stderr.count(b"\n") <= 2


def test_a_closed_pipe_ends_quietly() -> None:
    command = f"{' '.join(COUNT[:2])} 'Tell a long story.' --max-tokens 400"
    begun = time.monotonic()
    done = subprocess.run(
        f"{COMMAND} {command} | head -c 20; echo; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        timeout=120,
        check=False,
    )
    text, code = done.stdout.decode().rsplit("\n", 2)[:2]
    assert len(text.encode()) == 20 and code == "0" and done.stderr == b""
    assert time.monotonic() - begun < 60


def test_ctrl_c_ends_a_streamed_answer() -> None:
    process = start("generate", "--text", "Tell a long story.", "--max-tokens", "2000")
    assert process.stdout and process.stderr
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert process.stderr.read() == b"nlpcli: interrupted\n"


@pytest.mark.parametrize("options", [["--temperature", "0"], ["--temperature", "1", "--seed", "9"]])
def test_llama_cpp_answers_a_prompt_whatever_is_beside_it(options: list[str]) -> None:
    options = [*options, "--backend", "llamacpp", "--max-tokens", "12"]
    together = records(*options, prompts=PROMPTS)
    assert records(*options, prompts=PROMPTS[::-1]) == together[::-1]
    assert records(*options, prompts=PROMPTS[1:2]) == together[1:2]


def test_ctrl_c_ends_a_batch_in_the_middle_of_it(tmp_path: Path) -> None:
    lines("--max-tokens", "1")  # the model is converted
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out.txt"
    prompts.write_text("".join(f"Tell of the year {1000 + n} at sea.\n" for n in range(256)))
    process = start("generate", "--lines", "-v", "-o", str(out), str(prompts))
    assert process.stderr
    assert any(line == b"nlpcli: runner local\n" for line in process.stderr)
    time.sleep(2)  # it is loaded, and at work
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith(b"nlpcli: finishing what is in flight")
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    assert process.stderr.read() == b"nlpcli: interrupted\n"
    assert not out.exists()


def test_a_dialogue_remembers_its_first_turn() -> None:
    question = "Which number should you remember?\n"
    options = ["chat", "--temperature", "0", "--max-tokens", "24", "-q"]
    talk = run(*options, stdin=f"Remember the number 7421.\n{question}", timeout=120)
    alone = run(*options, stdin=question, timeout=120)
    assert talk.returncode == 0 and "7421" in talk.stdout.decode().splitlines()[-1]
    assert "7421" not in alone.stdout.decode()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    shell = Terminal(["bash", "--norc", "--noprofile", "-i"], ["PS1='$ '"], tmp_path, {})
    yield shell
    shell.send("\x04\x04\x04")
    shell.close()


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.send(f"{COMMAND} chat --seed 1\n")
    terminal.until("leaves.*> ", 60)
    terminal.send("Tell me a very long story about a ship.\n")
    terminal.until(r"\n\s*\w+ \w+ \w+", 60)
    terminal.send("\x03")
    terminal.until("stopped.*> ", 60)
    terminal.send("/save cut.jsonl\n")
    terminal.until("3 messages|2 messages", 30)
    terminal.send("/quit\n")
    said = json.loads((tmp_path / "cut.jsonl").read_text())["messages"]
    assert [turn["role"] for turn in said] == ["user", "assistant"]
    assert 5 < len(said[1]["content"]) < 2000
