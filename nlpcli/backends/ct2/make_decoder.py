"""Decoder-only models to CTranslate2: the weights, the tokenizer and what prompts need.

Every conversion is checked: the converted model scores what it writes itself, and the original
says how likely that is. A conversion to floats that disagrees computes another model (CTranslate2
silently drops some kinds of rotary scaling, for one) and is an error; int8 is refused by the bounds
that hold for translation too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nlpcli.backends import Message, Request, prompt, recipe, tokenize
from nlpcli.backends.ct2 import int8, loader
from nlpcli.registry import LocalModel

_GREATEST_DIFFERENCE = 0.02  # nats, between float32 here and float32 there; it is below 1e-4


def make(model: LocalModel, dtype: str, folder: Path) -> str | None:
    """Convert `model` into `folder`; why int8 is to be refused, None where it is not."""
    converter = loader.converter(str(model.folder))
    converter.convert(str(folder), quantization=dtype, force=True)
    tokenizer = converter.tokenizer
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise NotImplementedError("its tokenizer needs transformers")
    tokenizer.backend_tokenizer.save(str(folder / tokenize.TOKENIZER))
    form = prompt.of_tokenizer(tokenizer)
    settings = converter.model.config.get_text_config()
    made: dict[str, Any] = {
        "kind": "decoder",
        "architecture": converter.model.config.model_type,
        "dtype": dtype,
        "window": window(settings),
        "ends": prompt.end_ids(converter.model, tokenizer, form.template),
        "format": form.to_json(),
    }
    names = list(converter.names)
    _fill(folder / "config.json", names, made)
    del converter.model  # the loaders take it apart as they go
    change, regret = _compare(folder, made, names, converter.load())
    if dtype == "int8":
        if change > int8.GREATEST_CHANGE or regret > int8.GREATEST_REGRET:
            return int8.reason(change, regret)
    elif dtype == "float32" and change > _GREATEST_DIFFERENCE:
        raise NotImplementedError("its probabilities come out different there")
    write(folder, made)
    return None


def _fill(file: Path, names: list[str], made: dict[str, Any]) -> None:
    """CTranslate2 does not load a configuration with nulls, though no such token is ever used:
    prompts begin, and outputs end, with the ids that they are given."""
    config = json.loads(file.read_text(encoding="utf-8"))
    some = names[made["ends"][0] if made["ends"] else 0]
    filled = {
        key: some if value is None and key.endswith("_token") else value
        for key, value in config.items()
    }
    file.write_text(json.dumps(filled, ensure_ascii=False, indent=1), encoding="utf-8")


def write(folder: Path, made: dict[str, Any]) -> None:
    text = json.dumps(made, ensure_ascii=False, indent=1)
    (folder / recipe.FILE).write_text(text + "\n", encoding="utf-8")


def window(settings: Any) -> int:
    """The longest sequence of a decoder, prompt and output, in tokens."""
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
        if getattr(settings, name, None):
            return int(getattr(settings, name))
    return 2048  # its positions are relative, and it names no length


def _compare(
    folder: Path, made: dict[str, Any], names: list[str], model: Any
) -> tuple[float, float]:
    """The mean change of a token's log-probability (natural), and the mean regret (see int8)."""
    import ctranslate2
    import torch
    from tokenizers import Tokenizer

    prompts = prompt.Prompts(
        Tokenizer.from_file(str(folder / tokenize.TOKENIZER)), prompt.from_json(made["format"])
    )
    rows = [prompts.encode(Request("", messages=(Message("user", s),))) for s in int8.SENTENCES]
    generator = ctranslate2.Generator(str(folder), compute_type=made["dtype"])
    found = generator.generate_batch(
        [[names[index] for index in ids] for ids in rows],
        max_length=int8.OUTPUT_TOKENS,
        end_token=made["ends"],
        return_end_token=True,
        include_prompt_in_result=False,
    )
    outputs = [result.sequences_ids[0] for result in found]
    rows = [ids + output for ids, output in zip(rows, outputs, strict=True)]
    scored = generator.score_batch([[names[index] for index in ids] for ids in rows])
    changes: list[float] = []
    regrets: list[float] = []
    with torch.inference_mode():
        for ids, output, ours in zip(rows, outputs, scored, strict=True):
            logits = model(input_ids=torch.tensor([ids[:-1]])).logits[0, -len(output) :]
            every = logits.float().log_softmax(-1)
            exact = every.gather(1, torch.tensor(output)[:, None])[:, 0]
            changes += (exact - torch.tensor(ours.log_probs[-len(output) :])).abs().tolist()
            regrets += (every.amax(-1) - exact).tolist()
    return sum(changes) / len(changes), sum(regrets) / len(regrets)
