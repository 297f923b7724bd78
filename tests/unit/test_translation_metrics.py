"""BLEU, chrF, chrF++ and TER against sacreBLEU: every count, score, signature and interval."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from nlpcli.metrics import Additive, significance
from nlpcli.metrics.translation import SMOOTHING, TOKENIZERS, Bleu, Chrf, Ter

WORDS = [
    *("the", "a", "cat", "sat", "on", "mat", ".", ",", "it's", "(hi)", "ab-c", "3.5", "%"),
    *("naïve", "Straße", "我们", "去", "北京", "ไทย", "مرحبا"),
]
sentence = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=30),
)
OFFLINE = [name for name in TOKENIZERS if name[:3] not in ("spm", "flo", "ja-", "ko-")]
METRICS = {
    "bleu": (Bleu, BLEU, {}),
    "bleu lower-cased": (Bleu, BLEU, {"lowercase": True}),
    "bleu effective": (Bleu, BLEU, {"effective_order": True}),
    **{f"bleu {name}": (Bleu, BLEU, {"smooth_method": name}) for name in SMOOTHING},
    "bleu floor 0.5": (Bleu, BLEU, {"smooth_method": "floor", "smooth_value": 0.5}),
    **{f"bleu {name}": (Bleu, BLEU, {"tokenize": name}) for name in OFFLINE},
    "chrf": (Chrf, CHRF, {}),
    "chrf++": (Chrf, CHRF, {"word_order": 2}),
    "chrf lower-cased": (Chrf, CHRF, {"lowercase": True, "char_order": 4, "beta": 1}),
    "chrf spaces": (Chrf, CHRF, {"whitespace": True, "eps_smoothing": True}),
    "ter": (Ter, TER, {}),
    "ter all": (Ter, TER, {"normalized": True, "no_punct": True, "asian_support": True}),
    "ter case": (Ter, TER, {"case_sensitive": True}),
}


def corpora(most: int = 3) -> st.SearchStrategy[list[tuple[str, list[str]]]]:
    def records(count: int) -> st.SearchStrategy[list[tuple[str, list[str]]]]:
        references = st.lists(sentence, min_size=count, max_size=count)
        return st.lists(st.tuples(sentence, references), min_size=1, max_size=5)

    return st.integers(1, most).flatmap(records)


def altered(line: str, draw: random.Random) -> str:
    """A system's output, such as it might be: words lost, doubled and moved."""
    words = [word for word in line.split() if draw.random() > 0.1]
    words = [draw.choice(words) if draw.random() < 0.1 else word for word in words]
    if len(words) > 3 and draw.random() < 0.5:
        at = draw.randrange(len(words))
        words = words[at:] + words[:at]
    return " ".join(words)


def corpus(size: int, seed: int = 1) -> tuple[list[str], list[str], list[str]]:
    """References and the outputs of two systems."""
    draw = random.Random(seed)
    references = [
        " ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 25))) for _ in range(size)
    ]
    outputs = [[altered(line, draw) for line in references] for _ in range(2)]
    return references, outputs[0], outputs[1]


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=40)
@given(records=corpora())
def test_every_count_and_score_is_sacrebleus(name: str, records: Any) -> None:
    ours, theirs, options = METRICS[name]
    hypotheses, references = [h for h, _ in records], [r for _, r in records]
    metric, reference = ours(**options), theirs(**options)
    sample = metric.sample(hypotheses, references)
    by_reference = list(map(list, zip(*references, strict=True)))
    counts = reference._extract_corpus_statistics(hypotheses, by_reference)
    assert [[float(n) for n in row] for row in sample.rows] == [
        [float(n) for n in row] for row in counts
    ]
    score = reference.corpus_score(hypotheses, by_reference)
    assert sample.scores() == [score.score]
    assert metric.figures[0].title == score.name
    assert metric.signature == reference.get_signature().format()


@settings(deadline=None, max_examples=30)
@given(records=corpora())
def test_a_record_scores_as_sacrebleus_sentence_level(records: Any) -> None:
    hypotheses, references = [h for h, _ in records], [r for _, r in records]
    for ours, theirs in (
        (Bleu(), BLEU(effective_order=True)),
        (Chrf(), CHRF()),
        (Ter(), TER()),
    ):
        found = ours.sample(hypotheses, references).by_record()
        assert found == [[theirs.sentence_score(h, r).score] for h, r in records]


def test_a_different_number_of_references_is_told() -> None:
    hypotheses, references = ["a cat", "a mat"], [["a cat", "the cat"], ["the mat"]]
    padded = [["a cat", "the mat"], ["the cat", None]]
    for ours, theirs in ((Bleu(), BLEU()), (Chrf(), CHRF()), (Ter(), TER())):
        sample = ours.sample(hypotheses, references)
        assert sample.scores() == [theirs.corpus_score(hypotheses, padded).score]
        assert ours.signature == theirs.get_signature().format()
        assert "nrefs:var" in ours.signature


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Bleu(), BLEU()), (Chrf(), CHRF()), (Ter(), TER())],
    ids=["BLEU", "chrF", "TER"],
)
def test_intervals_and_p_values_are_sacrebleus(ours: Any, theirs: Any) -> None:
    references, one, other = corpus(150)
    single = [[line] for line in references]
    samples = [ours.sample(lines, single) for lines in (one, other)]
    scores = [significance.bootstrap(sample, 200) for sample in samples]
    systems = [("one", one), ("other", other)]
    _, boots = PairedTest(systems, {"m": theirs}, [references], test_type="bs", n_samples=200)()
    _, swaps = PairedTest(systems, {"m": theirs}, [references], test_type="ar", n_samples=300)()
    title = ours.figures[0].title
    for found, expected in zip(scores, boots[title], strict=True):
        interval = significance.interval(found[:, 0])
        # sacreBLEU adds up in float32.
        assert interval.mean == pytest.approx(expected.mean, abs=1e-4)
        assert interval.half == pytest.approx(expected.ci, abs=1e-4)
    difference = samples[1].scores()[0] - samples[0].scores()[0]
    p_value = significance.paired_bootstrap(scores[0][:, 0], scores[1][:, 0], difference)
    assert p_value == boots[title][1].p_value
    assert significance.randomization(*samples, 300) == [swaps[title][1].p_value]


def test_the_draws_do_not_depend_on_how_many_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[float(n), 1.0] for n in range(37)]
    one, other = (Additive(some, lambda row: [row[0] / row[1]]) for some in (rows, rows[::-1]))
    whole = significance.bootstrap(one, 100), significance.randomization(one, other, 100)
    monkeypatch.setattr(significance, "_HELD", 37 * 32)
    assert numpy.array_equal(significance.bootstrap(one, 100), whole[0])
    assert significance.randomization(one, other, 100) == whole[1]


def test_the_command_line_of_sacrebleu_says_the_same(tmp_path: Path) -> None:
    references, one, _ = corpus(60)
    for name, lines in (("ref", references), ("hyp", one)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf", "ter"]
    said = subprocess.run(
        [*command, "-w", "8", "-f", "text", "-ci"],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    for metric in (Bleu(), Chrf(), Ter()):
        [score] = metric.sample(one, [[line] for line in references]).scores()
        assert f"= {score:.8f} (μ" in said
