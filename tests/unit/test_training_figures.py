"""The figures of what was read."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpcli.training.data import Fields, Sources, read
from nlpcli.training.figures import rows


def test_what_was_read_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text,label\none two,x\nthree,x\nfour five six,y\n,y\nseven,y\n")
    Path("v.csv").write_text("text,label\nseven,x\n")
    sources = Sources(["a.csv"], ["v.csv"])
    found = read("classify", sources, Fields(), on_error="skip", duplicates="drop")
    assert rows(found) == [
        ("", "train", "valid"),
        ("records", "3", "1"),
        ("labels", "2", "1"),
        ("most frequent label", "x, 66.7 %", "x, 100.0 %"),
        ("longest, words", "3", "1"),
        ("mean, words", "2.0", "1.0"),
        ("left out: empty", "1", ""),
        ("left out: duplicate", "1", ""),
    ]


def test_figures_of_no_records_are_not_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("one two\nthree\n")
    assert rows(read("generate", Sources(["a.txt"]), Fields(), valid_share=0.0)) == [
        ("", "train", "valid"),
        ("records", "2", "0"),
        ("longest target, words", "2", "–"),
        ("mean target, words", "1.5", "–"),
    ]
