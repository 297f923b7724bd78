"""Draws the learning curve as an SVG page: the losses by step, and below them the figure that tells
which scores are best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from nlpcli.training.axis import Axis, Curves, Point, around, counted, curves_of
from nlpcli.training.history import History

_WIDTH, _HEIGHT = 840, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 32, 78, 62
_INNER = _WIDTH - _LEFT - _RIGHT
_GAP = 34
_SHARE = 0.62  # of the height for the losses, where a figure stands below them
_TITLE = 72
_INK, _GREY, _GRID = "#202020", "#6e6e6e", "#dddddd"
_TRAINING, _VALIDATION, _FIGURE = "#4393c3", "#b2182b", "#6a51a3"
_SANS = "system-ui, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"


def page(history: History, title: str) -> str:
    """The page, which needs no other file; it says so where there is nothing to draw."""
    curves = curves_of(history)
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_SANS}" font-size="13"'
        f' fill="{_INK}">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(_RIGHT, 36, _visible(title), 'font-size="18" font-weight="600"'),
    ]
    losses = [*curves.training, *curves.validation]
    if losses and curves.steps:
        parts += _drawing(curves, losses, _visible(history.figure))
    else:
        parts.append(_text(_RIGHT, _TOP, "nothing to draw", f'fill="{_GREY}"'))
    return "\n".join([*parts, "</svg>", ""])


class _Panel(NamedTuple):
    """A field from `top` down, `height` high, on which steps run from 0 to `steps`."""

    axis: Axis
    steps: int
    top: float
    height: float

    def place(self, point: Point) -> tuple[float, float]:
        x = _LEFT + point.step / self.steps * _INNER
        return x, self.top + (1 - self.axis.share(point.value)) * self.height

    def frame(self, name: str) -> Iterator[str]:
        """Lines across at the ticks, their numbers, and the name turned along the axis."""
        for tick in self.axis.ticks():
            y = self.top + (1 - self.axis.share(tick)) * self.height
            yield f'<path d="M{_LEFT} {y:.2f}h{_INNER}" stroke="{_GRID}"/>'
            more = f'text-anchor="end" fill="{_GREY}"'
            yield _text(_LEFT - 8, y + 4.5, self.axis.label(tick), more)
        x, y = 24, self.top + self.height / 2
        turned = f'transform="rotate(-90 {x} {y:.2f})" text-anchor="middle"'
        yield _text(x, y, name, turned)

    def line(self, points: Sequence[Point], colour: str) -> Iterator[str]:
        """A line through `points`; one by itself is a dot."""
        if len(points) == 1:
            yield from self.dots(points, colour)
        elif points:
            path = " ".join(f"{x:.2f},{y:.2f}" for x, y in map(self.place, points))
            yield (
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"'
                ' stroke-linejoin="round"/>'
            )

    def dots(self, points: Sequence[Point], colour: str) -> Iterator[str]:
        """A dot on each of `points`; the best has a ring around it."""
        for point in points:
            x, y = self.place(point)
            yield _dot(x, y, colour)
            if point.best:
                yield _ring(x, y, colour)


def _drawing(curves: Curves, losses: Sequence[Point], figure: str) -> Iterator[str]:
    height = _HEIGHT - _TOP - _BOTTOM
    upper = (height - _GAP) * _SHARE if curves.figure else height
    panel = _Panel(around(losses, 4), curves.steps, _TOP, upper)
    yield from _legend(curves)
    yield from panel.frame("loss")
    yield from panel.line(curves.training, _TRAINING)
    if len(curves.validation) > 1:
        yield from panel.line(curves.validation, _VALIDATION)
    yield from panel.dots(curves.validation, _VALIDATION)
    if curves.figure:
        lower = height - _GAP - upper
        panel = _Panel(around(curves.figure, 2), curves.steps, _TOP + upper + _GAP, lower)
        yield from panel.frame(figure)
        yield from panel.line(curves.figure, _FIGURE)
        yield from panel.dots(curves.figure, _FIGURE)
    yield from _numbers("step", counted(curves.steps, 8), _HEIGHT - _BOTTOM + 20)
    if curves.epoch and curves.steps >= curves.epoch:
        epochs = counted(curves.steps / curves.epoch, 12)
        yield from _numbers("epoch", epochs, _HEIGHT - _BOTTOM + 40)


def _legend(curves: Curves) -> Iterator[str]:
    """What stands for what, from the left above the losses."""
    x, y = float(_LEFT), 60.0
    if curves.training:
        yield f'<path d="M{x:g} {y - 4.5:g}h22" stroke="{_TRAINING}" stroke-width="1.8"/>'
        yield _text(x + 28, y, "training")
        x += 110
    if curves.validation:
        yield f'<path d="M{x:g} {y - 4.5:g}h22" stroke="{_VALIDATION}" stroke-width="1.8"/>'
        yield _dot(x + 11, y - 4.5, _VALIDATION)
        yield _text(x + 28, y, "validation")
        x += 120
    if any(point.best for point in [*curves.validation, *curves.figure]):
        yield _dot(x + 11, y - 4.5, _VALIDATION)
        yield _ring(x + 11, y - 4.5, _VALIDATION)
        yield _text(x + 24, y, "best")


def _numbers(name: str, axis: Axis, y: float) -> Iterator[str]:
    """The ticks of an axis of the steps or epochs, in a row."""
    yield _text(_LEFT - 16, y, name, f'text-anchor="end" fill="{_GREY}"')
    for tick in axis.ticks():
        x = _LEFT + axis.share(tick) * _INNER
        yield _text(x, y, axis.label(tick), f'text-anchor="middle" fill="{_GREY}"')


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="3.5" fill="{colour}"/>'


def _ring(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="7" fill="none" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" {more}>{escape(text)}</text>'


def _visible(text: str) -> str:
    """`text` without what XML lacks, no longer than the page is wide."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return shown if len(shown) <= _TITLE else shown[: _TITLE - 1] + "…"
