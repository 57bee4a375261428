"""Plots as plain SVG: axes with linear or log scales, lines, points, a legend. Nothing to install."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 860, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 250, 46, 58
COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2", "#e08e0b", "#5f6b76", "#00838f", "#795548")
_INK, _GRID = "#222b33", "#e3e7ea"
_MARKS = ("circle", "square", "diamond", "triangle")


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis from `low` to `high`. `log`: in decades; then with `zero`, 0 has a place of its own below them."""

    title: str
    low: float
    high: float
    log: bool = False
    zero: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies, 0 to 1."""
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        start = 0.09 if self.zero else 0.0
        if value <= 0:
            return 0.0
        share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return start + (1 - start) * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Return the values to mark, with their texts."""
        if self.log:
            decades = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            marks = [(10.0**each, _number(10.0**each)) for each in decades]
            return [(0.0, "0"), *marks] if self.zero else marks
        step = _step((self.high - self.low) / 6)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [((first + i) * step, _number((first + i) * step)) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y), joined if `line`. `labels`: a text beside each point, or none."""

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = True
    labels: Sequence[str] = field(default=())


def svg(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """Draw a plot; returns the text of an SVG file."""
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    font = 'font-family="Helvetica, Arial, sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} fill="{_INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
        *_axes(x, y),
    ]
    for number, each in enumerate(series):
        parts += _series(each, x, y, number)
    return "\n".join([*parts, *_legend(series), "</svg>"]) + "\n"


def _across(x: Axis, value: float) -> float:
    return _LEFT + x.place(value) * (WIDTH - _LEFT - _RIGHT)


def _up(y: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - y.place(value) * (HEIGHT - _TOP - _BOTTOM)


def _axes(x: Axis, y: Axis) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = []
    for value, text in x.ticks():
        at = _across(x, value)
        parts.append(f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>')
    for value, text in y.ticks():
        at = _up(y, value)
        parts.append(f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    middle = (_TOP + bottom) / 2
    return [
        *parts,
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="{_INK}"/>',
        f'<text x="{(_LEFT + right) / 2}" y="{HEIGHT - 16}" text-anchor="middle">{escape(x.title)}</text>',
        f'<text x="20" y="{middle}" text-anchor="middle" transform="rotate(-90 20 {middle})">{escape(y.title)}</text>',
    ]


def _series(series: Series, x: Axis, y: Axis, number: int) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    places = [(_across(x, a), _up(y, b)) for a, b in series.points]
    parts = []
    if series.line and len(places) > 1:
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-opacity="0.8"/>')
    parts += [_mark(a, b, colour, number) for a, b in places]
    for (a, b), text in zip(places, series.labels, strict=False):
        parts.append(f'<text x="{a + 6:.1f}" y="{b - 6:.1f}" font-size="10" fill="{colour}">{escape(text)}</text>')
    return parts


def _mark(a: float, b: float, colour: str, number: int) -> str:
    style = f'fill="{colour}" stroke="#ffffff" stroke-width="0.8"'
    match _MARKS[number % len(_MARKS)]:
        case "circle":
            return f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4.2" {style}/>'
        case "square":
            return f'<rect x="{a - 4:.1f}" y="{b - 4:.1f}" width="8" height="8" {style}/>'
        case "diamond":
            return f'<path d="M{a:.1f} {b - 5.2:.1f}l5.2 5.2l-5.2 5.2l-5.2 -5.2z" {style}/>'
        case _:
            return f'<path d="M{a:.1f} {b - 5:.1f}l5 9h-10z" {style}/>'


def _legend(series: Sequence[Series]) -> list[str]:
    left, parts = WIDTH - _RIGHT + 18, []
    for number, each in enumerate(series):
        at = _TOP + 10 + 21 * number
        parts.append(_mark(left, at, COLOURS[number % len(COLOURS)], number))
        parts.append(f'<text x="{left + 12}" y="{at + 4}">{escape(each.name)}</text>')
    return parts


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= rough)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
