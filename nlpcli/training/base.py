"""What a run begins with: a model that is there, its architecture anew, or a new model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer

from nlpcli import store
from nlpcli.backends import encoding
from nlpcli.backends import recipe as framing
from nlpcli.backends.choice import KINDS, kind
from nlpcli.backends.ct2.convert import quiet
from nlpcli.backends.ct2.make_decoder import window
from nlpcli.backends.torch.loading import FROM_FILES, WEIGHTS, loading
from nlpcli.errors import ModelError, UsageError
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.training.data import Data, Example
from nlpcli.training.recipe import Recipe

_LOADERS = {
    "classifier": "AutoModelForSequenceClassification",
    "encoder": "AutoModelForMaskedLM",
    "decoder": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
}
# For each task, which kinds of models can learn it.
_ABLE = {
    "classify": ("encoder", "classifier"),
    "translate": ("seq2seq", "decoder"),
    "summarize": ("seq2seq", "decoder"),
    "generate": ("decoder",),
    "pretrain": ("decoder", "encoder"),
}
_NEW = {"translate": "seq2seq", "summarize": "seq2seq"}
_DROPOUTS = (
    *("dropout", "attention_dropout", "activation_dropout", "classifier_dropout"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "seq_classif_dropout"),
    *("resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout_rate"),
)


class Base(NamedTuple):
    """The model to train, not yet loaded. `spec` is what it is made from, None for a new one;
    `kind` one of choice.KINDS, as it is to be trained; `window` the longest sequence in tokens.
    `empty` is the model on the meta device, without weights."""

    spec: ModelSpec | None
    folder: Path
    kind: str
    config: Any
    tokenizer: Any
    window: int
    empty: Any


def prepare(
    spec: ModelSpec | None, recipe: Recipe, data: Data, folder: Path, *, offline: bool
) -> Base:
    """Bring the files of `spec` here, or make a new model in `folder`; load its tokenizer alone."""
    local = LocalModel(ModelSpec("the new model", (), "transformers", ()), folder)
    if spec is None:
        _build(recipe, data, folder)
    else:
        local = store.fetch(spec, offline=offline)
        if local.spec.format == "gguf":
            from nlpcli.backends.gguf import unpacked

            local = unpacked(local)
    found = kind(local)
    if recipe.task == "pretrain" and recipe.objective != "auto":
        wanted = {"masked": "encoder", "causal": "decoder"}[recipe.objective]
        if found != wanted:
            raise UsageError(
                f"--objective {recipe.objective}: {local.spec.name} is {KINDS[found]}",
                "leave it out",
            )
    if found not in _ABLE[recipe.task]:
        able = " or ".join(KINDS[each] for each in _ABLE[recipe.task])
        raise ModelError(
            f"{local.spec.name} is {KINDS[found]}: finetune {recipe.task} takes {able}",
            f"name another: nlpcli models list --task {recipe.task}",
        )
    trained = "classifier" if recipe.task == "classify" else found
    with loading(local.spec.name, "cpu"):
        config = AutoConfig.from_pretrained(local.folder, **FROM_FILES)
        tokenizer = AutoTokenizer.from_pretrained(local.folder, **FROM_FILES)
    if not hasattr(tokenizer, "backend_tokenizer") and found != "seq2seq":
        raise ModelError(f"{local.spec.name}: its tokenizer has no tokenizer.json")
    _configure(config, recipe, data)
    with torch.device("meta"), quiet():
        empty = _auto(trained).from_config(config)
    limit = _window(empty, tokenizer, trained)
    return Base(spec, local.folder, trained, config, tokenizer, limit, empty)


def load(base: Base, recipe: Recipe, dtype: torch.dtype) -> Any:
    """The model with its weights: those of its files, or new ones drawn from torch's seed."""
    auto = _auto(base.kind)
    name = base.spec.name if base.spec else "the new model"
    if recipe.from_scratch and recipe.model:
        with quiet():
            return auto.from_config(base.config, dtype=torch.float32)
    with loading(name, "cpu"):
        model, told = auto.from_pretrained(
            base.folder,
            config=base.config,
            dtype=dtype,
            ignore_mismatched_sizes=base.kind == "classifier",
            output_loading_info=True,
            **WEIGHTS,
        )
    head = _HEADS if base.kind in ("classifier", "encoder") else ()
    missing = [
        key for key in told["missing_keys"] if "pooler" not in key and not key.startswith(head)
    ]
    if missing:
        raise ModelError(f"{name} cannot be loaded: its weights lack {min(missing)}")
    return model


def hold_padding(model: Any) -> None:
    """Keep the zeros of Marian's padding token, from which decoding starts: CTranslate2 takes them
    for granted, but embeddings that are tied to the output learn there too."""
    if model.config.model_type != "marian":
        return
    weight = model.get_input_embeddings().weight
    padding = torch.tensor([model.config.pad_token_id])
    weight.register_hook(lambda grad: grad.index_fill(0, padding.to(grad.device), 0.0))


def freeze(model: Any, recipe: Recipe) -> None:
    """Leave the embeddings and the lowest layers as they are, or all but the head."""
    if recipe.freeze == "0":
        return
    base = model.base_model
    if recipe.freeze == "all":
        for parameter in base.parameters():
            parameter.requires_grad = False
        return
    stacks = [
        (name, module)
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.ModuleList) and name.rpartition(".")[2] in _STACKS
    ]
    for _, stack in stacks:
        for layer in list(stack)[: int(recipe.freeze)]:
            layer.requires_grad_(False)
    within = tuple(f"{name}." for name, _ in stacks)
    for name, parameter in base.named_parameters():
        if "embed" in name and not name.startswith(within):
            parameter.requires_grad = False


_HEADS = ("classif", "head", "score", "pre_", "cls.", "lm_head", "vocab_")
_STACKS = ("layer", "layers", "h", "block", "blocks")


def adapted(model: Any, recipe: Recipe) -> Any:
    """`model` with low-rank adapters of all its linear layers but the output's (peft)."""
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(
        r=recipe.lora,
        lora_alpha=2 * recipe.lora,
        lora_dropout=recipe.dropout or 0.0,
        target_modules="all-linear",
        modules_to_save=["classifier", "score"] if recipe.task == "classify" else None,
    )
    with quiet():
        return get_peft_model(model, settings)


def merged(base: Base, recipe: Recipe, adapter: Path) -> Any:
    """The base with the weights of `adapter` added, in the number format of its own files."""
    from peft import PeftModel

    stored = base.config.dtype or torch.float32
    model = load(base, recipe, torch.float32)
    with quiet():
        return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().to(stored)


def _build(recipe: Recipe, data: Data, folder: Path) -> None:
    """A new tokenizer and a new model, of the kind that suits the task."""
    from nlpcli.training.scratch import SIZES, build

    objective = "causal" if recipe.objective == "auto" else recipe.objective
    size = SIZES[recipe.size or "small"]
    if recipe.vocabulary:
        size = size._replace(vocabulary=recipe.vocabulary)
    dropout = 0.1 if recipe.dropout is None else recipe.dropout
    texts = _texts(data.train)
    build(_NEW.get(recipe.task, objective), size, texts, folder, dropout=dropout)


def _texts(examples: list[Example]) -> Iterator[str]:
    for example in examples:
        said = (content for _, content in example.messages)
        yield from (text for text in (example.source, *example.targets, *said) if text.strip())


def _configure(config: Any, recipe: Recipe, data: Data) -> None:
    """Set what the recipe says of the model: its labels and its dropout."""
    if recipe.dropout is not None:
        known = [name for name in _DROPOUTS if getattr(config, name, None) is not None]
        used = [name for name in known if getattr(config, name)]
        for name in used or known:
            setattr(config, name, recipe.dropout)
    if recipe.task == "classify":
        config.id2label = dict(enumerate(data.labels))
        config.label2id = {label: code for code, label in enumerate(data.labels)}
        several = "multi_label_classification"
        config.problem_type = several if data.multi_label else "single_label_classification"


def _auto(kind: str) -> Any:
    return getattr(transformers, _LOADERS[kind])


def _window(empty: Any, tokenizer: Any, kind: str) -> int:
    if kind == "decoder":
        return window(empty.config.get_text_config())
    if kind == "seq2seq":
        return framing.lengths(empty.config, tokenizer)[0]
    return encoding.positions_of(empty, tokenizer)
