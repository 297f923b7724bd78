"""Models from the Hugging Face Hub, in its shared cache, pinned by commit and hash at first pull.

huggingface_hub is imported only to download: a pinned model is found by the entry in the user's
registry and a look at its files' sizes and times.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlpcli import __version__, registry
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec, Source
from nlpcli.registry.folder import gguf_files, with_header
from nlpcli.store import place

Pin = dict[str, Any]
"""`repository`, `commit`, `folder`, `files` (stamps); `copy` too where the weights are pickled.

`adopted`: another program put the files there. `unlisted`: the Hub was not asked which there are.
"""

_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")
_WITH_WORDS = (".spm", ".model", ".gguf")


def pinned(spec: ModelSpec, pin: Pin) -> LocalModel | None:
    """The model as it was pinned, None where its files are gone. Raises ModelError if changed."""
    kept = pin.get("copy", pin)
    folder = Path(kept["folder"])
    if not folder.is_dir():
        return None
    if not place.untouched(folder, kept["files"]):
        wrong = place.changed(folder, kept["files"], thorough=True)
        if any(os.path.lexists(folder / name) for name in wrong):
            raise place.changed_error(spec.name, folder, wrong)
        if wrong:
            return None
        kept["files"] = place.stamp(folder, kept["files"])
    elif registry.read_entry(spec.name).get("nlpcli") == __version__:
        return _local(spec, folder, kept["files"])
    # What was learnt is noted, or the next start would learn it again.
    with suppress(OSError):
        _note(spec, pin)
    return _local(spec, folder, kept["files"])


def pull(spec: ModelSpec, source: Source) -> LocalModel:
    """Download what the model needs, verify it and pin it; a pinned model stays at its commit.

    Raises ModelError: no such repository or no right to it, no network, no weights that nlpcli
    reads, weights that hold code, or content that is not what was pinned.
    """
    with place.exclusive(spec.name):
        pin: Pin | None = registry.read_entry(spec.name).get("pin")
        if pin and pin["repository"] != source.location:
            raise ModelError(
                f"{spec.name}: pinned to another repository: {pin['repository']}",
                f"nlpcli models remove {spec.name}, then pull it again",
            )
        if pin and not pin.get("unlisted") and (model := pinned(spec, pin)):
            return model
        from nlpcli.store import hubclient

        with hubclient.quietly(source):
            stated: dict[str, str] = {}
            if pin and not pin.get("unlisted"):
                commit, names = str(pin["commit"]), sorted(pin["files"])
            else:
                asked = source._replace(revision=pin["commit"]) if pin else source
                commit, stated, licence = hubclient.listing(asked)
                names = hubclient.choose(source, list(stated))
                spec = spec._replace(licence=spec.licence or licence)
            folder = hubclient.download(spec, source, commit, names)
        found = place.stamp(folder, names)
        wrong = _differing(pin, stated, found)
        if wrong:
            _delete(folder, wrong)
            raise _refusal(spec, source, pin, wrong[0])
        flags = {"adopted": True} if pin and pin.get("adopted") else {}
        return _pin(spec, source, commit, folder, found, flags)


def adopt(spec: ModelSpec, source: Source) -> LocalModel | None:
    """Pin what the Hub's cache already holds, without a network; None where it is not complete."""
    from nlpcli.store import hubclient

    with place.exclusive(spec.name):
        pin: Pin | None = registry.read_entry(spec.name).get("pin")
        cache = hubclient.cache_of(source)
        try:
            commit = pin["commit"] if pin else source.revision or "main"
            if (cache / "refs" / commit).is_file():
                commit = (cache / "refs" / commit).read_text().strip()
            folder = cache / "snapshots" / commit
            names = sorted(pin["files"]) if pin else hubclient.choose(source, os.listdir(folder))
            for name in names:
                if name.endswith(".index.json"):
                    shards = registry.read_json(folder / name).get("weight_map", {})
                    names = sorted({*names, *shards.values()})
            found = place.stamp(folder, names)
        except (ModelError, OSError):
            return None
        if not any(name in _TOKENIZERS or name.endswith(_WITH_WORDS) for name in names):
            return None
        wrong = _differing(pin, {}, found)
        if wrong:
            raise _refusal(spec, source, pin, wrong[0])
        flags = {"adopted": True, "unlisted": True}
        if pin:
            flags = {key: True for key in flags if pin.get(key)}
        return _pin(spec, source, commit, folder, found, flags)


def discard_changed(spec: ModelSpec) -> bool:
    """Delete the pinned files whose content changed, so that they are fetched anew."""
    pin: Pin | None = registry.read_entry(spec.name).get("pin")
    if not pin:
        return False
    discarded = False
    if "copy" in pin and place.changed(
        Path(pin["copy"]["folder"]), pin["copy"]["files"], thorough=False
    ):
        discarded = place.discard(Path(pin["copy"]["folder"]))
    folder = Path(pin["folder"])
    wrong = place.changed(folder, pin["files"], thorough=False)
    _delete(folder, wrong)
    return discarded or bool(wrong)


def wrong_files(pin: Pin) -> list[str] | None:
    """The pinned files whose content is wrong, every byte read; None where it is not here."""
    kept = pin.get("copy", pin)
    if not Path(kept["folder"]).is_dir():
        return None
    return place.changed(Path(kept["folder"]), kept["files"], thorough=True)


def remove(name: str, pin: Pin) -> bool:
    """Delete the pinned revision from the Hub's cache, unless it was adopted or another name pins
    it too; whether it was there."""
    if pin.get("adopted"):
        return False
    for other in registry.user_names():
        same = _pin_of(other) if other != name else {}
        if (same.get("repository"), same.get("commit")) == (pin["repository"], pin["commit"]):
            return False
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir(Path(pin["folder"]).parents[2])
    except (CacheNotFound, IndexError):
        return False
    there = {
        revision.commit_hash
        for repository in cache.repos
        if repository.repo_id == pin["repository"] and repository.repo_type == "model"
        for revision in repository.revisions
    }
    if pin["commit"] not in there:
        return False
    cache.delete_revisions(pin["commit"]).execute()
    return True


def _pin_of(name: str) -> Pin:
    try:
        return registry.read_entry(name).get("pin") or {}
    except ModelError:
        return {}


def _differing(pin: Pin | None, stated: dict[str, str], found: place.Stamps) -> list[str]:
    """The files `found` that are not what was pinned or stated."""
    expected = stated | {name: stamp[0] for name, stamp in (pin["files"] if pin else {}).items()}
    return [name for name, stamp in found.items() if expected.get(name, "") not in ("", stamp[0])]


def _refusal(spec: ModelSpec, source: Source, pin: Pin | None, name: str) -> ModelError:
    return ModelError(
        f"{spec.name}: {name} from {source.location} is not the file that was "
        + ("pinned" if pin else "announced")
        + " (its sha256 differs)",
        f"if you trust the new content: nlpcli models remove {spec.name}, then pull it again",
    )


def _pin(
    spec: ModelSpec,
    source: Source,
    commit: str,
    folder: Path,
    found: place.Stamps,
    flags: dict[str, bool],
) -> LocalModel:
    """Write the pin, with a safetensors copy of pickled weights; the model as it is to be used."""
    from nlpcli.store import weights

    pin: Pin = {
        "repository": source.location,
        "commit": commit,
        "folder": str(folder),
        "files": found,
        **flags,
    }
    if any(name.endswith(".bin") and name.startswith("pytorch_model") for name in found):
        # Not beside the original: the Hub's cache is shared with other programs.
        target = registry.copy_folder(spec.name, commit)
        copies = weights.safe_copy(spec.name, folder, sorted(found), target)
        pin["copy"] = {"folder": str(target), "files": copies}
    if ggufs := gguf_files(found):
        read = with_header(folder / ggufs[0], spec._replace(format="gguf"))
        spec = read._replace(tasks=spec.tasks or read.tasks)
    else:
        spec = spec._replace(format="transformers")
    config = registry.read_json(folder / "config.json") if not ggufs else {}
    architecture = str(config.get("model_type", "")) or spec.architecture
    spec = spec._replace(
        architecture=architecture,
        tasks=spec.tasks or registry.tasks_of(config, list(found)),
        size=sum(size for _, size, _ in found.values()),
        files=tuple((name, sha256) for name, (sha256, _, _) in found.items()),
    )
    _note(spec, pin)
    return _local(spec, Path(pin.get("copy", pin)["folder"]), found)


def _local(spec: ModelSpec, folder: Path, files: Iterable[str]) -> LocalModel:
    """The model in a snapshot, where other GGUF models may lie beside it."""
    ggufs = gguf_files(list(files)) if spec.format == "gguf" else []
    return LocalModel(spec, folder / ggufs[0] if ggufs else folder)


def _note(spec: ModelSpec, pin: Pin) -> None:
    """Write the pin to the user's registry."""
    origin = registry.read_entry(spec.name).get("origin")
    if not origin:
        origin = "catalogue" if spec.name in registry.catalogue() else "hub"
    registry.write_entry(spec, origin, pin)


def _delete(folder: Path, names: Sequence[str]) -> None:
    """Remove `names` from a snapshot, and the blobs that they point to."""
    for name in names:
        path = folder / name
        blob = path.resolve()
        for each in (path, blob):
            each.unlink(missing_ok=True)
