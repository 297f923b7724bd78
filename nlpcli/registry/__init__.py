"""Model names: what a model is, and where each name was found.

Knows nothing of downloading. A pulled model's folder carries its own description, so that the
usual start reads one small JSON file and never parses the catalogue.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from nlpcli import __version__
from nlpcli.errors import ModelError, UsageError
from nlpcli.registry.files import (
    SPEC_FILE,
    children,
    conversions_folder,
    copy_folder,
    derived_folders,
    entry_file,
    own_folder,
    quoted,
    read_description,
    read_entry,
    read_json,
    store_folder,
    unquoted,
    user_names,
    write_entry,
    write_json,
)
from nlpcli.registry.spec import (
    LANGUAGE_TASKS,
    Found,
    LocalModel,
    ModelSpec,
    Source,
    from_json,
    tasks_of,
    to_json,
)
from nlpcli.settings import cache_dir

__all__ = [
    "OPENAI",
    "ORIGINS",
    "SPEC_FILE",
    "Found",
    "LocalModel",
    "ModelSpec",
    "Source",
    "bergamot",
    "catalogue",
    "check_name",
    "conversions_folder",
    "copy_folder",
    "derived_folders",
    "entry_file",
    "find",
    "for_pair",
    "from_json",
    "hub_pair",
    "is_name",
    "known",
    "many_languages",
    "names",
    "nearest_names",
    "on_hub",
    "own_folder",
    "pulled_names",
    "quoted",
    "read_description",
    "read_entry",
    "read_json",
    "store_folder",
    "tasks_of",
    "to_json",
    "user_names",
    "write_entry",
    "write_json",
]

ORIGINS = {
    "path": "a folder or file",
    "user": "the user's registry",
    "catalogue": "the built-in catalogue",
    "hub": "the Hugging Face Hub",
    "firefox": "Firefox Translations",
    "openai": "an OpenAI-compatible server",
}
OPENAI = "openai:"
"""What the names of models on an OpenAI-compatible server begin with."""

# Not compiled here: the usual start needs none of them.
_WORD = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_NAME = f"{_WORD}(/{_WORD}(:{_WORD})?)?"
_TAG = r"([a-z]{2,3}(?:-[A-Z][a-z]{3})?)"
_BERGAMOT = f"bergamot-{_TAG}-{_TAG}"
_OPUS = f"Helsinki-NLP/opus-mt-(?:tc-(?:base|big)-)?{_TAG}-{_TAG}"


def is_name(text: str) -> bool:
    """Whether `text` can name a model: it is also a safe file name once `quoted`."""
    if text.isascii() and text.replace("-", "").isalnum():
        return text[0] != "-"
    return bool(re.fullmatch(_NAME, text)) and ".." not in text


def check_name(name: str) -> None:
    """Raises UsageError where `name` cannot name a model."""
    if not is_name(name) or ":" in name:
        raise UsageError(
            f"{name}: not a model name",
            "use letters, digits, `.`, `-` and `_`, and one `/` at most",
        )


def find(name: str) -> Found:
    """The model called `name`. Raises ModelError naming the nearest where there is none.

    Tried in order: a folder or file; the user's registry; the catalogue; `bergamot-XX-YY` from
    Firefox Translations; `org/name` on the Hub, with `:FILE` or `:QUANTIZATION` for one of several
    GGUF models, and `openai:NAME` on a server, both without asking whether it exists.
    """
    found = _at_path(name) or known(name)
    if found:
        return found
    if name.startswith(OPENAI):
        return Found(_on_server(name), "openai")
    if name.count("/") == 1 and is_name(name):
        return Found(on_hub(name), "hub")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or os.path.lexists(name):
        raise ModelError(f"no model in {name}", "name a folder that holds a model's files")
    near = nearest_names(name)
    hint = f"did you mean {' or '.join(near)}?" if near else "`nlpcli models list` shows them all"
    raise ModelError(f"no model called {name}", hint)


def known(name: str) -> Found | None:
    """The model called `name` in the user's registry, the store, the catalogue or Firefox's
    naming scheme; None where nlpcli does not know it. Raises ModelError where what it wrote of the
    model is damaged."""
    if not is_name(name):
        return None
    own = own_folder(name)
    described = read_description(own / SPEC_FILE)
    if described:
        spec: ModelSpec = described["spec"]
        return Found(spec._replace(name=name, sources=(Source("path", str(own)),)), "user")
    # An added name always holds; a copy of a catalogue entry only for the version that wrote it.
    for described in (read_entry(name), read_description(store_folder(name) / SPEC_FILE)):
        origin = described.get("origin", "")
        if origin in ("user", "hub", "firefox") or (
            origin == "catalogue" and described.get("nlpcli") == __version__
        ):
            return Found(described["spec"], origin)
    spec_or_none = catalogue().get(name) or _by_repository().get(name)
    if spec_or_none:
        return Found(spec_or_none, "catalogue")
    pair = re.fullmatch(_BERGAMOT, name)
    if pair and pair[1] != pair[2]:
        return Found(bergamot(pair[1], pair[2]), "firefox")
    return None


def for_pair(source: str, target: str) -> ModelSpec | None:
    """The model to prefer for `source` to `target` (BCP 47): a Firefox Translations model that is
    built in or already pulled, else one of the user's own for that direction."""
    name = f"bergamot-{source}-{target}"
    described = read_description(store_folder(name) / SPEC_FILE)
    kept: ModelSpec | None = described.get("spec")
    if kept and described.get("nlpcli") == __version__:
        return kept
    found = catalogue().get(name) or kept
    if found:
        return found
    for own in user_names():
        candidate = _intact(own)
        if (
            candidate
            and candidate.origin == "user"
            and candidate.spec.languages == (source, target)
            and "translate" in candidate.spec.tasks
        ):
            return candidate.spec
    return None


def hub_pair(source: str, target: str) -> ModelSpec | None:
    """The catalogue's Hub model made for `source` to `target` alone, if there is one."""
    for name, spec in catalogue().items():
        if spec.languages == (source, target) and spec.sources[0].kind == "hub":
            entry = known(name)
            return entry.spec if entry else spec
    return None


def many_languages() -> list[ModelSpec]:
    """The models that translate between many languages, those to prefer first: the user's own,
    then the catalogue's in its order."""
    own = [found for name in user_names() if (found := _intact(name)) and found.origin == "user"]
    others = [found for name in catalogue() if (found := _intact(name)) and found.origin != "user"]
    return [
        spec for spec, _ in own + others if len(spec.languages) > 2 and "translate" in spec.tasks
    ]


def bergamot(source: str, target: str) -> ModelSpec:
    """The Firefox Translations model for a pair, whether or not there is one."""
    return ModelSpec(
        name=f"bergamot-{source}-{target}",
        tasks=("translate",),
        format="bergamot",
        sources=(Source("firefox", f"{source}-{target}"),),
        licence="MPL-2.0",
        languages=(source, target),
        summary="Firefox Translations",
    )


def on_hub(repository: str, revision: str = "main") -> ModelSpec:
    """A model of which only its Hub repository is known; the rest is learnt at the first pull.

    `org/name:CHOICE` is a GGUF model in it, by file or quantization.
    """
    location, _, choice = repository.partition(":")
    pair = re.fullmatch(_OPUS, location)
    return ModelSpec(
        name=repository,
        tasks=("translate",) if pair else (),
        format="gguf" if choice or location.lower().endswith("gguf") else "transformers",
        sources=(Source("hub", location, revision, files=(choice,) if choice else ()),),
        architecture="marian" if pair else "",
        languages=(pair[1], pair[2]) if pair else (),
    )


def _on_server(name: str) -> ModelSpec:
    """`openai:NAME`, of which only the server knows more. Raises ModelError without a NAME."""
    location = name.removeprefix(OPENAI)
    if not location.strip() or not location.isprintable():
        raise ModelError(f"no model called {name}", "name the server's model: openai:NAME")
    return ModelSpec(name, LANGUAGE_TASKS, "openai", (Source("openai", location),))


def pulled_names() -> list[str]:
    """The models that were pulled, added or made on this machine, sorted."""
    found = {
        unquoted(folder.name)
        for folder in children(cache_dir() / "models")
        if (folder / SPEC_FILE).exists()
    }
    return sorted(found.union(user_names()))


def names(task: str | None = None) -> list[str]:
    """Every name that needs no look-up elsewhere, sorted; those for `task` where given."""
    own = pulled_names()
    specs = {**catalogue(), **{name: found.spec for name in own if (found := _intact(name))}}
    return sorted(name for name, spec in specs.items() if task is None or task in spec.tasks)


def _intact(name: str) -> Found | None:
    """As `known`, but a damaged entry counts as none: one bad file must not stop the others."""
    try:
        return known(name)
    except ModelError:
        return None


def nearest_names(name: str, limit: int = 3) -> list[str]:
    """The known names most like `name`, best first; swapped neighbours count as one slip."""
    from nlpcli.errors import nearest

    every = names()
    # Among the many pairs difflib's ratio ties, and its own order would hide the likely ones.
    close = sorted(
        enumerate(nearest(name, every, 40)), key=lambda item: (_slips(name, item[1]), item[0])
    )
    longer = [other for other in every if other.startswith(name)]
    return list(dict.fromkeys([*longer, *(other for _, other in close)]))[:limit]


@cache
def catalogue() -> dict[str, ModelSpec]:
    """The built-in models by name."""
    from nlpcli.catalogue import entries

    return {fields["name"]: from_json(fields) for fields in entries()}


@cache
def _by_repository() -> dict[str, ModelSpec]:
    return {spec.sources[0].location: spec for spec in catalogue().values()}


def _slips(name: str, other: str) -> int:
    """0 for the same letters in another order (a swap), 1 for anything else."""
    return int(sorted(name) != sorted(other))


def _at_path(name: str) -> Found | None:
    if not os.path.lexists(os.path.expanduser(name)):
        return None
    from nlpcli.registry.folder import describe

    spec = describe(Path(name).expanduser())
    return Found(spec, "path") if spec else None
