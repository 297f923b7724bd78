"""The llamacpp backend on the real SmolLM2: what is asked is what comes, whatever else runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from math import exp
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpcli import registry
from nlpcli.backends import Decoding, Message, Request
from nlpcli.backends.llamacpp import listener
from nlpcli.backends.llamacpp.decoder import LlamaCpp
from nlpcli.backends.llamacpp.server import Job, Server, Shape
from nlpcli.device import Device
from nlpcli.errors import DataError, DeviceError, ModelError, UsageError
from nlpcli.registry import LocalModel, ModelSpec

NAME = "smollm2-135m-instruct"
CPU = Device("cpu", threads=1)  # several wait for each other, long on a busy machine
SPEC = ModelSpec(NAME, (), "gguf", (), "llama")
QUESTIONS = ["Name a colour.", "What is 2 + 3?", "Where do fish live?", "Who wrote Hamlet?"]


def ask(*contents: str, seed: int = 0) -> Request:
    return Request("", messages=tuple(Message("user", each) for each in contents), seed=seed)


SHORT = Decoding(max_tokens=8)
ASKED = [ask(each, seed=n) for n, each in enumerate(QUESTIONS)]


@pytest.fixture(scope="module")
def gguf(pulled: Path) -> Path:
    (file,) = (pulled / "nlpcli" / "models" / registry.quoted(NAME)).glob("*.gguf")
    return file


@pytest.fixture(scope="module")
def model(gguf: Path) -> Iterator[LlamaCpp]:
    loaded = LlamaCpp(LocalModel(SPEC, gguf), CPU)
    yield loaded
    loaded.close()


def texts(model: LlamaCpp, requests: list[Request], decoding: Decoding) -> list[str]:
    return [result.text for result in model.run(requests, decoding)]


def test_what_llamacpp_cannot_read_is_an_error_and_not_waited_for(model: LlamaCpp) -> None:
    with pytest.raises(RuntimeError, match="surrogate"):
        model.run([Request("half a pair: \udcff")], SHORT)
    with pytest.raises(RuntimeError, match="surrogate"):
        list(model.stream(ask("half a pair: \udcff"), SHORT))
    assert texts(model, ASKED[:1], SHORT)[0]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_an_answer_does_not_depend_on_the_others(model: LlamaCpp, temperature: float) -> None:
    decoding = SHORT._replace(temperature=temperature, top_p=0.95, top_k=50)
    alone = [texts(model, [each], decoding)[0] for each in ASKED]
    model.close()
    for size in (2, 8):
        assert texts(model, ASKED, decoding._replace(batch_size=size)) == alone
    streamed = ["".join(d.text for d in model.stream(each, decoding)) for each in ASKED]
    assert streamed == alone
    assert texts(model, [*ASKED[::-1], Request("one two " * 90)], decoding)[:4] == alone[::-1]


def test_the_seed_decides(model: LlamaCpp) -> None:
    decoding = Decoding(max_tokens=12, temperature=1.0)
    one, same, other = texts(model, [ask("A word?", seed=s) for s in (5, 5, 6)], decoding)
    assert one == same != other
    (result,) = model.run([ask("A word?", seed=5)], decoding._replace(nbest=3))
    assert [each.text for each in result.hypotheses][:2] == [one, other]
    (greedy,) = model.run([ask("A word?")], SHORT._replace(nbest=3))
    assert len(greedy.hypotheses) == 3
    assert len({each.text for each in greedy.hypotheses}) == 1


def test_sampling_is_held_to_the_likeliest(model: LlamaCpp) -> None:
    greedy = texts(model, ASKED, SHORT)
    hot = SHORT._replace(temperature=2.0)
    assert texts(model, ASKED, hot._replace(top_k=1)) == greedy
    assert texts(model, ASKED, hot._replace(top_p=1e-6)) == greedy
    assert texts(model, ASKED, hot) != greedy


def test_max_tokens_and_stop_strings(model: LlamaCpp) -> None:
    count = Request("one, two, three, four, five, six, seven,")
    (whole,) = model.run([count], Decoding(max_tokens=8))[0].hypotheses
    assert (whole.tokens, whole.finish) == (8, "length")
    (cut,) = model.run([count], Decoding(max_tokens=8, stop=("zzz", "nine")))[0].hypotheses
    assert cut.finish == "stop"
    assert cut.text == whole.text[: whole.text.index("nine")]
    pieces = list(model.stream(count, Decoding(max_tokens=8, stop=("nine",))))
    assert "".join(piece.text for piece in pieces) == cut.text
    assert [piece.finish for piece in pieces if piece.finish] == ["stop"]
    assert pieces[-1].finish == "stop"


@pytest.mark.parametrize("stop", [(), (" are blue and",)])
def test_log_probabilities(model: LlamaCpp, stop: tuple[str, ...]) -> None:
    for request in (Request("The sky is blue. Violets"), ask("Say something.")):
        decoding = Decoding(max_tokens=6, logprobs=4, stop=stop)
        (found,) = model.run([request], decoding)[0].hypotheses
        assert "".join(token.text for token in found.logprobs) == found.text
        for token in found.logprobs:
            values = [value for _, value in token.top]
            assert len(values) == 4
            assert values == sorted(values, reverse=True)
            assert sum(map(exp, values)) <= 1 + 1e-6
            assert token.top[0] == (token.text, pytest.approx(token.logprob))
        # Before temperature: the same numbers at any.
        warm = decoding._replace(temperature=3.0, top_k=1)
        assert model.run([request], warm)[0].hypotheses[0].logprobs == found.logprobs
    bare = model.run([ask("Hi")], Decoding(max_tokens=2, logprobs=0))[0].hypotheses[0]
    assert [token.top for token in bare.logprobs] == [(), ()]


def test_the_same_as_the_server_driven_by_hand(model: LlamaCpp, gguf: Path) -> None:
    prompt = {"prompt": "The sky is", "temperature": 0, "max_tokens": 6}
    server = Server(gguf, None, Shape(1, 512), 1)
    chunks = [chunk for _, chunk in server.answers([Job({**prompt, "n_probs": 2}, False)])]
    server.close()
    (found,) = model.run([Request("The sky is")], Decoding(max_tokens=6, logprobs=2))[0].hypotheses
    (choice,) = chunks[0]["choices"]
    told = [each["logprob"] for each in choice["logprobs"]["content"]]
    assert [token.logprob for token in found.logprobs] == told
    assert found.text == choice["text"]


_names = st.text("abcdefgh", min_size=1, max_size=6)
_values = st.one_of(
    st.just({"type": "integer", "minimum": 0, "maximum": 99}),
    st.just({"type": "boolean"}),
    st.lists(_names, min_size=1, max_size=3, unique=True).map(lambda names: {"enum": names}),
)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(_names, _values, min_size=1, max_size=3), st.booleans())
def test_a_schema_gives_json_that_follows_it(
    model: LlamaCpp, fields: dict[str, Any], raw: bool
) -> None:
    schema = {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
    request = Request("A record: ") if raw else ask("Invent a record.")
    decoding = Decoding(max_tokens=80, schema=json.dumps(schema), temperature=1.0)
    (found,) = model.run([request], decoding)[0].hypotheses
    assert found.finish == "stop"
    value = json.loads(found.text)
    assert value.keys() == fields.keys()
    for name, each in fields.items():
        if "enum" in each:
            assert value[name] in each["enum"]
        else:
            assert isinstance(value[name], bool) == (each["type"] == "boolean")
            assert value[name] in range(100)


def test_a_grammar_is_followed(model: LlamaCpp) -> None:
    grammar = 'root ::= ("yes" | "no") "!"'
    for request in (ask("Is water wet?"), Request("Is water wet?")):
        assert texts(model, [request], Decoding(grammar=grammar))[0] in ("yes!", "no!")


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        ({"schema": '{"type": "nonsense"}'}, "Invalid type: nonsense"),
        ({"schema": '{"not": {"type": "string"}}'}, "not"),
        ({"schema": '{"type": "string", "pattern": "("}'}, "regex"),
        ({"grammar": "root ::= foo("}, r"expecting '\)'"),
        ({"grammar": 'other ::= "a"'}, "root"),
    ],
)
def test_a_constraint_that_cannot_hold_is_refused(
    model: LlamaCpp, capfd: Any, constraint: dict[str, str], reason: str
) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match=reason) as caught:
            model.run([ask("Hi")], SHORT._replace(**constraint))
        assert "\n" not in caught.value.message
    assert texts(model, [ask("Hi")], Decoding(grammar='root ::= "a"')) == ["a"]
    assert capfd.readouterr() == ("", "")


def test_what_does_not_fit(model: LlamaCpp, capfd: Any) -> None:
    assert model.window == 8192
    long = Request("word " * 9000)
    assert model.measure(long.text) > model.window
    bad, good, empty = model.run([long, Request("The sky is"), Request("")], SHORT)
    assert "9,00" in bad.error and "8,192" in bad.error
    assert good.text and not good.error
    assert empty.error == "the prompt is empty"
    with pytest.raises(DataError, match="8,192"):
        list(model.stream(long, SHORT))
    with pytest.raises(UsageError, match="beam"):
        model.run([good and Request("a")], Decoding(beam=2))
    assert capfd.readouterr() == ("", "")


def test_a_slot_that_is_too_short_gives_way_to_a_longer(
    model: LlamaCpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Request("1 2 3 4 5 6 7 8 9 10 11")
    decoding = Decoding(max_tokens=300)
    (expected,) = model.run([count], decoding)[0].hypotheses
    assert (expected.tokens, expected.finish) == (300, "length")
    model.close()
    for name in ("_LEAST", "_ROOM", "_TEMPLATE"):
        monkeypatch.setattr(f"nlpcli.backends.llamacpp.decoder.{name}", 0)
    monkeypatch.setattr("nlpcli.backends.llamacpp.decoder._bytes", lambda job: 1 - 300 + 255)
    assert model.run([count, Request("x")], decoding)[0].hypotheses == (expected,)
    model.close()
    assert "".join(delta.text for delta in model.stream(count, decoding)) == expected.text
    model.close()


def test_a_stream_is_closed_early_and_the_model_used_again(model: LlamaCpp) -> None:
    first = next(iter(model.stream(ASKED[0], SHORT)))
    assert first.text
    stream = model.stream(Request("word " * 2000), Decoding(max_tokens=2000))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    begun = time.monotonic()
    again = "".join(delta.text for delta in model.stream(ASKED[0], SHORT))
    assert time.monotonic() - begun < 20
    assert texts(model, [ASKED[0]], SHORT) == [again]


def test_a_dialogue_goes_on(model: LlamaCpp) -> None:
    begun = (Message("user", "Say one word."),)
    first = "".join(delta.text for delta in model.stream(Request("", messages=begun), SHORT))
    turns = (*begun, Message("assistant", first), Message("user", "And another?"))
    *pieces, last = model.stream(Request("", messages=turns), SHORT)
    assert "".join(piece.text for piece in pieces)
    assert (last.text, last.finish) in (("", "stop"), ("", "length"))


def test_no_network_and_nothing_left(model: LlamaCpp, tmp_path: Path, gguf: Path) -> None:
    model.measure("Hello")
    own = {os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
    listening = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == "0A":
                listening.add(f"socket:[{fields[9]}]")
    assert not own & listening
    code = (
        "import os; from pathlib import Path; from nlpcli.backends.llamacpp.server import *\n"
        f"server = Server(Path({str(gguf)!r}), None, Shape(1, 512), 1)\n"
        "print(server.tokens('Hello world'), flush=True); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": ""}
    killed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (killed.stdout, killed.stderr, killed.returncode) == ("2\n", "", -9)
    assert not list(tmp_path.glob("nlpcli-*"))


def test_where_no_socket_can_be_there_is_a_port_behind_a_key(
    gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_socket_name", lambda: "")
    server = Server(gguf, None, Shape(1, 512), 1)
    assert server.tokens("Hello world") == 2
    assert len(server._listener.key) == 64
    server._listener.key = "guessed"
    with pytest.raises(KeyError):
        server.tokens("Hello world")
    host, _, port = server._listener._address.removeprefix("http://").partition(":")
    assert host == "127.0.0.1"
    server.close()
    with pytest.raises(OSError):
        socket.create_connection((host, int(port)), 5).close()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Terminated")]
)
@pytest.mark.parametrize("work", ["list(model.stream({}, {}))", "model.run([{}] * 3, {})"])
@pytest.mark.parametrize("delay", [0.05, 1.5])
def test_signals_end_it_at_once(
    gguf: Path, number: int, code: str, work: str, delay: float
) -> None:
    call = work.format('Request("word " * 2000)', "Decoding(max_tokens=4000)")
    program = (
        "import signal, time; from pathlib import Path; from nlpcli.__main__ import _terminate\n"
        "from nlpcli.backends import *; from nlpcli.backends.llamacpp.decoder import *\n"
        "signal.signal(signal.SIGTERM, _terminate); import os\n"
        f"model = LlamaCpp(LocalModel(None, Path({str(gguf)!r})), Device('cpu', threads=1))\n"
        "model.measure('a')\n"
        f"try: print('ready', flush=True); {call}\n"
        "except BaseException as error:\n"
        "    model.close(); print(type(error).__name__, flush=True); os._exit(0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout and process.stdout.readline() == "ready\n"
            time.sleep(delay)
            begun = time.monotonic()
            process.send_signal(number)
            assert process.communicate(timeout=30)[0] == f"{code}\n"
            assert time.monotonic() - begun < 5
        finally:
            process.kill()


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no model at all",
        lambda data: data[:1000],
        lambda data: data[: data.index(b"token_embd.weight") + 100],
        lambda data: data[:4] + b"\x63" + data[5:],
        _half,
    ],
)
def test_damaged_files_are_refused(
    gguf: Path, tmp_path: Path, capfd: Any, damage: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "damaged.gguf"
    file.write_bytes(damage(gguf.read_bytes()))
    with pytest.raises(ModelError, match=r"damaged\.gguf") as caught:
        LlamaCpp(LocalModel(SPEC, file), CPU).run([Request("Hi")], SHORT)
    assert "\n" not in caught.value.message
    assert capfd.readouterr() == ("", "")


def test_memory_that_is_not_there(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlpcli.backends.llamacpp.decoder._free_memory", lambda: 1 << 20)
    with pytest.raises(DeviceError, match="GiB"):
        LlamaCpp(LocalModel(SPEC, gguf), CPU).run([Request("Hi")], SHORT)


def write_gguf(file: Path, source: Path, without: str) -> None:
    """A copy of the model without the metadata key `without`."""
    from gguf import GGUFReader, GGUFWriter
    from gguf.constants import GGUFValueType

    reader = GGUFReader(source)
    writer = GGUFWriter(file, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in (without, "general.architecture"):
            continue
        sub = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_messages_without_a_template(model: LlamaCpp, gguf: Path, tmp_path: Path) -> None:
    assert model.chat
    file = tmp_path / "base.gguf"
    write_gguf(file, gguf, without="tokenizer.chat_template")
    base = LlamaCpp(LocalModel(SPEC, file), CPU)
    assert not base.chat
    joined, plain = texts(
        base, [ask("The sun.", "The moon."), Request("The sun.\n\nThe moon.")], SHORT
    )
    assert joined == plain == texts(model, [Request("The sun.\n\nThe moon.")], SHORT)[0]
    base.close()


@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_an_adapter_beside_the_model_is_applied(
    model: LlamaCpp, gguf: Path, tmp_path: Path, strength: float
) -> None:
    import numpy as np
    from gguf import GGUFWriter

    (tmp_path / "base.gguf").hardlink_to(gguf)
    writer = GGUFWriter(tmp_path / "adapter.gguf", "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    draw = np.random.default_rng(7)
    for layer in range(30):
        name = f"blk.{layer}.attn_q.weight.lora_"
        writer.add_tensor(name + "a", draw.normal(size=(4, 576)).astype(np.float32))
        after = strength * draw.normal(size=(576, 4)).astype(np.float32)
        writer.add_tensor(name + "b", after)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tuned = LlamaCpp(LocalModel(SPEC, tmp_path), CPU)
    same = texts(tuned, ASKED, SHORT) == texts(model, ASKED, SHORT)
    assert same == (strength == 0)
    tuned.close()
