"""What a backend is, and the table of those there are. Knows nothing of files or of the CLI."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nlpcli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from nlpcli.device import Device
    from nlpcli.registry import LocalModel, ModelSpec


class Request(NamedTuple):
    """One text to work on, short enough for the model's window.

    `source` and `target` are BCP 47 language tags; many-language models need them.
    """

    text: str
    source: str | None = None
    target: str | None = None


class Decoding(NamedTuple):
    """How to search for the output; the same for every request of one `run`.

    `beam` None means the model's own default; `batch_size` 0 means a token budget that suits
    the device. `no_repeat_ngram` 0 turns that constraint off.
    """

    beam: int | None = None
    nbest: int = 1
    scores: bool = False
    max_tokens: int | None = None
    no_repeat_ngram: int = 0
    batch_size: int = 0


class Hypothesis(NamedTuple):
    """One output. `score` is the mean log-probability (natural) of its tokens, end token
    included; None where the backend cannot tell. `tokens` counts the tokens it covers."""

    text: str
    score: float | None = None
    tokens: int = 0


class Result(NamedTuple):
    """The hypotheses of one request, best first; at least one."""

    hypotheses: tuple[Hypothesis, ...]

    @property
    def text(self) -> str:
        return self.hypotheses[0].text


class Backend(Protocol):
    """Compute only. One instance belongs to the thread that made it."""

    window: int
    """The longest text `run` takes whole, in the units of `measure`."""

    def measure(self, text: str) -> int:
        """The length of `text`: tokens where counting them is cheap, else characters."""

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Result]:
        """One result for each request, in order. May be given any number; batches itself."""

    def close(self) -> None: ...


class BackendEntry(NamedTuple):
    """What must be known of a backend without importing it."""

    target: str
    formats: frozenset[str]
    devices: frozenset[str]
    dtypes: frozenset[str]
    summary: str
    decodes: bool = True
    """Whether beam, n-best and scores can be chosen."""


_ANY_DEVICE = frozenset({"cpu", "cuda", "mps", "xpu"})

BACKENDS: dict[str, BackendEntry] = {
    "bergamot": BackendEntry(
        "nlpcli.backends.bergamot:Bergamot",
        formats=frozenset({"bergamot"}),
        devices=frozenset({"cpu"}),
        dtypes=frozenset({"int8"}),
        summary="Firefox Translations models, on the CPU",
        decodes=False,
    ),
    "ct2": BackendEntry(
        "nlpcli.backends.ct2:CTranslate2",
        formats=frozenset({"transformers", "ct2"}),
        devices=frozenset({"cpu", "cuda"}),
        dtypes=frozenset({"float32", "float16", "bfloat16", "int8"}),
        summary="CTranslate2: the fastest for encoder-decoder models",
    ),
    "torch": BackendEntry(
        "nlpcli.backends.torch:Torch",
        formats=frozenset({"transformers"}),
        devices=_ANY_DEVICE,
        dtypes=frozenset({"float32", "float16", "bfloat16"}),
        summary="PyTorch with transformers: every architecture, every device",
    ),
    "echo": BackendEntry(
        "nlpcli.backends.echo:Echo",
        formats=frozenset({"echo"}),
        devices=_ANY_DEVICE,
        dtypes=frozenset({"float32", "float16", "bfloat16", "int8"}),
        summary="returns its input: for --dry-run and tests",
    ),
}


def choose(spec: ModelSpec, requested: str = "auto", device: str = "auto") -> str:
    """The backend for a model: the one requested, else the first of BACKENDS that reads its format
    and runs on `device`. Raises UsageError where the one requested cannot read it."""
    able = [name for name, entry in BACKENDS.items() if spec.format in entry.formats]
    if requested != "auto":
        if requested not in able:
            raise UsageError(
                f"the {requested} backend cannot run {spec.name}",
                f"it runs on {' or '.join(able)}" if able else f"nor can another: {spec.format}",
            )
        return requested
    kind = device.partition(":")[0]
    for name in able:
        if kind == "auto" or kind in BACKENDS[name].devices:
            return name
    if not able:
        raise ModelError(f"no backend runs {spec.name}: its format is {spec.format or 'unknown'}")
    return able[0]


def load(name: str, model: LocalModel, device: Device) -> Backend:
    """Import the backend `name` and load `model` on `device`."""
    module, _, attribute = BACKENDS[name].target.partition(":")
    backend: Backend = getattr(import_module(module), attribute)(model, device)
    return backend
