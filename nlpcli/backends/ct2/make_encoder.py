"""Encoders and classifiers to CTranslate2: the encoder, the tokenizer, and the head beside it.

Every conversion is checked on a dozen sentences against the original. One to floats that disagrees
computes another model and is an error; int8 is refused where embeddings turn by more than
GREATEST_TURN, or probabilities move by more than GREATEST_MOVE, on average.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from nlpcli.backends import Request, encoding, recipe, tokenize
from nlpcli.backends.choice import kind
from nlpcli.backends.ct2 import int8, loader
from nlpcli.device import Device
from nlpcli.registry import LocalModel, read_json

GREATEST_TURN = 0.02  # one less the cosine between both embeddings of a sentence
GREATEST_MOVE = 0.05  # of a sentence's probabilities, the one that moves farthest
_GREATEST_DIFFERENCE = 1e-3  # between float32 here and there, either way; it is below 1e-5

# Of each architecture the head's dense layer, its output layer, and what is between them.
_HEADS = {
    "bert": ("bert.pooler.dense", "classifier", "tanh"),
    "distilbert": ("pre_classifier", "classifier", "relu"),
    "roberta": ("classifier.dense", "classifier.out_proj", "tanh"),
}


class Difference(NamedTuple):
    """How far the conversion is from the original on average, as the bounds above count it; `move`
    is 0 without a head."""

    turn: float
    move: float


def make(model: LocalModel, dtype: str, folder: Path) -> str | None:
    """Convert `model` into `folder`; why int8 is to be refused, None where it is not."""
    positions = read_json(model.folder / "config.json").get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise NotImplementedError(f"its positions are {positions}")
    converter = loader.converter(str(model.folder))
    converter.convert(str(folder), quantization=dtype, force=True)
    tokenizer = converter.tokenizer
    del converter.model
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise NotImplementedError("its tokenizer needs transformers")
    tokenizer.backend_tokenizer.save(str(folder / tokenize.TOKENIZER))
    original = _original(model)
    classifier = kind(model) == "classifier"
    traits = encoding.of_model(original, tokenizer, head=classifier)
    made = {
        "kind": "classifier" if classifier else "encoder",
        "architecture": original.config.model_type,
        "dtype": dtype,
        "dimensions": original.config.hidden_size,
        "activation": _keep_head(original, folder) if classifier else "",
        **traits._asdict(),
    }
    text = json.dumps(made, ensure_ascii=False, indent=1)
    (folder / recipe.FILE).write_text(text + "\n", encoding="utf-8")
    found = compare(folder, model, dtype, original, tokenizer)
    if dtype == "int8":
        return _refusal(found)
    if dtype == "float32" and max(found) > _GREATEST_DIFFERENCE:
        raise NotImplementedError("its answers come out different there")
    return None


def compare(
    folder: Path, model: LocalModel, dtype: str, original: Any, tokenizer: Any
) -> Difference:
    """The difference between the conversion in `folder` and the original in transformers."""
    import numpy as np
    import torch

    from nlpcli.backends.ct2.encoder import Encoder

    converted = LocalModel(model.spec._replace(format="ct2"), folder)
    ours = Encoder(converted, Device("cpu", dtype="int8" if dtype == "int8" else "float32"))
    embedded = ours.embed(int8.SENTENCES)
    logits = ours.classify([Request(text) for text in int8.SENTENCES]) if ours.labels else None
    turns, moves = [], [0.0]
    with torch.inference_mode():
        for row, text in enumerate(int8.SENTENCES):
            inputs = tokenizer(text, return_tensors="pt")
            mean = original.base_model(**inputs).last_hidden_state[0].mean(0).numpy()
            turns.append(1 - float(embedded[row] @ (mean / np.linalg.norm(mean))))
            if logits is not None:
                both = torch.stack([original(**inputs).logits[0], torch.tensor(logits[row])])
                likely = both.sigmoid() if ours.multi_label else both.softmax(-1)
                moves.append(float((likely[0] - likely[1]).abs().max()))
    ours.close()
    return Difference(sum(turns) / len(turns), sum(moves) / max(len(moves) - 1, 1))


def _original(model: LocalModel) -> Any:
    """The model in transformers, in float32, with its head where it has one."""
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    classifies = kind(model) == "classifier"
    load = AutoModelForSequenceClassification if classifies else AutoModel
    original, told = load.from_pretrained(
        model.folder,
        dtype=torch.float32,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
    )
    missing = [name for name in told["missing_keys"] if classifies or "pooler" not in name]
    if missing:
        raise LookupError(f"its weights lack {min(missing)}")
    return original.eval()


def _keep_head(original: Any, folder: Path) -> str:
    """Write the head's weights into `folder`; its activation."""
    from safetensors.torch import save_file

    from nlpcli.backends.ct2.encoder import HEAD

    architecture = original.config.model_type
    dense, out, activation = _HEADS.get(architecture, _HEADS["roberta"])
    layers = {"dense": original.get_submodule(dense), "out": original.get_submodule(out)}
    save_file(
        {
            f"{name}.{part}": getattr(layer, part).detach().contiguous().clone()
            for name, layer in layers.items()
            for part in ("weight", "bias")
        },
        folder / HEAD,
    )
    return activation


def _refusal(found: Difference) -> str | None:
    if found.turn > GREATEST_TURN:
        return f"embeddings turn by {found.turn:.3f}"
    if found.move > GREATEST_MOVE:
        return f"probabilities move by {found.move:.3f}"
    return None
