"""From a transformers folder to a CTranslate2 folder, made once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nlpcli import registry
from nlpcli.backends import recipe, tokenize
from nlpcli.backends.ct2 import int8
from nlpcli.errors import ModelError
from nlpcli.notice import notice
from nlpcli.registry import LocalModel
from nlpcli.store import place

# Raised whenever what a converted folder holds changes, so that older ones are made again.
LAYOUT = 1
REFUSED = "refused.json"


def convert(model: LocalModel, dtype: str) -> Path:
    """The CTranslate2 folder of `model` with weights in `dtype`, made now if there is none.

    The folder holds model.bin with its config.json and shared_vocabulary.json, the tokenizer, and
    recipe.json; the recipe's dtype says what the weights are: where int8 changes the answers of a
    model too much, they are float32, which is said once. Two processes convert once, and
    one that is killed leaves nothing that the next would take for a model. Raises ModelError where
    CTranslate2 cannot express the model.
    """
    folder = _folder(model, dtype)
    if not _complete(folder):
        with place.exclusive(folder.parent.name):
            if not _complete(folder):
                notice(f"converting {model.spec.name} to CTranslate2 ({dtype}), once")
                with place.staging(folder) as staged:
                    _make(model, dtype, staged)
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


def _folder(model: LocalModel, dtype: str) -> Path:
    import ctranslate2

    identity: list[Any] = [LAYOUT, ctranslate2.__version__]
    for file in sorted(model.folder.iterdir()):
        if file.is_file():
            status = file.stat()
            identity.append([str(file.resolve()), status.st_size, status.st_mtime_ns])
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return registry.conversions_folder(model.spec.name) / f"{digest}-{dtype}"


def _make(model: LocalModel, dtype: str, folder: Path) -> None:
    """Convert into `folder`; where int8 is refused, leave nothing there but a note of it."""
    with quiet():
        try:
            check_kind(model)
            converter = _converter(str(model.folder))
            converter.convert(str(folder), quantization=dtype, force=True)
        except (
            ValueError,
            LookupError,
            AttributeError,
            ImportError,
            OSError,
            RuntimeError,
        ) as error:
            raise ModelError(
                f"CTranslate2 cannot use {model.spec.name}: {str(error).strip().splitlines()[0]}",
                "use --backend torch",
            ) from error
        names = list(converter.names)
        made = replace(recipe.of_model(converter.model, converter.tokenizer, names), dtype=dtype)
        _finish(folder, made, converter.tokenizer)
        del converter.model  # quantization has overwritten its weights
        refused = dtype == "int8" and int8.refusal(folder, made, names, converter.load())
    made.write(folder)
    if refused:
        notice(f"{model.spec.name}: int8 would change its answers ({refused}); using float32")
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / REFUSED).write_text(json.dumps({"int8": refused}) + "\n")


def check_kind(model: LocalModel) -> None:
    """Raises ModelError where the model has no encoder and decoder; else what transformers does."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        model.folder, local_files_only=True, trust_remote_code=False
    )
    if not config.is_encoder_decoder:
        raise ModelError(
            f"{model.spec.name} is not an encoder-decoder model (its type is {config.model_type})",
            "name one that translates: nlpcli models list --task translate",
        )


def _converter(folder: str) -> Any:
    from ctranslate2.converters import TransformersConverter

    class Converter(TransformersConverter):  # type: ignore[misc]
        """Keeps the loaded model and tokenizer, and mends what the loaders trip over."""

        def load_model(self, model_class: Any, path: str, **options: Any) -> Any:
            import torch

            options["dtype"] = torch.float32
            options["local_files_only"] = options["use_safetensors"] = True
            self._again = model_class, path, options
            self.model = self.load()
            # The loaders for BART, mBART and Pegasus read these two from the configuration,
            # where transformers 5 no longer keeps them.
            encoder = self.model.get_encoder()
            self.model.config.normalize_before = hasattr(encoder, "layer_norm")
            self.model.config.normalize_embedding = hasattr(encoder, "layernorm_embedding")
            # T5's loader scales the output if the embeddings are tied; transformers 5 ties them
            # always, keeps whether to scale by itself, and never scales mT5's.
            if self.model.config.model_type in ("t5", "mt5"):
                scaled = getattr(self.model.config, "scale_decoder_outputs", False)
                self.model.config.tie_word_embeddings = scaled
            return self.model

        def load(self) -> Any:
            model_class, path, options = self._again
            return model_class.from_pretrained(path, **options).eval()

        def load_tokenizer(self, tokenizer_class: Any, path: str, **options: Any) -> Any:
            self.tokenizer = tokenizer_class.from_pretrained(path, local_files_only=True, **options)
            if getattr(self.tokenizer, "separate_vocabs", False):
                raise NotImplementedError("it has separate vocabularies for source and target")
            self.names = token_names(self.tokenizer, self.model.config.vocab_size)
            return _LoaderTokenizer(self.tokenizer, self.names)

    return Converter(folder)


class _LoaderTokenizer:
    """A tokenizer as CTranslate2's loaders see it, with exactly one token per embedding row.

    With transformers 5 the loaders' own counting misses M2M100's language tokens.
    """

    num_madeup_words = 0
    special_tokens_map: dict[str, Any] = {}

    def __init__(self, tokenizer: Any, names: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._names = names

    def get_vocab(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self._names)}

    def convert_ids_to_tokens(self, index: int) -> str:
        return self._names[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def token_names(tokenizer: Any, size: int) -> list[str]:
    """The token of each id below `size`; made-up names where the tokenizer has none."""
    names: list[str | None] = [None] * size
    languages = getattr(tokenizer, "lang_token_to_id", {})
    for token, index in [*tokenizer.get_vocab().items(), *languages.items()]:
        if index < size:
            names[index] = token
    known = set(names)
    for index, found in enumerate(names):
        if found is None:
            name = f"<unused_{index}>"
            while name in known:
                name += "_"
            names[index] = name
    return [str(name) for name in names]


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
