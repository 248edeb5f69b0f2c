# SPDX-License-Identifier: Apache-2.0
"""The judgement of strategies as Markdown, and as a drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

import numpy as np

from offline_search.report.alone import stand_alone
from offline_search.report.svg import Axis, Frame, text
from offline_search.tabular.judgement import Row

_PANEL, _LEGEND, _HEIGHT, _TITLE = 400, 150, 330, 26
# Told apart by their order in the legend too, and replayed ones by rings.
_COLOURS: Final = (
    "#c8321f",
    "#0b6e99",
    "#2a9d6f",
    "#6b4fb3",
    "#e08a00",
    "#b3568f",
    "#7a8a12",
    "#5c6672",
)
Figure = Callable[[Row], tuple[float, float, float]]


def markdown(rows: Sequence[Row]) -> list[str]:
    """A table's lines: means, and 90 % intervals of the means."""
    headings = (
        "strategy",
        "compute",
        "searches",
        "tau",
        "regret, nats",
        "keypoints farther off, px",
        "better networks",
    )
    lines = ["| " + " | ".join(headings) + " |", "| " + " | ".join("---" for _ in headings) + " |"]
    for row in rows:
        cells = [
            row.strategy,
            f"{row.compute:.3g}",
            f"{row.searches} {'replayed' if row.replayed else 'made'}",
            _cell(row.tau, 2),
            _cell(row.regret, 4),
            _cell(row.lost_px, 2),
            _cell(row.better, 3),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(figure: tuple[float, float, float], digits: int) -> str:
    middle, low, high = figure
    if math.isnan(middle):
        return "-"
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def picture(rows: Sequence[Row], tau_of_seeds: float) -> str:
    """Regret and tau over compute, a line a strategy, as an SVG file.

    Args:
        rows: At least one.
        tau_of_seeds: Drawn as a line: what the very training reaches with another seed.
    """
    names = sorted({row.strategy for row in rows})
    regret = _panel(rows, names, "regret, nats", lambda row: row.regret, None)
    tau = _panel(rows, names, "Kendall tau", lambda row: row.tau, tau_of_seeds)
    parts = []
    for index, panel in enumerate((regret, tau)):
        parts.append(f'<g transform="translate({index * _PANEL} {_TITLE})">')
        parts += [*panel, "</g>"]
    for index, name in enumerate(names):
        y = _TITLE + 24 + 22 * index
        parts.append(_dot(2 * _PANEL + 22, y, index, _replayed(rows, name), name))
        parts.append(text(2 * _PANEL + 34, y + 4, name, ""))
    width, height = 2 * _PANEL + _LEGEND, _TITLE + _HEIGHT
    described = "regret and Kendall's tau of strategies over the compute that they spent"
    return stand_alone(parts, described, width=width, height=height)


def _panel(
    rows: Sequence[Row], names: Sequence[str], label: str, figure: Figure, rule: float | None
) -> list[str]:
    known = [row for row in rows if not math.isnan(figure(row)[0])]
    marked = [] if rule is None or math.isnan(rule) else [rule]
    values = np.array([value for row in known for value in figure(row)] + marked)
    computes = np.array([row.compute for row in rows])
    x = Axis("compute, trainings in full", 0.8 * computes.min(), 1.25 * computes.max(), log=True)
    y = Axis(label, min(0.0, values.min(initial=0.0)), 1.08 * values.max(initial=1e-6))
    frame = Frame(x, y, computes, values, width=_PANEL, height=_HEIGHT)
    parts = frame.grid()
    for value in marked:
        at = frame.py(value)
        parts.append(
            f'<line x1="{frame.px(frame.x_low):.1f}" x2="{frame.right}" y1="{at:.1f}" '
            f'y2="{at:.1f}" stroke="#b9b5ac" stroke-dasharray="4 3"/>'
        )
        parts.append(text(frame.right, at - 5, "another seed's training", "tick end"))
    for index, name in enumerate(names):
        own = sorted((row for row in known if row.strategy == name), key=lambda row: row.compute)
        points = [(frame.px(row.compute), frame.py(figure(row)[0])) for row in own]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{_colour(index)}" stroke-width="1.6"/>'
        )
        for row, (px, py) in zip(own, points, strict=True):
            low, high = (frame.py(value) for value in figure(row)[1:])
            parts.append(
                f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{low:.1f}" y2="{high:.1f}" '
                f'stroke="{_colour(index)}" opacity=".6"/>'
            )
            tip = f"{name}: {figure(row)[0]:.4f} ({figure(row)[1]:.4f} to {figure(row)[2]:.4f})"
            parts.append(_dot(px, py, index, row.replayed, tip))
    return parts


def _dot(px: float, py: float, index: int, replayed: bool, tip: str) -> str:
    colour = _colour(index)
    fill = "#fff" if replayed else colour
    return (
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{fill}" stroke="{colour}" '
        f'stroke-width="1.6"><title>{escape(tip)}</title></circle>'
    )


def _replayed(rows: Sequence[Row], name: str) -> bool:
    return any(row.replayed for row in rows if row.strategy == name)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]
