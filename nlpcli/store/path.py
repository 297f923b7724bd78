"""Models that lie in a folder or file of the user's own; they are used where they are."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec


def local(spec: ModelSpec) -> LocalModel:
    """The model where it lies; weights that are only pickled are read from a safe copy of ours.

    Raises ModelError where the folder is gone, or its weights file holds code.
    """
    folder = Path(spec.sources[0].location)
    if not folder.exists():
        raise ModelError(f"{spec.name}: {folder} is gone", f"nlpcli models remove {spec.name}")
    if spec.format == "transformers":
        from nlpcli.store import weights

        folder = weights.safe_folder(spec.name, folder)
    return LocalModel(spec, folder)


def hashed(spec: ModelSpec) -> ModelSpec:
    """`spec` with the sha256 of each file that the model consists of."""
    from nlpcli.store import hubclient, place

    (source,), at = spec.sources, Path(spec.sources[0].location)
    names = [at.name]
    if at.is_dir():
        names = sorted(file.name for file in at.iterdir() if file.is_file())
        if spec.format == "transformers":
            with suppress(ModelError):  # no weights in it yet
                names = hubclient.choose(source, names)
    stamps = place.stamp(at if at.is_dir() else at.parent, names)
    return spec._replace(files=tuple((name, stamp[0]) for name, stamp in stamps.items()))


def wrong_files(spec: ModelSpec) -> list[str] | None:
    """The files that differ from those hashed when the model was added; None where none were."""
    from nlpcli.store import place

    at = Path(spec.sources[0].location)
    folder = at if at.is_dir() else at.parent
    wrong = [
        name
        for name, sha256 in spec.files
        if not (folder / name).is_file() or place.sha256_of(folder / name) != sha256
    ]
    return wrong if spec.files else None
