"""Drawings of explanations: their width, their words, and nothing of the input that a terminal
obeys."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from nlpcli.cli import heatmap, shading
from nlpcli.cli.heatmap import HeatMaps, draw, terminal
from nlpcli.cli.svg import Page
from nlpcli.output import Output
from nlpcli.records import Record
from nlpcli.tasks.words import words

SGR = re.compile(r"\x1b\[[0-9;]*m")
SVG = "{http://www.w3.org/2000/svg}"
TEXTS = [
    "I loved this film, though the second half drags.",
    "Superb",
    "この映画はとても良いです。日本語の文章を説明します。撮影も音楽も素晴らしい。",
    "אהבתי את הסרט הזה מאוד. Hollywood classic جدا",
    "Loved 😀 👩‍👩‍👧 ❤️ 👍🏽 cafe\u0301 नमस्ते 🇵🇹!!!",
    'a\tb \x1b[31mred\x1b[0m \x9b5m \u202eevil\u202c <b>&amp;</b> "q" \x00 \ud800\nline\r\nend',
    "see https://example.com/" + "x" * 300 + "/end",
    " ".join(f"word{number}" for number in range(300)),
]


def explanation(text: str) -> dict[str, Any]:
    """Weights that differ from word to word, and an attention whose rows sum to one."""
    found = [
        {"word": text[a:b], "start": a, "end": b, "weight": (-1) ** n * 0.3 / (n + 1)}
        for n, (a, b) in enumerate(words(text))
    ]
    tokens = ["[CLS]", *(word["word"] for word in found), "[SEP]"]
    rows = [
        [1.0 + (row * column) % 7 for column in range(len(tokens))] for row in range(len(tokens))
    ]
    return {
        "label": "positive",
        "score": 0.9,
        "words": found,
        "attention": {
            "layer": "mean",
            "head": 3,
            "tokens": tokens,
            "weights": [[value / sum(row) for value in row] for row in rows],
        },
    }


def safe(drawn: str) -> bool:
    """Whether a terminal shows all of it and obeys none of it."""
    plain = SGR.sub("", drawn).replace("\n", "")
    return not any(unicodedata.category(c) in ("Cc", "Cs") or c == "\u202e" for c in plain)


@pytest.mark.parametrize("colours", [None, "256", "truecolor"])
@pytest.mark.parametrize("text", TEXTS)
def test_lines_fit_and_are_safe(text: str, colours: str | None) -> None:
    for width in (40, 80):
        drawn = draw(text, explanation(text), colours, width)
        assert safe(drawn)
        assert max(cell_len(SGR.sub("", line)) for line in drawn.split("\n")) <= width
        assert ("\x1b" in drawn) == (colours is not None)
        assert ("38;2;" in drawn) == (colours == "truecolor")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    drawn = draw(text, explanation(text), "truecolor")
    assert safe(drawn)
    assert max(cell_len(SGR.sub("", line)) for line in drawn.split("\n")) <= 80


def test_each_word_is_on_its_colour() -> None:
    drawn = draw("good but bad", explanation("good but bad"), "truecolor")
    strongest = ";".join(map(str, shading.weight_colour(1.0)))
    against = ";".join(map(str, shading.weight_colour(-0.5)))
    assert re.search(rf"48;2;{strongest}mgood", drawn)
    assert re.search(rf"48;2;{against}mbut", drawn)


def test_the_plain_table() -> None:
    drawn = draw("good but bad", explanation("good but bad"), None)
    assert "good but bad\n" in drawn
    lines = [line.split() for line in drawn.splitlines() if line.startswith(("+", "-"))]
    assert [(cells[0], cells[-1]) for cells in lines] == [
        ("+0.3000", "good"),
        ("-0.1500", "but"),
        ("+0.1000", "bad"),
    ]
    bars = [len(cells[1]) for cells in lines]
    assert bars == sorted(bars, reverse=True)
    assert "attention, mean of all layers, head 3" in drawn


def test_what_is_left_out_is_said() -> None:
    drawn = draw(TEXTS[-1], explanation(TEXTS[-1]), None)
    assert "288 more words, each within ±0.0231" in drawn
    assert "the 30 of 302 tokens that draw most attention" in drawn
    matrix = [line for line in drawn.splitlines() if line.endswith(("[CLS]", "[SEP]", "word8"))]
    assert matrix


def test_tokens_shown_are_those_most_looked_at() -> None:
    weights = [[0.1, 0.6, 0.3], [0.2, 0.7, 0.1], [0.1, 0.5, 0.4]]
    assert heatmap._most_attended(weights, 2) == [1, 2]
    assert heatmap._most_attended(weights, 9) == [0, 1, 2]


def test_without_attention() -> None:
    drawn = draw("good", {**explanation("good"), "attention": None}, None)
    assert "good" in drawn
    assert "attention" not in drawn


def test_records_follow_one_another(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    with Output(str(file)) as output:
        writer = HeatMaps(output, None)
        writer.add(Record("f", 1, "good"), {"explanation": explanation("good")}, "positive\t1")
        writer.add(Record("f", 2, ""), {"explanation": None}, "")
        writer.add(Record("f", 3, "bad"), {"explanation": explanation("bad")}, "positive\t1")
        writer.finish(())
    first, blank, last = file.read_text().split("─" * 80 + "\n")
    assert "good" in first
    assert blank == "\n"
    assert "bad" in last


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "xterm-direct"}, "truecolor"),
        ({"TERM": "xterm"}, None),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, None),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, None),
    ],
)
def test_colours_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    for name in ("TERM", "COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert terminal(None) == (expected, 90)
    assert terminal("x.txt") == (None, 80)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert terminal(None) == (None, 80)


def page(folder: Path, *texts: str) -> ElementTree.Element:
    file = folder / "x.svg"
    with Output(str(file)) as output:
        writer = Page(output)
        for number, text in enumerate(texts, 1):
            values = {"explanation": explanation(text) if text.strip() else None}
            writer.add(Record("f", number, text), values, "")
            writer.flush()
        assert not file.exists()
        writer.finish(())
    return ElementTree.fromstring(file.read_bytes())


def texts_of(root: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("text", TEXTS[:6])
def test_svg_holds_every_word(tmp_path: Path, text: str) -> None:
    root = page(tmp_path, text)
    said = texts_of(root)
    for word in explanation(text)["words"]:
        assert shading.visible(word["word"]) in said
    assert safe("".join(said))
    assert float(root.attrib["height"]) > 100


def test_svg_folds_a_long_word_and_holds_every_token(tmp_path: Path) -> None:
    said = texts_of(page(tmp_path, TEXTS[6], TEXTS[7]))
    assert "x" * 300 in "".join(said)
    assert {f"word{number}" for number in range(300)} <= set(said)


def test_svg_sections_do_not_overlap(tmp_path: Path) -> None:
    root = page(tmp_path, "good", "", "bad")
    places = [
        float(each.attrib["transform"].split()[1].rstrip(")"))
        for each in root.findall(f"{SVG}g[@transform]")
    ]
    assert len(places) == 3
    assert places[0] + 100 < places[1] < places[2] < float(root.attrib["height"])


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_svg_of_any_text_is_xml(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    page(tmp_path_factory.mktemp("svg"), text)


def test_svg_from_right_to_left(tmp_path: Path) -> None:
    root = page(tmp_path, "אהבתי את good film מאוד")
    places = {
        "".join(each.itertext()): float(each.attrib["x"])
        for each in root.iter(f"{SVG}text")
        if each.attrib.get("text-anchor") == "middle"
    }
    order = sorted((word for word in places if word.strip()), key=places.__getitem__)
    assert order == ["מאוד", "good", "film", "את", "אהבתי"]


def test_the_path_of_the_matrix_is_its_weights() -> None:
    """Each cell is painted once, in the shade of its weight."""
    from nlpcli.cli import svg

    weights = [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.2, 0.2, 0.6]]
    painted: dict[tuple[int, int], str] = {}
    for element in svg._cells(weights, 1.0):
        colour = re.findall('fill="(.*?)"', element)[0]
        for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)", element):
            for column in range(int(x), int(x) + int(width)):
                assert painted.setdefault((int(y), column), colour) == colour
    for row, values in enumerate(weights):
        for column, weight in enumerate(values):
            shade = round(weight**0.5 * 31) / 31
            expected = shading.code(shading.attention_colour(shade)) if shade else None
            assert painted.get((row, column)) == expected
