"""A bar chart on a logarithmic scale, as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.plot import COLOURS

_WIDTH, _LEFT, _RIGHT, _TOP, _STEP, _BAR = 860, 300, 120, 56, 34, 20
_INK, _GRID = "#222b33", "#e3e7ea"


@dataclass(frozen=True, slots=True)
class Bar:
    """`value`: above 0. `least`, `most`: drawn as a line over the bar's end. `accented`: the one that matters."""

    name: str
    value: float
    least: float
    most: float
    accented: bool = False


def bar_chart(title: str, axis: str, bars: Sequence[Bar]) -> str:
    """Draw bars from top to bottom; returns the text of an SVG file."""
    height = _TOP + _STEP * len(bars) + 50
    low = math.floor(math.log10(min(each.least for each in bars) * 0.999))
    high = math.ceil(math.log10(max(each.most for each in bars)))
    high = max(high, low + 1)

    def across(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    bottom = height - 44
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    font = 'font-family="Helvetica, Arial, sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="20" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        at = across(10.0**power)
        parts.append(f'<line x1="{at:.1f}" y1="{_TOP - 8}" x2="{at:.1f}" y2="{bottom}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{10.0**power:,g}</text>')
    for number, bar in enumerate(bars):
        parts += _bar(bar, _TOP + number * _STEP, across(bar.value), (across(bar.least), across(bar.most)))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{height - 10}" text-anchor="middle">{escape(axis)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(bar: Bar, top: float, end: float, span: tuple[float, float]) -> list[str]:
    colour = COLOURS[0] if bar.accented else COLOURS[5]
    middle = top + _BAR / 2
    return [
        f'<text x="{_LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(bar.name)}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{end - _LEFT:.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<path d="M{span[0]:.1f} {middle}H{span[1]:.1f}" stroke="{_INK}" stroke-width="1.5"/>',
        f'<text x="{max(end, span[1]) + 6:.1f}" y="{middle + 4:.1f}">{bar.value:,.4g}</text>',
    ]
