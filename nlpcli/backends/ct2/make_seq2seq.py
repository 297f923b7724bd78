"""Encoder-decoder models to CTranslate2: the weights, the tokenizer and the recipe."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from nlpcli.backends import recipe, tokenize
from nlpcli.backends.ct2 import int8, loader
from nlpcli.registry import LocalModel


def make(model: LocalModel, dtype: str, folder: Path) -> str | None:
    """Convert `model` into `folder`; why int8 is to be refused, None where it is not."""
    converter = loader.converter(str(model.folder))
    converter.convert(str(folder), quantization=dtype, force=True)
    names = list(converter.names)
    made = replace(recipe.of_model(converter.model, converter.tokenizer, names), dtype=dtype)
    _finish(folder, made, converter.tokenizer)
    del converter.model  # quantization has overwritten its weights
    refused = int8.refusal(folder, made, names, converter.load()) if dtype == "int8" else None
    made.write(folder)
    return refused


def _finish(folder: Path, made: recipe.Recipe, tokenizer: Any) -> None:
    """Put the tokenizer into `folder`, and the start token that generation really uses."""
    if hasattr(tokenizer, "backend_tokenizer"):
        tokenizer.backend_tokenizer.save(str(folder / tokenize.TOKENIZER))
    else:
        shutil.copyfile(tokenize.source_model(tokenizer), folder / tokenize.SOURCE_MODEL)
    if made.architecture != "marian":  # there the start is a zero vector
        file = folder / "config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        config["decoder_start_token"] = made.start
        # mBART-50's tokenizer has no such token, and CTranslate2 does not load a null.
        config["bos_token"] = config["bos_token"] or made.start
        file.write_text(json.dumps(config, ensure_ascii=False, indent=1), encoding="utf-8")
