"""From a transformers folder or a GGUF to a CTranslate2 folder, made once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from nlpcli import registry
from nlpcli.backends import recipe
from nlpcli.backends.choice import kind
from nlpcli.errors import ModelError
from nlpcli.notice import notice
from nlpcli.registry import LocalModel
from nlpcli.store import place

# Raised whenever what a converted folder holds changes, so that older ones are made again.
LAYOUT = 1
REFUSED = "refused.json"

# For each kind the module whose `make(model, dtype, folder)` fills the folder, recipe.json last,
# and says why int8 is to be refused (None where it is not).
MAKERS = {
    "seq2seq": "nlpcli.backends.ct2.make_seq2seq",
    "decoder": "nlpcli.backends.ct2.make_decoder",
    "encoder": "nlpcli.backends.ct2.make_encoder",
    "classifier": "nlpcli.backends.ct2.make_encoder",
}


def convert(model: LocalModel, dtype: str) -> Path:
    """The CTranslate2 folder of `model` with weights in `dtype`, made now if there is none.

    The folder holds model.bin with its config.json and vocabulary, the tokenizer, and
    recipe.json; the recipe's dtype says what the weights are: where int8 changes the answers of a
    model too much, they are float32, which is said once. Two processes convert once, and
    one that is killed leaves nothing that the next would take for a model. Raises ModelError where
    CTranslate2 cannot express the model.
    """
    folder = conversion(model, dtype)
    if not _complete(folder):
        source = model
        if model.spec.format == "gguf":
            from nlpcli.backends.gguf import unpacked

            source = unpacked(model)
        with place.exclusive(folder.parent.name):
            if not _complete(folder):
                notice(f"converting {model.spec.name} to CTranslate2 ({dtype}), once")
                with place.staging(folder) as staged:
                    _make(source, dtype, staged)
                    place.move(staged, folder)
    return convert(model, "float32") if (folder / REFUSED).exists() else folder


def _complete(folder: Path) -> bool:
    return (folder / recipe.FILE).exists() or (folder / REFUSED).exists()


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without progress bars, warnings and network."""
    import huggingface_hub.constants as hub
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    offline = hub.HF_HUB_OFFLINE
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    hub.HF_HUB_OFFLINE = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub.HF_HUB_OFFLINE = offline
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def conversion(model: LocalModel, dtype: str) -> Path:
    """Where the conversion of exactly these files lies, or will."""
    import ctranslate2

    identity: list[Any] = [LAYOUT, ctranslate2.__version__]
    folder = model.folder
    for file in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
        if file.is_file():
            status = file.stat()
            identity.append([str(file.resolve()), status.st_size, status.st_mtime_ns])
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return registry.conversions_folder(model.spec.name) / f"{digest}-{dtype}"


def _make(model: LocalModel, dtype: str, folder: Path) -> None:
    """Convert into `folder`; where int8 is refused, leave nothing there but a note of it."""
    try:
        with quiet():
            refused = import_module(MAKERS[kind(model)]).make(model, dtype, folder)
    except (ValueError, LookupError, AttributeError, ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"CTranslate2 cannot use {model.spec.name}: {str(error).strip().splitlines()[0]}",
            "use --backend torch",
        ) from error
    if refused:
        notice(f"{model.spec.name}: int8 would change its answers ({refused}); using float32")
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / REFUSED).write_text(json.dumps({"int8": refused}) + "\n")


def check_kind(model: LocalModel) -> None:
    """Raises ModelError where the model has no encoder and decoder."""
    if kind(model) != "seq2seq":
        architecture = registry.read_json(model.folder / "config.json").get("model_type")
        raise ModelError(
            f"{model.spec.name} is not an encoder-decoder model (its type is {architecture})",
            "name one that translates: nlpcli models list --task translate",
        )
