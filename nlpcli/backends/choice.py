"""The table of backends, and which of them runs a model. Knows nothing of files or of the CLI."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from nlpcli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from nlpcli.device import Device
    from nlpcli.registry import LocalModel, ModelSpec


class BackendEntry(NamedTuple):
    """What must be known of a backend without importing it.

    `targets` maps each of KINDS it runs to its class; `only` names, for a kind of which it does
    not run all, the architectures (transformers model types) that it does. `dtypes` is empty where
    the model's file settles the number format. `features` are those of FEATURES it has.
    """

    targets: Mapping[str, str]
    formats: frozenset[str]
    devices: frozenset[str]
    dtypes: frozenset[str]
    summary: str
    features: frozenset[str] = frozenset()
    only: Mapping[str, frozenset[str]] = {}


KINDS = {
    "seq2seq": "an encoder-decoder",
    "decoder": "a language model",
    "encoder": "an encoder",
    "classifier": "a classifier",
}
FEATURES = {
    "search": "beam search, n-best lists and scores",
    "sample": "sampling",
    "constrain": "JSON schemas and grammars",
    "logprobs": "log-probabilities",
    "likelihoods": "likelihoods of given outputs",
    "attention": "attention weights",
    "adapt": "LoRA adapters beside a GGUF",
    "repeat": "samples that depend on seed and prompt alone",
    "deterministic": "answers that depend on nothing else computed",
}

_ANY_DEVICE = frozenset({"cpu", "cuda", "mps", "xpu"})
_CT2_ENCODERS = frozenset({"bert", "camembert", "distilbert", "roberta", "xlm-roberta"})

BACKENDS: dict[str, BackendEntry] = {
    "bergamot": BackendEntry(
        {"seq2seq": "nlpcli.backends.bergamot:Bergamot"},
        formats=frozenset({"bergamot"}),
        devices=frozenset({"cpu"}),
        dtypes=frozenset({"int8"}),
        summary="Firefox Translations models, on the CPU",
        features=frozenset({"deterministic"}),
    ),
    "llamacpp": BackendEntry(
        {"decoder": "nlpcli.backends.llamacpp.decoder:LlamaCpp"},
        formats=frozenset({"gguf"}),
        devices=frozenset({"cpu"}),
        dtypes=frozenset(),
        summary="llama.cpp: GGUF models as they are; the first word soonest, schemas, grammars",
        features=frozenset({"sample", "repeat", "constrain", "logprobs", "adapt", "deterministic"}),
    ),
    "ct2": BackendEntry(
        {
            "seq2seq": "nlpcli.backends.ct2.seq2seq:CTranslate2",
            "decoder": "nlpcli.backends.ct2.decoder:Decoder",
            "encoder": "nlpcli.backends.ct2.encoder:Encoder",
            "classifier": "nlpcli.backends.ct2.encoder:Encoder",
        },
        formats=frozenset({"transformers", "ct2", "gguf"}),
        devices=frozenset({"cpu", "cuda"}),
        dtypes=frozenset({"float32", "float16", "bfloat16", "int8"}),
        summary="CTranslate2: the fastest for batches on a CPU",
        features=frozenset({"search", "sample", "logprobs", "likelihoods", "deterministic"}),
        only={"encoder": _CT2_ENCODERS, "classifier": _CT2_ENCODERS},
    ),
    "torch": BackendEntry(
        {
            "seq2seq": "nlpcli.backends.torch.seq2seq:Torch",
            "decoder": "nlpcli.backends.torch.decoder:Decoder",
            "encoder": "nlpcli.backends.torch.encoder:Encoder",
            "classifier": "nlpcli.backends.torch.encoder:Encoder",
        },
        formats=frozenset({"transformers", "gguf"}),
        devices=_ANY_DEVICE,
        dtypes=frozenset({"float32", "float16", "bfloat16"}),
        summary="PyTorch with transformers: every architecture, every device",
        features=frozenset(
            {
                "search",
                "sample",
                "repeat",
                "logprobs",
                "likelihoods",
                "attention",
                "deterministic",
            }
        ),
    ),
    "openai": BackendEntry(
        {"decoder": "nlpcli.backends.openai.decoder:OpenAI"},
        formats=frozenset({"openai"}),
        devices=_ANY_DEVICE,
        dtypes=frozenset(),
        summary="any OpenAI-compatible server: -m openai:NAME",
        features=frozenset({"sample", "constrain", "logprobs"}),
    ),
    "echo": BackendEntry(
        dict.fromkeys(KINDS, "nlpcli.backends.echo:Echo"),
        formats=frozenset({"echo"}),
        devices=_ANY_DEVICE,
        dtypes=frozenset({"float32", "float16", "bfloat16", "int8"}),
        summary="returns its input: for --dry-run and tests",
        features=frozenset(FEATURES),
    ),
}

# Which backend is fastest at what; those not named follow in the order of BACKENDS. ct2's sampling
# is not repeatable for one request whatever the batch, so it comes last there.
PREFERENCES = {
    "stream": ("llamacpp", "ct2"),
    "batch": ("ct2",),
    "sample": ("llamacpp", "torch"),
}


def kind(model: LocalModel) -> str:
    """Which of KINDS the model in its folder is. Raises ModelError where that cannot be told."""
    if model.spec.format == "bergamot":
        return "seq2seq"
    if model.spec.format in ("gguf", "openai"):
        return "decoder"
    from nlpcli.registry import read_json

    if model.spec.format == "ct2":
        return str(read_json(model.folder / "recipe.json").get("kind", "seq2seq"))
    config = read_json(model.folder / "config.json")
    if not config:
        raise ModelError(f"{model.spec.name}: no config.json that can be read in {model.folder}")
    names = " ".join(config.get("architectures") or ())
    if "ForSequenceClassification" in names:
        return "classifier"
    if "ForCausalLM" in names or "LMHeadModel" in names or "text_config" in config:
        return "decoder"  # also the text side of what reads images as well
    if config.get("is_encoder_decoder") or "ForConditionalGeneration" in names:
        return "seq2seq"
    return "encoder"


def able(spec: ModelSpec, requested: str = "auto") -> list[str]:
    """The backends that read the model's format, the one `requested` alone where one is.

    Needs no download. Raises UsageError where the one requested does not, ModelError where none.
    """
    found = [name for name, entry in BACKENDS.items() if spec.format in entry.formats]
    if not found:
        raise ModelError(f"no backend runs {spec.name}: its format is {spec.format or 'unknown'}")
    if requested == "auto":
        return found
    if requested not in found:
        raise UsageError(
            f"the {requested} backend cannot run {spec.name}", f"it runs on {' or '.join(found)}"
        )
    return [requested]


def choose(
    model: LocalModel,
    requested: str = "auto",
    device: str = "auto",
    *,
    work: str = "batch",
    needs: Mapping[str, str] | None = None,
) -> str:
    """The backend for a model that is here: the one requested, else the best for `work` (one of
    PREFERENCES) that runs its kind and architecture on `device` and has what is needed.

    `needs` maps features to the options that ask for them. Raises UsageError or ModelError.
    """
    from nlpcli.registry.folder import ADAPTER

    found = _runs(model, able(model.spec, requested))
    needs = dict(needs or {})
    if model.spec.format == "gguf" and (model.folder / ADAPTER).is_file():
        needs["adapt"] = ADAPTER
    fit = [name for name in found if BACKENDS[name].features >= needs.keys()]
    if not fit:
        _lacking(model, found, needs)
    preferred = PREFERENCES[work]
    ranked = sorted(fit, key=lambda n: preferred.index(n) if n in preferred else len(preferred))
    return _on_device(ranked, device)


def load(name: str, model: LocalModel, device: Device) -> Any:
    """Import the backend `name` and load `model` on `device`."""
    target = next(iter(BACKENDS[name].targets.values()))
    if len(BACKENDS[name].targets) > 1 and model.spec.format != "echo":
        target = BACKENDS[name].targets[kind(model)]
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)(model, device)


def _runs(model: LocalModel, names: list[str]) -> list[str]:
    """Those of `names` that run the model's kind and architecture; never none."""
    what, architecture = kind(model), model.spec.architecture
    found = [
        name
        for name in names
        if what in BACKENDS[name].targets
        and (not architecture or architecture in BACKENDS[name].only.get(what, (architecture,)))
    ]
    if not found:
        raise UsageError(
            f"the {names[0]} backend does not run {model.spec.name} ({model.spec.architecture})",
            "leave out --backend",
        )
    return found


def _lacking(model: LocalModel, names: list[str], needs: Mapping[str, str]) -> None:
    """Raise UsageError for the first feature that none of the backends `names` has."""
    for feature, option in needs.items():
        if not any(feature in BACKENDS[name].features for name in names):
            able_to = [n for n, entry in BACKENDS.items() if feature in entry.features]
            others = " or ".join(name for name in able_to if name != "echo")
            raise UsageError(
                f"{option}: the {' and the '.join(names)} backend has no {FEATURES[feature]}",
                f"name a model that runs on {others} (see nlpcli models list)",
            )
    raise UsageError(f"no backend runs {model.spec.name} with {' and '.join(needs.values())}")


def _on_device(names: list[str], device: str) -> str:
    """The first of `names` that runs on `device`; `auto` prefers a GPU where there is one."""
    wanted: Collection[str] = {device.partition(":")[0]}
    if device == "auto":
        if len({BACKENDS[name].devices for name in names}) == 1:
            return names[0]
        from nlpcli.device import cuda_devices

        wanted = {"cuda"} if cuda_devices() else {"cpu"}
    return next((n for n in names if BACKENDS[n].devices.issuperset(wanted)), names[0])
