"""Tiny models, each built and converted once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tiny_models
from hub_server import Hub, point_at, serving
from nlpcli.registry import LocalModel, ModelSpec

VARIANTS: dict[str, Callable[[Path], Path]] = {
    **tiny_models.FAMILIES,
    "madlad": lambda folder: tiny_models.t5(folder, madlad=True),
    "many-targets": lambda folder: tiny_models.marian(folder, seed=23, targets=("por", "deu")),
}


def local(name: str, folder: Path) -> LocalModel:
    return LocalModel(ModelSpec(name, ("translate",), "transformers", ()), folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LocalModel]:
    """The tiny model of a family by name, built when first asked for."""
    root = tmp_path_factory.mktemp("tiny")

    def build(name: str) -> LocalModel:
        folder = root / name
        if not folder.exists():
            VARIANTS[name](folder)
        return local(name, folder)

    return build


@pytest.fixture(scope="session")
def _conversions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conversions")


@pytest.fixture
def shared_cache(_conversions: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that the tests share, so that each model is converted once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(_conversions))
    return _conversions


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Hub]:
    from huggingface_hub import _tree_cache, constants

    # The client reads its cache folder at import, and keeps listings in memory.
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "huggingface" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "huggingface" / "token"))
    monkeypatch.setattr(_tree_cache, "_IN_MEMORY_TREE_CACHE", {})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as served:
        point_at(served.url, monkeypatch)
        yield served
