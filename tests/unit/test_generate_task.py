"""Generation without weights: requests, code blocks, dialogues in a window, wrapped words."""

from __future__ import annotations

import io
import json
import os
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import run
from nlpcli.backends import Decoding, Delta, Hypothesis, Message, Request, Result, Token
from nlpcli.cli import screen as screens
from nlpcli.cli import sessions
from nlpcli.cli.constraints import grammar, schema, unescaped
from nlpcli.cli.conversation import Settings
from nlpcli.errors import DataError, UsageError
from nlpcli.tasks.dialogue import fit
from nlpcli.tasks.fence import Fence, code_block
from nlpcli.tasks.generate import Generate

PROGRAM = (
    "Sure!\n\n```python\nprint(1)\n\n    # ``` inside\nprint(2)\n```\nThat prints.\n```\nno\n```"
)
CODE = "print(1)\n\n    # ``` inside\nprint(2)\n"


class Said:
    """A language model that says what it is given, and remembers what it was asked."""

    window = 1000
    chat = True

    def __init__(self, *texts: str, finish: str = "stop") -> None:
        self.hypotheses = tuple(Hypothesis(text, finish=finish) for text in texts)
        self.asked: list[Request] = []
        self.streamed = 0
        self.closed = False

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        self.asked += requests
        return [Result(self.hypotheses) for _ in requests]

    def stream(self, request: Request, decoding: Decoding) -> Iterator[Delta]:
        try:
            for character in self.hypotheses[0].text:
                self.streamed += 1
                yield Delta(character)
            yield Delta("", self.hypotheses[0].finish)
        finally:
            self.closed = True


def answer(model: Said, **settings: object) -> tuple[dict[str, object], str, str, str]:
    return Generate(Decoding(), **settings).run(["a prompt"], model)[0]  # type: ignore[arg-type]


def test_a_prompt_is_a_message_and_a_system_message_goes_before_it() -> None:
    task = Generate(Decoding(), system="Be brief.")
    asked = task.request("Hi").messages
    assert asked == (Message("system", "Be brief."), Message("user", "Hi"))
    own = (("system", "Shout."), ("user", "Hi"))
    assert task.request(own).messages == own
    assert task._replace(raw=True).request("Once").text == "Once"
    assert task._replace(raw=True).request("Once").messages == ()


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.integers(0, 1 << 40))
def test_a_seed_depends_on_the_prompt_and_the_seed_alone(texts: list[str], seed: int) -> None:
    task = Generate(Decoding(), seed=seed)
    seeds = [task.request(text).seed for text in texts]
    assert seeds == [task.request(text).seed for text in reversed(texts)][::-1]
    assert all(0 <= each < 1 << 30 for each in seeds)
    assert (
        task.request("another prompt").seed
        != task._replace(seed=seed + 1).request("another prompt").seed
    )


def test_a_blank_text_stays_blank_and_the_model_is_not_asked() -> None:
    model = Said("x")
    answers = Generate(Decoding(nbest=2)).run(["", "a", " "], model)
    assert [each.line for each in answers] == ["\n", "x", "\n"]
    assert len(model.asked) == 1
    assert answers[0].values["generations"] == [{"generation": "", "finish": "stop"}] * 2


def test_several_answers_stand_between_tabs_or_below_each_other() -> None:
    model = Said("a\tb\n", "c")
    assert Generate(Decoding(nbest=2)).run(["p"], model)[0].line == "a\tb\nc"
    assert Generate(Decoding(nbest=2), lines=True).run(["p"], model)[0].line == "a b\tc"


def test_log_probabilities_come_with_their_alternatives_where_asked_for() -> None:
    model = Said("x")
    tokens = (Token("x", -0.25, (("x", -0.25), ("y", -1.5))),)
    model.hypotheses = (Hypothesis("x", logprobs=tokens),)
    values = Generate(Decoding(logprobs=0)).run(["p"], model)[0].values
    assert values["logprobs"] == [{"token": "x", "logprob": -0.25}]
    values = Generate(Decoding(logprobs=2)).run(["p"], model)[0].values
    top = [{"token": "x", "logprob": -0.25}, {"token": "y", "logprob": -1.5}]
    assert values["logprobs"] == [{"token": "x", "logprob": -0.25, "top": top}]


def test_what_is_cut_off_is_told() -> None:
    found = Generate(Decoding(max_tokens=5)).run(["p"], Said("a", finish="length"))[0]
    assert "cut off at 5 tokens" in found.warning and not found.error
    assert found.values["finish"] == "length"


@pytest.mark.parametrize(
    ("said", "finish", "error"),
    [
        ('{"a": 1}', "stop", ""),
        ('{"a": 1', "length", "cut off"),
        ('{"a": 1', "stop", "not valid JSON"),
    ],
)
def test_broken_json_is_an_error(said: str, finish: str, error: str) -> None:
    found = Generate(Decoding(schema="{}")).run(["p"], Said(said, finish=finish))[0]
    assert error in found.error and bool(error) == bool(found.error)


def test_extract_gives_the_first_block_or_an_error() -> None:
    assert answer(Said(PROGRAM), extract=True)[0]["generation"] == CODE
    assert "no fenced code block" in answer(Said("none"), extract=True)[3]


def test_a_streamed_block_ends_the_model_with_it() -> None:
    model = Said(PROGRAM)
    task = Generate(Decoding(), extract=True)
    deltas = list(task.stream("p", model))  # type: ignore[arg-type]
    assert "".join(delta.text for delta in deltas) == CODE
    assert [delta.text for delta in deltas][:2] == ["print(1)\n", "\n"]
    assert deltas[-1].finish == "stop"
    assert model.closed and model.streamed < len(PROGRAM) - 20
    with pytest.raises(DataError, match="no fenced code block"):
        list(task.stream("p", Said("none")))  # type: ignore[arg-type]


def test_a_block_that_is_cut_off_says_so() -> None:
    model = Said("```\nprint(", finish="length")
    *code, last = Generate(Decoding(), extract=True).stream("p", model)  # type: ignore[arg-type]
    assert ("".join(each.text for each in code), last.finish) == ("print(", "length")


@given(st.text(alphabet="`~ \nab", max_size=60), st.randoms())
def test_pieces_make_no_difference_to_a_code_block(text: str, chance: random.Random) -> None:
    fence, code, at = Fence(), "", 0
    while at < len(text):
        end = at + chance.randint(1, 5)
        code += fence.feed(text[at:end])
        at = end
    code += fence.end()
    assert (code if fence.found else None) == code_block(text)


@given(st.lists(st.text(alphabet="ab `~\n#", max_size=20), max_size=8), st.sampled_from("`~"))
def test_code_between_a_longer_fence_comes_back_whole(lines: list[str], mark: str) -> None:
    code = "".join(f"{line}\n" for line in lines)
    fence = mark * (max((len(run) for run in re.findall(f"{mark}+", code)), default=2) + 3)
    assert code_block(f"text\n{fence} python\n{code}{fence}\nmore") == code


TURNS = st.lists(st.text(max_size=30), min_size=1, max_size=12)


@given(TURNS, st.text(max_size=20), st.integers(60, 400))
def test_a_dialogue_keeps_its_end_and_its_system_message(
    texts: list[str], system: str, window: int
) -> None:
    roles = ["user", "assistant"]
    turns = [Message(roles[n % 2], text) for n, text in enumerate(texts)]
    if turns[-1].role == "assistant":
        turns.append(Message("user", "and?"))
    whole = [Message("system", system), *turns]
    try:
        kept = fit(whole, len, window, 10)
    except DataError:
        assert len(turns[-1].content) + len(system) + 16 > window - 10
        return
    assert kept[0] == whole[0] and kept[1].role == "user"
    assert kept[1:] == turns[-len(kept) + 1 :]
    assert sum(len(turn.content) for turn in kept) <= window - 10
    dropped = turns[: len(turns) - len(kept) + 1]
    assert not dropped or sum(len(t.content) + 8 for t in [*dropped[-2:], *kept]) > window - 10


def test_a_session_comes_back_as_it_was(tmp_path: Path) -> None:
    said = (Message("system", "Be brief."), Message("user", "Olá!\n"), Message("assistant", "日本"))
    made = sessions.Session(said, "some-model", Settings(top_k=3)._asdict())
    sessions.save(str(tmp_path / "s.jsonl"), made)
    assert sessions.load(str(tmp_path / "s.jsonl")) == made._replace(
        settings={**made.settings, "stop": []}
    )
    with pytest.raises(UsageError, match="no such file"):
        sessions.load(str(tmp_path / "none"))
    (tmp_path / "bad").write_text('{"messages": [{"role": "robot", "content": "x"}]}')
    with pytest.raises(DataError, match="robot"):
        sessions.load(str(tmp_path / "bad"))
    (tmp_path / "bad").write_text("not json")
    with pytest.raises(DataError, match="not valid JSON"):
        sessions.load(str(tmp_path / "bad"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temp", "1", "no such setting"),
        ("temperature", "-1", "not a number"),
        ("temperature", "nan", "not a number"),
        ("top-p", "1.5", "0 to 1"),
        ("max-tokens", "0", "1 or more"),
        ("max-tokens", "1.5", "whole number"),
        ("seed", "x", "whole number"),
        ("stop", "", "empty"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Settings().changed(name, value)


def test_settings_are_read_as_typed() -> None:
    made = Settings().changed("top-p", "0.5").changed("stop", r"\n\n").changed("seed", "7")
    assert made == Settings(top_p=0.5, stop=("\n\n",), seed=7)
    assert made.changed("seed", "random").seed is None
    assert made.changed("stop", "none").stop == ()
    # As a saved session has them: no escapes in them any more.
    assert made.changed("stop", [r"\n"]).stop == (r"\n",)


def test_options_that_cannot_be_are_refused_in_two_lines() -> None:
    for options in (
        ["--schema", ""],
        ["--schema", "no-such-file"],
        ["--grammar", ""],
        ["--raw", "--system", "Be brief."],
    ):
        done = run("generate", *options, "--text", "Hello")
        assert (done.returncode, done.stdout) == (2, b"")
        assert len(done.stderr.splitlines()) == 2 and b"--text" not in done.stderr


def test_a_prompt_without_an_answer_still_has_its_line_in_the_file(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    options = ["generate", "--backend", "echo", "--on-error", "null", "-o", str(out)]
    done = run(*options, stdin=b"  \n")
    assert (done.returncode, out.read_bytes()) == (1, b"\n")


def test_a_field_that_is_named_is_the_only_one() -> None:
    options = ["generate", "--backend", "echo", "-i", "jsonl"]
    record = b'{"text": "Hello"}\n'
    assert b'"generation": "Hello"' in run(*options, stdin=record).stdout
    done = run(*options, "--field", "question", stdin=record)
    assert done.returncode == 4 and b'"question"' in done.stderr


def test_schemas_and_grammars_are_looked_at_before_a_model_is(tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_text('{"type":\n  oops}')
    with pytest.raises(UsageError, match="s:2:3: not valid JSON"):
        schema(str(file))
    file.write_text("[1]")
    with pytest.raises(UsageError, match="not a JSON Schema"):
        schema(str(file))
    for half in (r"\ud800", "\udcff"):
        with pytest.raises(UsageError, match="not valid Unicode"):
            schema(f'{{"enum": ["{half}"]}}')
    assert schema('{"type": "object"}') == '{"type": "object"}'
    with pytest.raises(UsageError, match="not a grammar"):
        grammar(str(file))
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="UTF-8"):
        grammar(str(file))
    with pytest.raises(UsageError, match="No such file"):
        schema("nowhere.json")
    assert unescaped(r"a\n\tb\\n") == "a\n\tb\\n"


class _Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


WORDS = st.text(alphabet="abcdefg \n好é", max_size=200)


@given(WORDS, st.randoms())
def test_words_are_wrapped_and_none_is_lost(text: str, chance: random.Random) -> None:
    out, real = _Tty(), sys.stdout
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screens.shutil, "get_terminal_size", lambda: os.terminal_size((20, 24)))
        sys.stdout = out
        try:
            screen, at = screens.Screen(), 0
            while at < len(text):
                end = at + chance.randint(1, 6)
                screen.say(text[at:end])
                at = end
            screen.end()
        finally:
            sys.stdout = real
    shown = out.getvalue()
    assert shown.endswith("\n")
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", text)
    if all(len(word) <= 20 for word in text.split()) and "好" not in text:
        assert shown.split() == text.split()
        full = [line for line in shown.split("\n") if len(line.rstrip()) > 20]
        assert all(len(line.split()) == 1 for line in full)


def test_control_characters_do_not_reach_the_terminal() -> None:
    out, real = _Tty(), sys.stdout
    sys.stdout = out
    try:
        screen = screens.Screen()
        screen.say("a\x1b[31mred\x07 \x9bend")
        screen.end()
    finally:
        sys.stdout = real
    assert out.getvalue() == "a[31mred end\n"


def test_the_messages_of_a_saved_session_are_a_record_of_generate(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    sessions.save(str(path), sessions.Session((Message("user", "hi"),), "m"))
    assert json.loads(path.read_text())["messages"] == [{"role": "user", "content": "hi"}]
