"""Models on a server: llama.cpp's own HTTP server, and one that fails in every way it can."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import time
import traceback
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import openai_server
from nlpcli import registry, store
from nlpcli.backends import Decoding, Message, Request
from nlpcli.backends.openai.decoder import OpenAI
from nlpcli.backends.openai.endpoint import Endpoint
from nlpcli.backends.openai.wire import Garbled, complaint, events
from nlpcli.device import Device
from nlpcli.errors import DataError, ModelError, UsageError
from openai_server import Reply, Server, answer, error, piece

KEY = "sk-proj-4f9a0c77b1e2d3-secret"
GREEDY = Decoding(max_tokens=8)
STREAM = "text/event-stream"


def load(name: str = "tiny") -> OpenAI:
    return OpenAI(store.fetch(registry.find(f"openai:{name}").spec), Device("cpu"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with openai_server.serving() as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield served


@pytest.fixture
def model(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAI]:
    # The pauses keep their proportions, a hundredth as long.
    monkeypatch.setattr(
        "nlpcli.backends.openai.endpoint.random.uniform", lambda low, high: high / 100
    )
    loaded = load()
    yield loaded
    loaded.close()


def ask(model: OpenAI, text: str = "hello", decoding: Decoding = GREEDY) -> str:
    """The answer to one request, or why there is none."""
    (result,) = model.run([Request(text)], decoding)
    return result.error or result.text


def said(model: OpenAI, decoding: Decoding = GREEDY) -> tuple[list[str], str]:
    """The pieces of a streamed answer, and why it ended."""
    *deltas, last = model.stream(Request("hello"), decoding)
    assert not any(delta.finish for delta in deltas)
    return [delta.text for delta in deltas], last.finish


def test_what_is_sent(server: Server, model: OpenAI) -> None:
    messages = (Message("system", "Be brief."), Message("user", "hello"))
    requests = [Request("raw", seed=3), Request("", messages=messages, seed=4)]
    full = Decoding(
        max_tokens=5, temperature=0.5, top_p=0.9, top_k=7, stop=("\n",), schema='{"type": "object"}'
    )
    model.run(requests[:1], GREEDY)
    model.run(requests[1:], full)
    assert server.requests[0] == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "raw"}],
        "temperature": 0.0,
        "max_tokens": 8,
    }
    assert server.requests[1] == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hello"},
        ],
        "temperature": 0.5,
        "max_tokens": 5,
        "top_p": 0.9,
        "top_k": 7,
        "seed": 4,
        "stop": ["\n"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
    }
    assert server.keys == [f"Bearer {KEY}"] * 2


@given(some.text())
@settings(deadline=None, max_examples=20)
def test_any_text_can_be_sent_and_come_back(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch, openai_server.serving() as server:
        patch.setenv("OPENAI_BASE_URL", server.url)
        server.reply = lambda body: Reply(answer(f"<{body['messages'][0]['content']}>"))
        model = load()
        got = ask(model, text)
        model.close()
        assert got == f"<{text}>".encode(errors="replace").decode()


def test_many_at_once_in_order_over_few_connections(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: Reply(answer(body["messages"][0]["content"]), hang=0.01)
    texts = [str(number) for number in range(64)]
    results = model.run([Request(text) for text in texts], GREEDY)
    assert [result.text for result in results] == texts
    assert 2 <= server.most_at_once <= 8
    assert len(server.connections) <= 8
    server.most_at_once = 0
    model.run([Request(text) for text in texts[:8]], GREEDY._replace(batch_size=2))
    assert server.most_at_once <= 2
    assert len(server.connections) <= 8, "connections are used again"


BUSY = [error(429), error(500), error(503), Reply(b"", 502), error(408)]
GARBAGE = [
    Reply(b"{", 200),
    Reply(b"<html><body>Welcome</body></html>", kind="text/html"),
    Reply(b""),
    Reply(b"\xff\xfe\x00"),
    Reply([1, 2]),
    Reply({"choices": []}),
    Reply({"choices": [{"message": None}]}),
    Reply({"choices": [{"message": {"content": 7}}]}),
    Reply({"choices": "x"}),
    Reply(answer(), cut=True),
    Reply(b"[" * 100_000),
]


@pytest.mark.parametrize("reply", BUSY + GARBAGE)
def test_what_may_pass_is_tried_again(server: Server, model: OpenAI, reply: Reply) -> None:
    server.replies = [reply, reply]
    assert ask(model) == "yes"
    assert len(server.requests) == 3


@pytest.mark.parametrize("reply", BUSY + GARBAGE)
def test_what_does_not_pass_is_one_requests_failure(
    server: Server, model: OpenAI, reply: Reply
) -> None:
    server.reply = lambda body: reply if "bad" in str(body) else Reply(answer())
    results = model.run([Request("bad"), Request("good")], GREEDY)
    assert results[0].error.endswith("(6 tries)")
    assert "\n" not in results[0].error
    assert len(results[0].error) < 400
    assert results[1].text == "yes"
    assert len(server.requests) == 7


def test_the_pauses_grow(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: error(500)
    ask(model)
    pauses = [later - sooner for sooner, later in zip(server.times, server.times[1:], strict=False)]
    expected = [0.01, 0.02, 0.04, 0.08, 0.08]
    for pause, wanted in zip(pauses, expected, strict=True):
        assert wanted <= pause < wanted + 0.5


@pytest.mark.parametrize("value", ["1", "0.7", "date", "soon", ""])
def test_retry_after_is_kept(server: Server, model: OpenAI, value: str) -> None:
    seconds = {"1": 1.0, "0.7": 0.7, "date": 0.9}.get(value, 0.0)
    # A date has whole seconds.
    value = formatdate(math.ceil(time.time()) + 1, usegmt=True) if value == "date" else value
    server.replies = [Reply(b"slow down", 429, Retry_After=value)]
    assert ask(model) == "yes"
    assert seconds <= server.times[1] - server.times[0] < seconds + 1.5


def test_a_long_retry_after_is_not_waited_for(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: Reply(b"slow down", 429, Retry_After="3600")
    began = time.monotonic()
    assert "429: slow down; it asks to wait 3600 s" in ask(model)
    assert time.monotonic() - began < 5
    assert len(server.requests) == 1


def test_a_server_that_hangs(
    server: Server, model: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.close()
    monkeypatch.setattr(Endpoint, "silence", 0.3)
    monkeypatch.setattr(Endpoint, "tries", 2)
    model = load()
    server.reply = lambda body: Reply(answer(), hang=1.0 if "bad" in str(body) else 0)
    began = time.monotonic()
    results = model.run([Request("bad"), Request("good")], GREEDY)
    assert results[0].error == "nothing came from the server for 0.3 s (2 tries)"
    assert results[1].text == "yes"
    with pytest.raises(DataError, match="nothing came"):
        list(model.stream(Request("bad"), GREEDY))
    assert time.monotonic() - began < 8
    model.close()


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    model = load()
    began = time.monotonic()
    with pytest.raises(
        ModelError, match=r"127\.0\.0\.1:9/v1 cannot be reached: .*refused"
    ) as caught:
        model.run([Request("hello")] * 20, GREEDY)
    assert time.monotonic() - began < 5
    assert "OPENAI_BASE_URL" in caught.value.hint
    model.close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_ends_the_run_at_once(server: Server, model: OpenAI, status: int) -> None:
    server.reply = lambda body: error(status, f"Incorrect API key provided: {KEY}")
    for act in (lambda: model.run([Request("hello")] * 50, GREEDY), lambda: said(model)):
        with pytest.raises(ModelError) as caught:
            act()
        assert "OPENAI_API_KEY" in caught.value.hint
        assert KEY not in caught.value.message + caught.value.hint
    assert len(server.requests) <= 20


def test_no_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    model = load()
    assert ask(model) == "yes"
    assert server.keys == [None]
    server.reply = lambda body: error(401)
    with pytest.raises(ModelError, match="asks for a key"):
        ask(model)
    model.close()
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
        load()


@pytest.mark.parametrize(
    "variable, value, message",
    [
        ("OPENAI_API_KEY", f"{KEY}\nx", "holds what no key can"),
        ("OPENAI_API_KEY", f"{KEY} x", "holds what no key can"),
        ("OPENAI_API_KEY", f"{KEY}é", "holds what no key can"),
        ("OPENAI_BASE_URL", f"http://user:{KEY}@127.0.0.1/v1", "more than an address"),
        ("OPENAI_BASE_URL", f"http://127.0.0.1/v1?key={KEY}", "more than an address"),
        ("OPENAI_BASE_URL", f"{KEY}", "not an http address"),
        ("OPENAI_BASE_URL", "ftp://127.0.0.1", "not an http address"),
        ("OPENAI_BASE_URL", "http://", "not an http address"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:99999/v1", "not an http address"),
        ("OPENAI_BASE_URL", "http://[::1/v1", "not an http address"),
    ],
)
def test_settings_that_cannot_be(
    server: Server, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ModelError, match=message) as caught:
        load()
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_model_that_is_not_there(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: error(404, "The model `tiny` does not exist")
    server.models = Reply({"data": [{"id": "tiny-2"}, {"id": "huge"}]})
    with pytest.raises(ModelError, match="has no model tiny") as caught:
        ask(model)
    assert caught.value.hint == "it has: tiny-2"
    with pytest.raises(ModelError, match="has no model tiny"):
        said(model)


def test_an_address_that_is_not_there(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: error(404, "Not Found")
    with pytest.raises(ModelError, match="chat/completions: the server says 404") as caught:
        ask(model)
    assert "/v1" in caught.value.hint


def test_a_redirection_is_not_followed(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: Reply(b"", 307, Location=f"http://127.0.0.1:9/?{KEY}")
    with pytest.raises(ModelError, match=r"redirects to http://127\.0\.0\.1:9/, where"):
        ask(model)


def test_no_credit(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: error(429, "You exceeded your quota", code="insufficient_quota")
    with pytest.raises(ModelError, match="You exceeded your quota"):
        ask(model)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply, message",
    [
        (Reply(answer(finish_reason="content_filter")), "content filter"),
        (Reply(answer(message={"content": None, "refusal": "I\nwill not"})), "refused: I will not"),
        (Reply(answer("")), "empty"),
        (Reply(answer("", finish_reason="length")), "raise --max-tokens"),
        (Reply({"error": {"message": "broken"}}), "the server says: broken"),
        (error(400, "Bad schema"), "400: Bad schema"),
        (Reply({"detail": [{"loc": ["body", "x"], "msg": "odd"}]}, 422), "422: odd"),
        (Reply({"error": "plain"}, 400), "400: plain"),
        (
            error(400, "This model's maximum context length is 10 tokens", code="x"),
            "longer than the model's window",
        ),
        (error(413), "longer than the model's window"),
    ],
)
def test_what_is_no_answer_is_not_asked_again(
    server: Server, model: OpenAI, reply: Reply, message: str
) -> None:
    server.reply = lambda body: reply if "bad" in str(body) else Reply(answer())
    results = model.run([Request("bad"), Request("good")], GREEDY)
    assert message in results[0].error
    assert results[1].text == "yes"
    assert len(server.requests) == 2


def test_an_empty_answer_before_a_stop_string(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: Reply(answer(""))
    assert ask(model, decoding=Decoding(stop=("\n",))) == ""


def test_servers_with_other_parameters(
    server: Server, model: OpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    def newer(body: dict[str, object]) -> Reply:
        if "max_tokens" in body:
            words = "'max_tokens' is not supported. Use 'max_completion_tokens' instead."
            return error(400, f"Unsupported parameter: {words}", param="max_tokens")
        if "temperature" in body:
            return error(400, "Only 1", code="unsupported_value", param="temperature")
        return Reply(answer(str(sorted(body))))

    server.reply = newer
    expected = "['max_completion_tokens', 'messages', 'model']"
    assert [each.text for each in model.run([Request("hello")] * 4, GREEDY)] == [expected] * 4
    assert capsys.readouterr().err.count("takes no temperature") == 1
    server.requests.clear()
    assert ask(model) == expected
    assert len(server.requests) == 1, "it is learnt once"


def test_a_bad_value_is_told_and_not_dropped(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: error(400, "above 2", code="invalid_value", param="temperature")
    assert "above 2" in ask(model, decoding=Decoding(temperature=9))


@pytest.mark.parametrize("heeds", [True, False])
def test_several_samples(server: Server, model: OpenAI, heeds: bool) -> None:
    def reply(body: dict[str, object]) -> Reply:
        (choice,) = answer(f"seed {body['seed']}")["choices"]
        return Reply({"choices": [choice] * (body.get("n", 1) if heeds else 1)})  # type: ignore[call-overload]

    server.reply = reply
    decoding = Decoding(temperature=1, nbest=3)
    (result,) = model.run([Request("hello", seed=5)], decoding)
    assert len(result.hypotheses) == 3
    assert [body["seed"] for body in server.requests] == ([5] if heeds else [5, 6, 7])
    assert [body.get("n", 1) for body in server.requests] == ([3] if heeds else [3, 2, 1])


def test_log_probabilities(server: Server, model: OpenAI) -> None:
    content = [{"token": "y", "logprob": -0.5, "top_logprobs": [{"token": "n", "logprob": -1}]}]
    server.reply = lambda body: Reply(answer(logprobs={"content": content}))
    (result,) = model.run([Request("hello")], Decoding(logprobs=1))
    assert result.hypotheses[0].logprobs == (("y", -0.5, (("n", -1.0),)),)
    assert server.requests[0]["top_logprobs"] == 1
    server.reply = lambda body: Reply(answer())
    assert "no log-probabilities" in ask(model, decoding=Decoding(logprobs=0))
    server.reply = lambda body: Reply(answer(logprobs={"content": [{"token": 1}]}))
    assert "another form" in ask(model, decoding=Decoding(logprobs=0))


def stream(*parts: bytes, **fields: object) -> Reply:
    return Reply(b"".join(parts), kind=STREAM, **fields)  # type: ignore[arg-type]


def test_streaming(server: Server, model: OpenAI) -> None:
    server.reply = lambda body: stream(
        b": ping\r\n\r\n",
        piece(None),
        piece("Olá\u2028, "),
        b"event: x\nid: 7\n\n",
        piece("mundo").replace(b"\n\n", b"\r\n\r\n"),
        b'data: {"choices": [], "usage": {"completion_tokens": 2}}\n\n',
        piece("", "length"),
        b"data: [DONE]\n\n",
    )
    assert said(model) == (["Olá\u2028, ", "mundo"], "length")
    assert server.requests[0]["stream"] is True


def test_a_stream_that_begins_badly_is_tried_again(server: Server, model: OpenAI) -> None:
    good = stream(piece("yes"), piece(None, "stop"), b"data: [DONE]\n\n")
    server.reply = lambda body: good
    server.replies = [error(429), Reply(b"<html>", kind="text/html"), stream(), Reply(answer())]
    assert said(model) == (["yes"], "stop")
    assert len(server.requests) == 5
    server.replies = [error(500)] * 6
    with pytest.raises(DataError, match="500"):
        said(model)


@pytest.mark.parametrize(
    "reply, message",
    [
        (stream(piece("a"), cut=True), "cut off"),
        (stream(piece("a"), b'data: {"choi', cut=True), "cut off"),
        (stream(piece("a"), b"data: nonsense\n\n"), "cut off"),
        (stream(piece("a")), "cut off"),
        (stream(piece("a"), b'error: {"error": {"message": "dead"}}\n\n'), "dead"),
        (stream(piece("a"), piece(None, "content_filter")), "content filter"),
        (stream(piece(None, "stop"), b"data: [DONE]\n\n"), "empty"),
        (error(400, "the prompt is too long"), "longer than the model's window"),
    ],
)
def test_a_stream_that_ends_badly(
    server: Server, model: OpenAI, reply: Reply, message: str
) -> None:
    server.reply = lambda body: reply
    with pytest.raises(DataError, match=message):
        list(model.stream(Request("hello"), GREEDY))
    assert len(server.requests) == 1, "what was shown is not shown twice"


@given(some.lists(some.binary(max_size=30), max_size=8))
@settings(deadline=None)
def test_any_stream_of_bytes_gives_objects_or_is_garbled(blocks: list[bytes]) -> None:
    with contextlib.suppress(Garbled):
        assert all(isinstance(each, dict) for each in events(iter(blocks)))


values = some.recursive(
    some.none() | some.integers() | some.text(),
    lambda x: some.lists(x) | some.dictionaries(some.text(), x),
)


@given(some.dictionaries(some.sampled_from(["error", "detail", "message", "loc", "param"]), values))
def test_any_complaint_is_understood(answer: dict[str, object]) -> None:
    assert all(isinstance(each, str) for each in complaint(json.dumps(answer).encode()))
    assert all(isinstance(each, str) for each in complaint(answer))


@pytest.mark.parametrize(
    "models, window",
    [
        (error(404), 100_000),
        (Reply(b"<html>"), 100_000),
        (Reply({"data": [{"id": "tiny"}]}), 100_000),
        (Reply({"data": [{"id": "tiny", "max_model_len": 1000}, {"id": "x"}]}), 3000),
        (Reply({"data": [{"id": "/m.gguf", "meta": {"n_ctx_train": 8192, "n_ctx": 512}}]}), 1536),
        (Reply({"data": None}), 100_000),
        (Reply({"data": 5}), 100_000),
    ],
)
def test_the_window(server: Server, model: OpenAI, models: Reply, window: int) -> None:
    server.models = models
    assert model.window == window
    assert model.measure("four") == 4


def test_a_grammar_needs_llama(server: Server, model: OpenAI) -> None:
    server.models = Reply({"data": [{"id": "tiny", "owned_by": "vllm"}]})
    for act in (model.run, lambda some, how: list(model.stream(some[0], how))):
        with pytest.raises(UsageError, match=r"only llama\.cpp"):
            act([Request("hello")], Decoding(grammar='root ::= "yes"'))
    assert server.requests == []


def test_an_interrupted_run_asks_no_more(server: Server, model: OpenAI) -> None:
    def reply(body: dict[str, object]) -> Reply:
        if len(server.requests) == 5:
            raise_in(threading.main_thread(), KeyboardInterrupt)
        return Reply(answer(), hang=0.05)

    server.reply = reply
    with pytest.raises(KeyboardInterrupt):
        model.run([Request("hello")] * 300, GREEDY)
    time.sleep(0.3)
    assert len(server.requests) < 100
    server.reply = lambda body: Reply(answer())
    server.replies = [error(500)]
    assert ask(model) == "yes", "it goes on after that"


def raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    import os
    import signal

    assert thread is threading.main_thread()
    assert kind is KeyboardInterrupt
    os.kill(os.getpid(), signal.SIGINT)


def test_the_key_is_nowhere(
    server: Server, model: OpenAI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """10,000 lines of what the HTTP library logs while the server repeats the key wherever it
    can, and every error, hint, repr and traceback."""
    monkeypatch.setenv("NLPCLI_DEBUG", "1")
    log = tmp_path / "log"
    monkeypatch.setattr(Endpoint, "tries", 3)
    handler = logging.FileHandler(log)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in ("httpx2", "httpcore2", "httpcore2.http11", "httpcore2.connection"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    masked = f"{KEY[:9]}***{KEY[-4:]}"
    replies = [
        error(429, KEY, code=KEY, param=KEY),
        error(400, f"Bearer {KEY} {masked}"),
        Reply(KEY.encode() * 9, kind=KEY),
        Reply(answer(), X_Key=f"Bearer {KEY}"),
        stream(piece("a"), json.dumps({"error": KEY}).encode(), cut=True),
        stream(piece("a"), f"data: {KEY}\n\n".encode()),
        Reply(answer(message={"refusal": KEY})),
        Reply(answer(logprobs=KEY)),
    ]
    final = [error(401, KEY), error(403, KEY), error(404, KEY), Reply(b"", 302, Location=KEY)]
    server.models = Reply({"data": [{"id": KEY}]})
    told: list[str] = [repr(model), repr(vars(model)), repr(vars(model._server))]
    try:
        for round_ in range(400):
            reply = (replies + final)[round_ % 12]
            server.reply = lambda body, reply=reply: reply  # type: ignore[misc]
            for act in (ask, said):
                try:
                    told.append(str(act(model)))
                except (ModelError, DataError) as caught:
                    told += [caught.message, caught.hint, repr(caught)]
                    told += traceback.format_exception(caught)
            logged = log.read_bytes().count(b"\n")
            if logged > 10_000 and round_ > 24:
                break
        assert logged > 10_000
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()
    assert "receive_response_headers.complete" in log.read_text()
    for text in (log.read_text(), "\n".join(told)):
        assert KEY not in text
        assert KEY[:9] not in text
    assert not any(
        KEY.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()
    )


@pytest.fixture(scope="module")
def address(pulled: Path) -> Iterator[str]:
    (gguf,) = (pulled / "nlpcli" / "models" / "smollm2-135m-instruct").glob("*.gguf")
    with openai_server.llama(gguf, KEY) as url:
        yield url


class TestLlama:
    """llama.cpp's HTTP server with real weights."""

    @pytest.fixture
    def smollm(self, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAI]:
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        loaded = load("smollm2")
        yield loaded
        loaded.close()

    def test_streaming_says_what_a_run_says(self, smollm: OpenAI) -> None:
        question = Request("", messages=(Message("user", "Tell me a story."),))
        (result,) = smollm.run([question], GREEDY)
        assert 0 < result.hypotheses[0].tokens <= 8
        *deltas, last = smollm.stream(question, GREEDY)
        assert len(deltas) > 3
        assert "".join(delta.text for delta in deltas) == result.text
        assert last == ("", result.hypotheses[0].finish)

    def test_closing_a_stream_stops_the_server(self, smollm: OpenAI) -> None:
        deltas = smollm.stream(Request("Count to a thousand."), Decoding(max_tokens=400))
        next(deltas)
        deltas.close()  # type: ignore[attr-defined]
        began = time.monotonic()
        assert ask(smollm, "Say yes.")
        assert time.monotonic() - began < 20

    def test_64_at_once(self, smollm: OpenAI) -> None:
        numbers = [str(number) for number in range(100, 164)]
        requests = [Request(f"Repeat after me: {number}") for number in numbers]
        results = smollm.run(requests, Decoding(max_tokens=4))
        assert [result.error for result in results] == [""] * 64
        right = sum(number in each.text for number, each in zip(numbers, results, strict=True))
        assert right > 50

    def test_log_probabilities(self, smollm: OpenAI) -> None:
        (result,) = smollm.run([Request("Say yes.")], Decoding(max_tokens=4, logprobs=3))
        (hypothesis,) = result.hypotheses
        assert "".join(token.text for token in hypothesis.logprobs) == hypothesis.text
        for token in hypothesis.logprobs:
            assert len(token.top) == 3
            assert token.top[0] == (token.text, pytest.approx(token.logprob, abs=1e-6))
            assert math.exp(token.logprob) <= 1

    def test_samples_stops_and_seeds(self, smollm: OpenAI) -> None:
        request = Request("Tell me a story.", seed=5)
        decoding = Decoding(temperature=1.0, max_tokens=12, nbest=3)
        (result,) = smollm.run([request], decoding)
        assert len({each.text for each in result.hypotheses}) > 1
        stopped = smollm.run([Request("Count: 1, 2, 3")], Decoding(max_tokens=20, stop=(",",)))
        assert "," not in stopped[0].text

    def test_a_schema_and_a_grammar(self, smollm: OpenAI) -> None:
        schema = {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        }
        decoding = Decoding(max_tokens=60, schema=json.dumps(schema))
        assert set(json.loads(ask(smollm, "Where is the Louvre?", decoding))) == {"city"}
        decoding = Decoding(max_tokens=5, grammar='root ::= "yes" | "no"')
        assert ask(smollm, "Is water wet?", decoding) in ("yes", "no")
        assert "400" in ask(smollm, decoding=Decoding(grammar="root ::= ("))

    def test_a_prompt_beyond_the_window(self, smollm: OpenAI) -> None:
        assert smollm.window == 512 * 3
        results = smollm.run([Request("word " * 2000), Request("Say yes.")], GREEDY)
        assert "longer than the model's window" in results[0].error
        assert results[1].text
        with pytest.raises(DataError, match="longer than the model's window"):
            list(smollm.stream(Request("word " * 2000), GREEDY))

    def test_a_wrong_key(self, smollm: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}x")
        wrong = load()
        with pytest.raises(ModelError, match="refuses the key"):
            ask(wrong)
        with pytest.raises(ModelError, match="refuses the key"):
            _ = wrong.window
        wrong.close()
