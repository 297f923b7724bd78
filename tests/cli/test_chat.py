"""chat through the real command: scripted in a pipe, and by keys in a terminal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import COMMAND, run, start
from terminal import Terminal


def chat(said: str, *options: str, **variables: str) -> tuple[int, str, str]:
    done = run("chat", "--backend", "echo", *options, stdin=said, **variables)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_each_line_of_a_script_is_a_turn() -> None:
    assert chat("hello\n\nhow are\\\nyou?\nand the last") == (
        0,
        "hello\nhow are\nyou?\nand the last\n",
        "",
    )


@pytest.mark.parametrize("settings", ['"stop": null', '"stop": [3]', '"top_k": 1e999'])
def test_a_session_whose_settings_cannot_be_is_refused(settings: str, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    turn = '{"role": "user", "content": "a"}'
    file.write_text(f'{{"messages": [{turn}], "settings": {{{settings}}}}}')
    code, out, err = chat("hello\n", "--load", str(file))
    assert (code, out) == (2, "")
    assert re.match(r"nlpcli: (stop|top-k) .*: not a ", err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("chat", "--system"),
        ("generate", "--text", "a", "--system"),
        ("generate", "--text", "a", "--stop"),
        ("summarize", "--text", "a", "--focus"),
    ],
)
def test_options_that_a_model_reads_are_utf8(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "\udcff", "--backend", "echo")
    assert done.returncode == 2
    assert f"{arguments[-1]} is not valid UTF-8" in done.stderr.decode()


def test_an_answer_comes_before_the_next_line_is_asked_for() -> None:
    process = start("chat", "--backend", "echo")
    assert process.stdin and process.stdout
    for word in (b"one\n", b"two\n"):
        process.stdin.write(word)
        process.stdin.flush()
        assert process.stdout.readline() == word
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


def test_every_command_is_in_the_help_and_does_something(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    code, out, err = chat(
        f"/system Be kind.\nhello\n/save {file}\n/reset\n/system\n/load {file}\n/model\n"
        "/set temperature 0.1\n/set\n/help\n/quit\nnever\n"
    )
    assert (code, out) == (0, "hello\n")
    assert "3 messages saved" in err and "3 messages loaded" in err and "Be kind." in err
    assert "echo on echo, a window of 300 tokens" in err
    assert re.search(r"temperature +0\.1", err) and re.search(r"seed +random", err)
    for name in ("system", "reset", "save", "load", "model", "set", "help", "quit"):
        assert f"/{name} " in err
    saved = json.loads(file.read_text())
    assert [turn["content"] for turn in saved["messages"]] == ["Be kind.", "hello", "hello"]
    done = run("generate", "--dry-run", "--raw", "--lines", str(file))
    assert b'no field "prompt"' in done.stderr
    done = run("generate", "--dry-run", str(file))
    assert json.loads(done.stdout)["generation"] == "hello"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/sav x", "no such command: /sav\n  did you mean /save"),
        ("/bananas", "no such command: /bananas\n  /help lists them"),
        ("/save", "no file is named"),
        ("/save /nowhere/at/all", "cannot be written"),
        ("/load /nowhere", "no such file: /nowhere"),
        ("/set colour blue", "no such setting: colour\n  there are: temperature"),
        ("/set top_p 3", "top_p 3: not a number of 0 to 1"),
        ("/set seed", "seed: to what?"),
        ("/save talk", "nothing was said yet"),
        ("x" * 400, "the message is longer than the model's window"),
    ],
)
def test_an_error_is_told_and_the_session_goes_on(line: str, said: str) -> None:
    begin = "" if "said yet" in said else "first\n"
    code, out, err = chat(f"{begin}{line}\nlast\n/quit\n")
    assert (code, out) == (1, f"{begin}last\n")
    assert said in err and err.count("\n") <= 2 and "Traceback" not in err


def test_a_line_that_is_not_utf_8_is_told() -> None:
    done = run("chat", "--backend", "echo", stdin=b"a\n\xff\nb\n")
    assert (done.returncode, done.stdout) == (1, b"a\nb\n")
    assert done.stderr == b"nlpcli: not valid UTF-8: a line was left out\n"


def test_a_full_window_loses_its_oldest_turns_and_says_so_once(tmp_path: Path) -> None:
    lines = [f"{n} " + "word " * 7 for n in range(12)]
    file = tmp_path / "all.jsonl"
    code, out, err = chat("\n".join([*lines, f"/save {file}"]) + "\n", "--system", "Be kind.")
    assert code == 0 and out == "".join(f"{line}\n" for line in lines)
    assert err.count("no longer sees the oldest messages") == 1
    assert len(json.loads(file.read_text())["messages"]) == 25
    code, _, err = chat("\n".join([*lines, "/reset", *lines]))
    assert err.count("no longer sees the oldest messages") == 2


def test_a_session_goes_on_in_the_next_process(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    chat(f"one\n/set top-k 5\n/save {file}\n", "--system", "Be kind.")
    _, _, err = chat(f"two\n/set\n/save {file}\n", "--load", str(file), "--temperature", "0.3")
    said = [turn["content"] for turn in json.loads(file.read_text())["messages"]]
    assert said == ["Be kind.", "one", "one", "two", "two"]
    assert re.search(r"top-k +5", err) and re.search(r"temperature +0\.3", err)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("bergamot-en-pt", "bergamot-en-pt cannot generate: it is for translate"),
        ("no-such-model", "no model called no-such-model"),
    ],
)
def test_a_model_that_cannot_is_refused(model: str, said: str) -> None:
    done = run("chat", "-m", model, stdin="hello\n")
    assert done.returncode == 3 and said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 2


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    start = ["PS1='$ '", "bind 'set enable-bracketed-paste off'"]
    shell = Terminal(["bash", "--norc", "--noprofile", "-i"], start, tmp_path, {"COLUMNS": "60"})
    yield shell
    shell.send("\x03\x04\x04")
    shell.close()


def test_keys_in_a_terminal(terminal: Terminal, home: Path) -> None:
    terminal.send(f"{COMMAND} chat --backend echo\n")
    terminal.until("Ctrl-D leaves.*> ")
    terminal.send("hel\x7flo there\n")
    terminal.until(r"\nhelo there\s.*> ")
    terminal.send("a thought given up")
    terminal.until("given up")
    time.sleep(0.3)  # Python sees a Ctrl-C only while it waits for a key
    terminal.send("\x03")
    terminal.until("once more leaves")
    terminal.send("/he\t\n")
    terminal.until(r"/quit +Leave")
    terminal.send("\x1b[A\x1b[A\n")  # up twice: the first message again
    terminal.until(r"\nhelo there\s.*> ")
    terminal.send("\x04")
    time.sleep(0.2)
    terminal.send("echo code $?\n")
    terminal.until("code 0")
    history = home / "state" / "nlpcli" / "chat_history"
    assert history.read_text() == "helo there\n/help \nhelo there\n"
    assert history.stat().st_mode & 0o077 == 0


def test_ctrl_c_twice_leaves(terminal: Terminal) -> None:
    terminal.send(f"{COMMAND} chat --backend echo\n")
    terminal.until("leaves.*> ")
    for seen in ("leaves.*> ", r"\$ "):
        time.sleep(0.3)  # readline must be waiting, or the key is taken with the next one
        terminal.send("\x03")
        terminal.until(seen)
    terminal.send("echo co''de $?\n")
    terminal.until("code 0")


def test_no_colour_where_none_is_wanted(terminal: Terminal) -> None:
    terminal.send(f"TERM=dumb {COMMAND} chat --backend echo\n")
    terminal.until("> ")
    terminal.send("plain\n")
    terminal.until(r"\nplain\s")
    assert "\x1b[2m" not in terminal.raw and "\x1b[1;36m" not in terminal.raw
    terminal.send("/quit\n")
    terminal.send(f"TERM=xterm {COMMAND} chat --backend echo\n")
    terminal.until("leaves.*> ")
    assert "\x1b[2m" in terminal.raw and "\x1b[1;36m" in terminal.raw
    terminal.send("/quit\n")


def test_a_closed_standard_input_says_nothing() -> None:
    done = subprocess.run(
        f"{COMMAND} chat --backend echo <&-", shell=True, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, b"")
