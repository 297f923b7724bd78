"""ROUGE equals rouge_score's."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from nlpcli.errors import DataError, UsageError
from nlpcli.metrics.rouge import KINDS, Rouge

REFERENCE = {stemmer: RougeScorer(KINDS, use_stemmer=stemmer) for stemmer in (False, True)}
OURS = {stemmer: Rouge(KINDS, stemmer) for stemmer in (False, True)}
TINY = st.lists(st.sampled_from(["a", "b", "c", "\n", "\n\n"]), max_size=40).map(" ".join)
WORDS = st.lists(
    st.sampled_from(
        [
            *("running", "runs", "ran", "Generally", "general's", "sses", "İstanbul", "Kelvin"),
            *("naïve", "ไทย", "día\n", "x_y", "3.5", "\n", "-"),
        ]
    ),
    max_size=25,
).map(" ".join)
TEXTS = TINY | WORDS | st.text(max_size=60)


def expected(hypothesis: str, references: list[str], stemmer: bool) -> list[float]:
    scores = REFERENCE[stemmer].score_multi(references, hypothesis)
    return [
        100 * value
        for kind in KINDS
        for value in (scores[kind].fmeasure, scores[kind].precision, scores[kind].recall)
    ]


def assert_equal(hypothesis: str, references: list[str], stemmer: bool) -> None:
    [found] = OURS[stemmer].sample([hypothesis], [references]).by_record()
    assert found == pytest.approx(expected(hypothesis, references, stemmer), rel=0, abs=1e-10)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), st.booleans())
def test_any_texts(hypothesis, references, stemmer):
    assert_equal(hypothesis, references, stemmer)


@settings(max_examples=400, deadline=None)
@given(TINY, TINY)
def test_ties(hypothesis, reference):
    assert_equal(hypothesis, [reference], False)


@pytest.mark.parametrize("words", [3, 30, 1000])
@pytest.mark.parametrize("stemmer", [False, True])
def test_long_random_texts(words, stemmer):
    draw = random.Random(words)
    vocabulary = [f"{draw.choice('abcdefg')}{each}ational" for each in range(words)]

    def text():
        lines = [" ".join(draw.choices(vocabulary, k=draw.randrange(40))) for _ in range(6)]
        return "\n".join(lines)

    for _ in range(4):
        assert_equal(text(), [text() for _ in range(draw.randrange(1, 4))], stemmer)


def test_means_figures_and_signature():
    metric = Rouge(("rouge1", "rougeLsum"), stemmer=True)
    sample = metric.sample(["a b", "c"], [["a b"], ["d", "e"]])
    assert sample.scores() == [50.0] * 6
    assert [each.name for each in metric.figures[:3]] == [
        "rouge1",
        "rouge1-precision",
        "rouge1-recall",
    ]
    assert [each.title for each in metric.figures[3:]] == [
        "ROUGE-Lsum",
        "ROUGE-Lsum P",
        "ROUGE-Lsum R",
    ]
    assert metric.signature.startswith("nrefs:var|stem:yes|tok:rouge_score|agg:mean|version:rouge")


@pytest.mark.parametrize(
    "text", ["สวัสดีครับ", "Привет, мир", "你好世界", "مرحبا بالعالم", "नमस्ते दुनिया"]
)
def test_unicode_tokens_of_other_scripts(text):
    assert Rouge().sample([text], [[text]]).scores() == [0.0] * 12
    ours = Rouge(("rouge1", "rougeL", "rougeLsum"), stemmer=True, tokenizer="unicode")
    assert ours.sample([text], [[text]]).scores() == [100.0] * 9


def test_unicode_tokens():
    metric = Rouge(("rouge1",), tokenizer="unicode")
    one = metric.sample(["東京 ABC नमस्ते กี่"], [["京 abc नमस्ते กี่"]])
    assert one.scores()[1:] == [pytest.approx(80), 100.0]


def test_errors():
    with pytest.raises(UsageError, match="rouge0"):
        Rouge(("rouge0",))
    with pytest.raises(DataError, match="record 1"):
        Rouge().sample(["a"], [[]])
