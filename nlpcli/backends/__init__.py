"""What goes into a backend and comes out, and what a backend is; which there are: choice.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol


class Message(NamedTuple):
    """One turn of a dialogue. `role` is system, user or assistant."""

    role: str
    content: str


class Request(NamedTuple):
    """One text to work on, short enough for the model's window.

    `source` and `target` are BCP 47 language tags; many-language models need them. A language
    model continues `text`, or answers `messages` in its own chat template where there are any.
    `pair` is the second text of a classifier of pairs (an NLI hypothesis). `seed` fixes what is
    sampled for this request, whatever else is in the batch; the k-th sample takes seed + k.
    """

    text: str
    source: str | None = None
    target: str | None = None
    messages: tuple[Message, ...] = ()
    pair: str | None = None
    seed: int = 0


class Decoding(NamedTuple):
    """How to search for the output; the same for every request of one `run`.

    `beam` None means the model's own default; `batch_size` 0 means a token budget that suits
    the device. `min_tokens` None is the model's own least length; only an encoder-decoder heeds
    it. `no_repeat_ngram` 0 turns that constraint off. `temperature` 0 is greedy; above it
    `nbest` independent samples are drawn, from the `top_k` likeliest tokens (0: all) that make up
    `top_p` of the probability. The output ends before any string of `stop`. `schema` (JSON Schema)
    or `grammar` (GBNF) constrains it. `logprobs` is the number of alternatives to tell for each
    token (0: only the token's own), None for no log-probabilities.
    """

    beam: int | None = None
    nbest: int = 1
    scores: bool = False
    max_tokens: int | None = None
    min_tokens: int | None = None
    no_repeat_ngram: int = 0
    batch_size: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    schema: str = ""
    grammar: str = ""
    logprobs: int | None = None


class Token(NamedTuple):
    """A generated token with its log-probability (natural, before temperature and top-p), and
    the likeliest tokens in its place with theirs, best first."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Hypothesis(NamedTuple):
    """One output. `score` is the mean log-probability (natural) of its tokens, end token
    included; None where the backend cannot tell. `tokens` counts the tokens it covers. `finish`
    is stop (it ended by itself, or at a stop string) or length (`max_tokens`, or the window);
    `logprobs` its tokens where they were asked for."""

    text: str
    score: float | None = None
    tokens: int = 0
    finish: str = "stop"
    logprobs: tuple[Token, ...] = ()


class Result(NamedTuple):
    """The hypotheses of one request, best first; at least one, unless `error` says why this
    request alone cannot be answered."""

    hypotheses: tuple[Hypothesis, ...]
    error: str = ""

    @property
    def text(self) -> str:
        return self.hypotheses[0].text


class Scored(NamedTuple):
    """A token of a given text: the characters [start, end) of it that the token stands for, and
    its log-probability (natural) given what stands before it. Tokens that share the bytes of one
    character overlap."""

    start: int
    end: int
    logprob: float


class Delta(NamedTuple):
    """A piece of a streamed output. The last one has `finish` set, as in Hypothesis."""

    text: str
    finish: str = ""


class Model(Protocol):
    """Compute only. One instance belongs to the thread that made it."""

    window: int
    """The longest text it takes whole, in the units of `measure`."""

    def measure(self, text: str) -> int:
        """The length of `text`: tokens where counting them is cheap, else characters."""

    def close(self) -> None: ...


class Backend(Model, Protocol):
    """A model that puts out text."""

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        """One result for each request, in order. May be given any number; batches itself."""


class LanguageModel(Backend, Protocol):
    """A decoder. Its window holds the prompt and the output together.

    A prompt beyond the window makes a Result with `error` in `run`, DataError in `stream`.
    """

    chat: bool
    """Whether it has a chat template; without one, `messages` are joined by blank lines."""

    def stream(self, request: Request, decoding: Decoding) -> Iterator[Delta]:
        """The output as it comes; closing the iterator stops the model."""

    def likelihoods(
        self, requests: Sequence[Request], continuations: Sequence[str]
    ) -> list[list[float]]:
        """For each request, the log-probability (natural, summed over tokens) of each of
        `continuations` as the output. Only where the entry has the feature `likelihoods`."""

    def logprobs(self, text: str, window: int = 0, stride: int = 0) -> list[Scored]:
        """The tokens of `text`, in order. Only where the entry has the feature `likelihoods`.

        A longer text is read in windows of `window` tokens (0: the model's own), each `stride`
        tokens (0: half a window) after the one before. A token is scored once, in the first
        window that reaches it, given what that window has before it. A token that nothing stands
        before has no probability and is left out: the first of the text, where the tokenizer
        itself puts no beginning token there, and the first of each window where the stride is
        the whole window. Special tokens that the tokenizer adds count in the window and are not
        scored. Raises UsageError for a window beyond the model's, or a stride beyond the window.
        """


class Encoder(Model, Protocol):
    """An encoder, with or without a classification head."""

    labels: tuple[str, ...]
    """The labels of the head, in the order of its logits; () without a head."""
    multi_label: bool
    """Whether the head was trained for several labels at once (sigmoid, not softmax)."""

    def embed(self, texts: Sequence[str], batch_size: int = 0) -> Any:
        """float32 array (texts, dimensions): mean-pooled, each row of length one."""

    def classify(self, requests: Sequence[Request], batch_size: int = 0) -> Any:
        """float32 array (requests, labels): the head's logits."""


class Attention(NamedTuple):
    """An encoder's self-attention for one request: softmax(QKᵀ/√d) of the model's own weights.

    `offsets` are the characters [start, end) of the text, or of its pair, that each token stands
    for; None for a special token. `weights` is a float32 array (layers, heads, tokens, tokens)
    whose rows sum to one.
    """

    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int] | None, ...]
    weights: Any


class AttentiveEncoder(Encoder, Protocol):
    """An encoder that shows its attention. Only where the entry has the feature `attention`."""

    def attend(self, request: Request) -> Attention: ...
