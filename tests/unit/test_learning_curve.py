"""The learning curve: its axes, as characters, and as SVG."""

from __future__ import annotations

from math import isfinite, nan
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from nlpcli.cli.finetune import curve
from nlpcli.training.axis import Point, around, counted, curves_of
from nlpcli.training.curve_svg import page
from nlpcli.training.history import History, Loss, Scores

SVG = "{http://www.w3.org/2000/svg}"
VALUES = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Runs of any length, diverged ones among them."""
    steps = sorted(draw(st.sets(st.integers(1, 100_000), max_size=30)))
    losses = [Loss(step, draw(VALUES)) for step in steps]
    ends = sorted(draw(st.sets(st.integers(1, 100_000), max_size=6)))
    scores = [
        Scores(
            step=step,
            epoch=number + draw(st.sampled_from([0.5, 1.0])),
            training=draw(VALUES),
            loss=draw(VALUES),
            figures=draw(st.dictionaries(st.sampled_from(["accuracy", "f1"]), VALUES)),
            best=draw(st.booleans()),
            seconds=float(number),
        )
        for number, step in enumerate(ends)
    ]
    return History(losses, scores, "accuracy")


def scores(step: int, epoch: float, loss: float, accuracy: float, best: bool) -> Scores:
    return Scores(step, epoch, loss, loss, {"accuracy": accuracy}, best, 0.0)


RUN = History(
    [Loss(step, 2.0 - step / 100) for step in range(5, 105, 5)],
    [
        scores(50, 1, 1.4, 0.61, True),
        scores(100, 2, 1.1, 0.74, True),
        scores(150, 3, 1.2, 0.70, False),
    ],
    "accuracy",
)


@given(st.lists(st.floats(-1e90, 1e90), min_size=1), st.integers(1, 9))
def test_an_axis_holds_its_points_between_round_numbers(values: list[float], count: int) -> None:
    axis = around([Point(1, value) for value in values], count)
    slack = 1e-5 * (axis.high - axis.low)
    assert axis.low <= min(values) + slack and max(values) - slack <= axis.high
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 2 * count + 3
    assert all(-1e-5 <= axis.share(tick) <= 1 + 1e-5 for tick in ticks)


def test_ticks_are_round_and_labelled_alike() -> None:
    axis = around([Point(1, 0.332), Point(2, 0.487)], 4)
    assert [axis.label(tick) for tick in axis.ticks()] == ["0.30", "0.35", "0.40", "0.45", "0.50"]
    steps = counted(5_640, 4)
    assert [steps.label(tick) for tick in steps.ticks()] == ["0", "2,000", "4,000"]


def test_only_the_last_best_scores_are_marked() -> None:
    curves = curves_of(RUN)
    assert [point.step for point in curves.validation if point.best] == [100]
    assert (curves.steps, curves.epoch) == (150, 50)


@given(histories(), st.integers(1, 200), st.booleans(), st.booleans())
def test_the_drawing_keeps_to_its_width(
    history: History, width: int, colour: bool, unicode: bool
) -> None:
    lines = curve.draw(history, width, colour=False, unicode=unicode)
    assert all(len(line) <= width for line in lines)
    if not unicode:
        assert all(line.isascii() for line in lines)
    coloured = curve.draw(history, width, colour=True, unicode=unicode)
    assert bool(coloured) == bool(lines)
    drawable = [each.value for each in history.losses] + [each.loss for each in history.scores]
    if width >= 60 and any(isfinite(value) and abs(value) < 1e99 for value in drawable):
        assert lines


def test_a_run_in_characters() -> None:
    lines = curve.draw(RUN, 60, colour=False, unicode=False)
    assert lines[0].split() == ["loss", "..", "training", "o", "validation", "*", "best"]
    losses, figure = lines[1 : lines.index("accuracy")], lines[lines.index("accuracy") + 1 : -3]
    assert all("|" in line or "+" in line for line in [*losses, *figure])
    for panel in (losses, figure):
        assert sum(line.count("*") for line in panel) == 1
        assert sum(line.count("o") for line in panel) == 2
    # It falls from the upper left: the first loss is in the first row with dots, far left.
    assert losses[0].rstrip().endswith((".", ":", "'"))
    assert lines[-1].split() == ["epoch", "0", "1", "2", "3"]


def test_colours_only_where_they_are_wanted() -> None:
    assert "\x1b[36m" in "".join(curve.draw(RUN, 80, colour=True, unicode=True))
    assert "\x1b" not in "".join(curve.draw(RUN, 80, colour=False, unicode=True))


@given(histories(), st.text(max_size=90))
def test_the_page_is_xml_within_its_frame(history: History, title: str) -> None:
    root = ElementTree.fromstring(page(history, title))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for circle in root.iter(f"{SVG}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= height
    for line in root.iter(f"{SVG}polyline"):
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width and 0 <= y <= height


def test_a_run_as_a_page() -> None:
    root = ElementTree.fromstring(page(RUN, "mine & <yours>"))
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert said[0] == "mine & <yours>"
    assert {"loss", "accuracy", "training", "validation", "best", "step", "epoch"} <= set(said)
    training, validation, figure = root.iter(f"{SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in (training, validation, figure)] == [
        20, 3, 3,
    ]  # fmt: skip
    nothing = History([Loss(1, nan)], [], "accuracy")
    assert "nothing to draw" in page(nothing, "mine")
    assert curve.draw(nothing, 80, colour=False, unicode=True) == []
