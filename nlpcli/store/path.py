"""Models that lie in a folder or file of the user's own; they are used where they are."""

from __future__ import annotations

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
