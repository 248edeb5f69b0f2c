# SPDX-License-Identifier: Apache-2.0
"""Points over two axes, with labels that keep clear of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final, Literal, NamedTuple

import numpy as np

from offline_search.report.svg import HEIGHT, WIDTH, Axis, Frame, Rule, document, text

_RADII: Final = {"dot": 4.0, "ring": 4.0, "star": 7.0}
# Of the page's font at the size of labels.
_LETTER: Final = 6.5
_LINE: Final = 13.0


@dataclass(frozen=True)
class Mark:
    """A point.

    Attributes:
        x, y: Its place.
        tip: What its tooltip says.
        label: Written beside it, where there is room.
        tone: One of the page's colours, 0 to 3.
        shape: What is drawn; a star is for the one that matters.
        spread: Lowest and highest value that `y` stands for, drawn as a line.
    """

    x: float
    y: float
    tip: str
    label: str = ""
    tone: int = 0
    shape: Literal["dot", "ring", "star"] = "dot"
    spread: tuple[float, float] | None = None


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        across = min(self.right, other.right) - max(self.left, other.left)
        along = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(along, 0.0)


def scatter(
    marks: Sequence[Mark],
    *,
    x: Axis,
    y: Axis,
    steps: Sequence[tuple[float, float]] = (),
    chains: Sequence[Sequence[tuple[float, float]]] = (),
    rules: Sequence[Rule] = (),
    width: int = WIDTH,
    height: int = HEIGHT,
    description: str,
) -> str:
    """Marks over two axes.

    Args:
        marks: The later, the further in front.
        x: Its axis.
        y: Its axis.
        steps: Corners of a staircase that rises from the left to the right: a front.
        chains: Points of the same kind, to be joined by faint lines.
        rules: Vertical reference lines.
        width: Of the drawing.
        height: Of the drawing.
        description: For those who cannot see it.
    """
    finite = [mark for mark in marks if math.isfinite(mark.x) and math.isfinite(mark.y)]
    ys = [value for mark in finite for value in (mark.y, *(mark.spread or ()))]
    xs = [mark.x for mark in finite] + [rule.value for rule in rules]
    frame = Frame(x, y, np.array(xs), np.array(ys), width=width, height=height)
    parts = frame.grid()
    labels: list[_Box] = []
    for rule in rules:
        at = frame.px(rule.value)
        parts.append(
            f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{frame.py(frame.y_high):.1f}" '
            f'y2="{frame.bottom:.1f}"/>'
        )
        labels.append(_rule_label(frame, at, rule.label))
        parts.append(text(labels[-1].left, labels[-1].bottom - 3, rule.label, "note"))
    for chain in chains:
        parts.append(_line(frame, chain, "chain"))
    if len(steps) > 1:
        corners = [steps[0]]
        for (_, low), (right, high) in pairwise(steps):
            corners += [(right, low), (right, high)]
        parts.append(_line(frame, [*corners, (frame.x_high, steps[-1][1])], "front"))
    parts += [piece for mark in finite for piece in _draw(frame, mark)]
    parts += _labels(frame, finite, labels)
    return document(parts, description, width=width, height=height)


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, score) that no other beats in both, from the cheapest to the dearest."""
    kept: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or score > kept[-1][1]:
            kept.append((cost, score))
    return kept


def _draw(frame: Frame, mark: Mark) -> list[str]:
    px, py, tip = frame.px(mark.x), frame.py(mark.y), f"<title>{escape(mark.tip)}</title>"
    parts = []
    if mark.spread is not None:
        low, high = (frame.py(value) for value in mark.spread)
        parts.append(
            f'<line class="line t{mark.tone}" x1="{px:.1f}" x2="{px:.1f}" y1="{low:.1f}" '
            f'y2="{high:.1f}"/>'
        )
    radius = _RADII[mark.shape]
    if mark.shape == "star":
        corners = " ".join(
            f"{px + r * math.sin(k * math.pi / 5):.1f},{py - r * math.cos(k * math.pi / 5):.1f}"
            for k in range(10)
            for r in [radius if k % 2 == 0 else 0.45 * radius]
        )
        return [*parts, f'<polygon class="bar t{mark.tone}" points="{corners}">{tip}</polygon>']
    shape = "ring" if mark.shape == "ring" else "dot"
    circle = f'<circle class="{shape} t{mark.tone}" cx="{px:.1f}" cy="{py:.1f}" r="{radius:g}">'
    return [*parts, f"{circle}{tip}</circle>"]


def _line(frame: Frame, points: Sequence[tuple[float, float]], classes: str) -> str:
    places = " ".join(f"{frame.px(x):.1f},{frame.py(y):.1f}" for x, y in points)
    return f'<polyline class="{classes}" points="{places}"/>'


def _rule_label(frame: Frame, at: float, label: str) -> _Box:
    length = _LETTER * len(label)
    left = at - 5 - length if at + length + 5 > frame.right else at + 5
    top = frame.py(frame.y_high)
    return _Box(left, top, left + length, top + _LINE)


def _labels(frame: Frame, marks: Sequence[Mark], taken: list[_Box]) -> list[str]:
    """Each label beside its mark, where it hides least; with a thin line if that is not near."""
    for mark in marks:
        px, r = frame.px(mark.x), _RADII[mark.shape]
        ends = [frame.py(value) for value in (mark.y, *(mark.spread or ()))]
        taken.append(_Box(px - r, min(ends) - r, px + r, max(ends) + r))
    inside = _Box(frame.px(frame.x_low), 0.0, frame.right + 8, frame.bottom)
    parts = []
    for mark in sorted(marks, key=lambda mark: -mark.y):
        if not mark.label:
            continue
        px, py = frame.px(mark.x), frame.py(mark.y)
        boxes = _places(px, py, _RADII[mark.shape], mark.label)
        area = (boxes[0].right - boxes[0].left) * _LINE
        worst = [
            2 * sum(box.overlap(other) for other in taken)
            + 4 * (area - box.overlap(inside))
            + 3 * abs((box.top + box.bottom) / 2 - py)
            for box in boxes
        ]
        best = boxes[worst.index(min(worst))]
        taken.append(best)
        middle = (best.top + best.bottom) / 2
        if abs(middle - py) > _LINE:
            near = best.left - 2 if best.left > px else best.right + 2
            parts.append(
                f'<line class="leader" x1="{px:.1f}" y1="{py:.1f}" x2="{near:.1f}" '
                f'y2="{middle:.1f}"/>'
            )
        # Letters are not all of one width: the side that must be near is where the text is held.
        at, style = (best.left, "note") if best.left > px else (best.right, "note end")
        parts.append(text(at, best.bottom - 3, mark.label, style))
    return parts


def _places(px: float, py: float, radius: float, label: str) -> list[_Box]:
    """Right and left of a mark, at its height or up to a few lines above and below."""
    length = _LETTER * len(label)
    found = []
    for shift in range(-4, 5):
        gap = radius + (4 if abs(shift) < 2 else 12)
        top = py + shift * _LINE - _LINE / 2
        for left in (px + gap, px - gap - length):
            found.append(_Box(left, top, left + length, top + _LINE))
    return found
