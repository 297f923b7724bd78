"""Where files are kept, and a configuration that is missing, wrong or unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpcli import settings
from nlpcli.errors import ExitCode, UsageError
from nlpcli.settings import cache_dir, config_file, data_dir, read_config


def test_folders_follow_the_xdg_variables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == home / "cache" / "nlpcli"
    assert data_dir() == home / "data" / "nlpcli"
    assert config_file() == home / "config" / "nlpcli" / "config.toml"
    for value in ("", "relative/path"):
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.setenv(name, value)
        assert cache_dir() == home / ".cache" / "nlpcli"
        assert data_dir() == home / ".local" / "share" / "nlpcli"
        assert config_file() == home / ".config" / "nlpcli" / "config.toml"


def test_asking_for_folders_makes_none(home: Path) -> None:
    before = sorted(home.rglob("*"))
    cache_dir(), data_dir(), config_file(), read_config()
    assert sorted(home.rglob("*")) == before


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(settings.Path, "home", homeless)
    assert cache_dir().name == "nlpcli"
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(UsageError, match="no home folder") as caught:
        cache_dir()
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_a_configuration(home: Path) -> None:
    assert read_config() == {}
    path = config_file()
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbfdevice = 'cpu'\r\n[translate]\nbeam = 4\n")
    assert read_config() == {"device": "cpu", "translate": {"beam": 4}}
    assert read_config(home / "other.toml") == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"device = \n", "not valid TOML: .*line 1"),
        (b"device = 'cpu'\ndevice = 'cuda'\n", "not valid TOML: .*line 2"),
        (b"name = '\xff'\n", "not valid UTF-8"),
    ],
)
def test_a_wrong_configuration_is_named(content: bytes, problem: str) -> None:
    path = config_file()
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"{path}: {problem}") as caught:
        read_config()
    assert caught.value.code == ExitCode.USAGE


def test_an_unreadable_configuration_is_named() -> None:
    config_file().mkdir(parents=True)
    with pytest.raises(UsageError, match=r"config.toml: cannot be read: Is a directory"):
        read_config()
