"""Talks to the Hugging Face Hub, quietly; its failures become one line each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nlpcli.errors import ModelError
from nlpcli.registry import ModelSpec, Source
from nlpcli.registry.folder import gguf_choice, gguf_files

_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "*vocab*.json",
    "*vocab*.txt",
    "merges.txt",
    "*.spm",
    "*.model",
    "chat_template*",
    "sentence_bert_config.json",
)


def choose(source: Source, names: Sequence[str]) -> list[str]:
    """Of a repository's files those that a model needs: configuration, tokenizer and one set of
    weights, safetensors where there are any. Raises ModelError where there are none."""
    from fnmatch import fnmatchcase

    def matching(*patterns: str) -> list[str]:
        return [name for name in top if any(fnmatchcase(name, each) for each in patterns)]

    top = [name for name in names if "/" not in name]
    if source.files:
        return _gguf(source, top)
    for stem, ending in (("model", "safetensors"), ("pytorch_model", "bin")):
        weights = [name for name in top if name == f"{stem}.{ending}"] or matching(
            f"{stem}-*-of-*.{ending}", f"{stem}.{ending}.index.json"
        )
        if weights:
            break
    else:
        if gguf_files(top):
            return _gguf(source, top)
        raise ModelError(
            f"{source.location}: no weights that nlpcli reads",
            "it needs safetensors, GGUF, or a pytorch_model.bin that holds only tensors",
        )
    return sorted({*weights, *matching(*_SMALL_FILES)})


def _gguf(source: Source, names: list[str]) -> list[str]:
    """Of `names` the files of the GGUF model that is chosen, or alone."""
    try:
        return gguf_choice(names, *source.files)
    except ModelError as error:
        raise ModelError(f"{source.location}: {error.message}", error.hint) from None


def listing(source: Source) -> tuple[str, dict[str, str], str]:
    """The newest commit of the branch, each file's sha256 ("" where the Hub states none), and the
    licence that its model card names."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(
        source.location, revision=source.revision or "main", files_metadata=True
    )
    siblings = info.siblings or []
    stated = {each.rfilename: each.lfs.sha256 if each.lfs else "" for each in siblings}
    licence = str(getattr(info.card_data, "license", None) or "")
    return str(info.sha), stated, licence


def cache_of(source: Source) -> Path:
    """The repository's folder in the Hub's shared cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{source.location.replace('/', '--')}"


def download(spec: ModelSpec, source: Source, commit: str, names: list[str]) -> Path:
    """Bring the files `names` of `commit` into the Hub's cache; the folder they are in."""
    from huggingface_hub import snapshot_download

    from nlpcli.store.progress import watching

    with watching(f"pulling {spec.name}", spec.size, cache_of(source) / "blobs"):
        folder = snapshot_download(
            source.location,
            revision=commit,
            cache_dir=cache_of(source).parent,
            allow_patterns=[_literal(name) for name in names],
            library_name="nlpcli",
        )
    return Path(folder)


def _literal(name: str) -> str:
    """A pattern that matches `name` alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


@contextmanager
def quietly(source: Source) -> Iterator[None]:
    """Keep the Hub client's own words off the terminal, and turn its failures into ModelError."""
    import logging
    import warnings

    from huggingface_hub.utils.tqdm import disable_progress_bars

    # Our own bar shows the progress.
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ModelError:
        raise
    except Exception as error:
        raise _failure(source, error) from error


def _failure(source: Source, error: BaseException) -> ModelError:
    from huggingface_hub import constants, errors

    causes = [error]
    while causes[-1].__cause__ or causes[-1].__context__:
        causes.append(causes[-1].__cause__ or causes[-1].__context__ or error)
    refused = (errors.RepositoryNotFoundError, errors.GatedRepoError)
    for cause in causes:
        status = getattr(getattr(cause, "response", None), "status_code", 0)
        if isinstance(cause, errors.RevisionNotFoundError):
            return ModelError(
                f"{source.location}: the Hub has no revision {source.revision or 'main'} of it",
                "name another one: nlpcli models add NAME ORG/NAME@REVISION",
            )
        if isinstance(cause, refused) or status in (401, 403):
            return ModelError(
                f"{source.location}: gated, private, or no such repository on the Hub",
                "check the name; for a gated or private one set HF_TOKEN to a token that may read",
            )
    words = _redacted(str(causes[-1])) or type(error).__name__
    return ModelError(
        f"{source.location}: cannot be downloaded from {_redacted(constants.ENDPOINT)}: {words}",
        "check the network, HF_ENDPOINT and the proxy settings, then try again",
    )


def _redacted(text: str) -> str:
    """The first line of `text` without anything secret."""
    import re

    from huggingface_hub import get_token

    line = next(iter(text.strip().splitlines()), "")
    for secret in filter(None, (os.environ.get("HF_TOKEN"), get_token())):
        line = line.replace(secret, "…")
    return re.sub(r"//[^/@\s]+@", "//", line)
