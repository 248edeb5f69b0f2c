# SPDX-License-Identifier: Apache-2.0
"""Small charts as inline SVG text.

Colours are CSS classes, not values: the page's style sheet decides them, so one
drawing serves a light screen, a dark screen and paper. No text is ever outlined
and no script is needed; a point's exact value sits in its ``<title>`` tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 560, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 14, 42


@dataclass(frozen=True)
class Series:
    """One curve. ``tone`` picks one of the page's colours (0 to 3); NaN leaves a gap."""

    label: str
    x: ArrayLike
    y: ArrayLike
    tone: int = 0
    style: Literal["line", "dots", "faint"] = "line"


@dataclass(frozen=True)
class Rule:
    """A labelled reference line at ``value`` on the axis it belongs to."""

    value: float
    label: str


@dataclass(frozen=True)
class Band:
    """A shaded, labelled range on the y axis."""

    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Label and range of an axis; a bound left ``None`` follows the data."""

    label: str
    low: float | None = None
    high: float | None = None
    log: bool = False


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) between ``low`` and ``high``."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _log_ticks(low: float, high: float, wanted: int = 3) -> list[float]:
    """Powers of ten in reach, with as many of their multiples as it takes to show `wanted`."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1.0,), (1.0, 2.0, 5.0), (1.0, 2.0, 3.0, 5.0, 7.0)):
        found = [m * 10.0**d for d in decades for m in multiples]
        found = [t for t in found if low * 0.999 <= t <= high * 1.001]
        if len(found) >= wanted:
            return found
    return found if len(found) >= 3 else ticks(low, high)


def number(value: float) -> str:
    """A short, exact-looking number for labels: 12,000 · 0.25 · 3."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Frame:
    """Maps data to the plotting area and draws what every chart has: grid, axes, labels."""

    def __init__(
        self,
        x: Axis,
        y: Axis,
        xs: NDArray[np.float64],
        ys: NDArray[np.float64],
        *,
        width: int = WIDTH,
        height: int = HEIGHT,
    ) -> None:
        """Bounds that the axes leave open follow the data, `xs` and `ys`."""
        self.x, self.y = x, y
        self.width, self.height = width, height
        self.x_low, self.x_high = _bounds(x, xs)
        self.y_low, self.y_high = _bounds(y, ys)

    @property
    def right(self) -> float:
        """Where the plotting area ends."""
        return self.width - _RIGHT

    @property
    def bottom(self) -> float:
        """Where the x axis is."""
        return self.height - _BOTTOM

    def px(self, value: float) -> float:
        """Place of a value on the x axis."""
        share = _share(value, self.x_low, self.x_high, self.x.log)
        return _LEFT + share * (self.right - _LEFT)

    def py(self, value: float) -> float:
        """Place of a value on the y axis."""
        share = _share(value, self.y_low, self.y_high, self.y.log)
        return self.bottom - share * (self.bottom - _TOP)

    def grid(self) -> list[str]:
        """Grid, axes, ticks and labels."""
        right, bottom = self.right, self.bottom
        parts = []
        y_ticks = _log_ticks if self.y.log else ticks
        for tick in y_ticks(self.y_low, self.y_high):
            at = self.py(tick)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>'
            )
            parts.append(text(_LEFT - 8, at + 4, number(tick), "tick end"))
        x_ticks = partial(_log_ticks, wanted=5) if self.x.log else partial(ticks, wanted=7)
        for tick in x_ticks(self.x_low, self.x_high):
            parts.append(text(self.px(tick), bottom + 17, number(tick), "tick mid"))
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
        parts.append(text((_LEFT + right) / 2, self.height - 6, self.x.label, "label mid"))
        middle = (_TOP + bottom) / 2
        parts.append(
            f'<text class="label mid" transform="translate(13 {middle:.0f}) rotate(-90)">'
            f"{escape(self.y.label)}</text>"
        )
        return parts


def line_chart(
    series: Sequence[Series],
    *,
    x: Axis,
    y: Axis,
    rules: Sequence[Rule] = (),
    bands: Sequence[Band] = (),
    description: str,
) -> str:
    """Curves over a common axis; ``rules`` are horizontal reference lines."""
    curves = [(s, _array(s.x), _array(s.y)) for s in series]
    marked = [r.value for r in rules] + [v for b in bands for v in (b.low, b.high)]
    all_y = [v for _, _, v in curves] + [_array(marked)]
    frame = Frame(x, y, np.concatenate([v for _, v, _ in curves]), np.concatenate(all_y))
    parts = frame.grid()
    for band in bands:
        top, low = frame.py(band.high), frame.py(band.low)
        parts.append(
            f'<rect class="band" x="{_LEFT}" y="{top:.1f}" width="{WIDTH - _RIGHT - _LEFT}" '
            f'height="{max(low - top, 1):.1f}"/>'
        )
        parts.append(text(WIDTH - _RIGHT, top - 5, band.label, "note end"))
    for rule in rules:
        at = frame.py(rule.value)
        parts.append(
            f'<line class="rule" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(text(WIDTH - _RIGHT, at - 5, rule.label, "note end"))
    for curve, xs, ys in curves:
        parts.extend(_draw(frame, curve, xs, ys))
    return document(parts, description)


def histogram(
    values: ArrayLike,
    *,
    x: Axis,
    rules: Sequence[Rule] = (),
    bins: int = 40,
    description: str,
    tone: int = 0,
) -> str:
    """Counts in equal bins; what lies beyond the axis is counted in the last bin.

    ``rules`` are vertical reference lines (a median, a limit).
    """
    data = _array(values)
    data = data[np.isfinite(data)]
    low, high = _bounds(x, data)
    counts, edges = np.histogram(np.clip(data, low, high), bins=bins, range=(low, high))
    top = float(max(counts.max(initial=0), 1))
    frame = Frame(Axis(x.label, low, high), Axis("frames", 0, top * 1.08), _array([]), _array([]))
    parts = frame.grid()
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if not count:
            continue
        x0, x1, y0 = frame.px(left), frame.px(right), frame.py(float(count))
        parts.append(
            f'<rect class="bar t{tone}" x="{x0 + 0.5:.1f}" y="{y0:.1f}" '
            f'width="{max(x1 - x0 - 1, 1):.1f}" height="{HEIGHT - _BOTTOM - y0:.1f}">'
            f"<title>{number(left)} to {number(right)}: {count}</title></rect>"
        )
    for row, rule in enumerate(rules):
        at = frame.px(min(rule.value, high))
        parts.append(
            f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
        )
        side = "end" if at > WIDTH * 0.7 else ""
        shift = -5 if side else 5
        parts.append(text(at + shift, _TOP + 10 + 15 * row, rule.label, f"note {side}"))
    return document(parts, description)


def _draw(
    frame: Frame, curve: Series, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> list[str]:
    if curve.style == "dots":
        radius = 1.8 if len(xs) > 150 else 3.0
        return [
            f'<circle class="dot t{curve.tone}" cx="{frame.px(a):.1f}" cy="{frame.py(b):.1f}" '
            f'r="{radius}"><title>{number(a)}: {number(b)}</title></circle>'
            for a, b in zip(xs, ys, strict=True)
            if math.isfinite(b)
        ]
    pieces: list[list[str]] = [[]]
    for a, b in zip(xs, ys, strict=True):
        if math.isfinite(b):
            pieces[-1].append(f"{frame.px(a):.1f},{frame.py(b):.1f}")
        elif pieces[-1]:
            pieces.append([])
    return [
        f'<polyline class="{curve.style} t{curve.tone}" points="{" ".join(piece)}"/>'
        for piece in pieces
        if piece
    ]


def _bounds(axis: Axis, values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if axis.log:
        finite = finite[finite > 0]
    low = float(finite.min()) if axis.low is None and finite.size else axis.low
    high = float(finite.max()) if axis.high is None and finite.size else axis.high
    low = (1e-3 if axis.log else 0.0) if low is None else low
    high = low + 1.0 if high is None else high
    if high <= low:
        high = low * 1.1 if axis.log else low + 1.0
    return low, high


def _share(value: float, low: float, high: float, log: bool) -> float:
    """Where ``value`` lies between the bounds, held to [0, 1]: nothing leaves the frame."""
    if log:
        value, low, high = (math.log10(max(v, 1e-12)) for v in (value, low, high))
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _array(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, np.float64).reshape(-1)


def text(x: float, y: float, content: str, classes: str) -> str:
    """Escaped text at a place."""
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'


def document(
    parts: Sequence[str], description: str, *, width: float = WIDTH, height: float = HEIGHT
) -> str:
    """The drawing that these parts make up."""
    return (
        f'<svg class="chart" style="max-width: {width:g}px" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(description)}">' + "".join(parts) + "</svg>"
    )
