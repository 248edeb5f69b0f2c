# SPDX-License-Identifier: Apache-2.0
"""How gates and choices of structure moved during a search, as heat maps.

A panel is a layer, a row one of its candidates, a column a time. The darkest colour is the greatest
probability of a drawing: under a small budget all gates are unlikely. A dot marks what the search
kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Final

from offline_search.report.svg import text

WIDTH: Final = 1040
_LABELS: Final = 96
"""Room for the candidates' names, left of the first panel of a line."""
_GAP: Final = 16
_MARK: Final = 10
"""Room for the dots that mark what was kept, right of the last panel."""
_TITLE: Final = 26
_ROW: Final = 14.0
_GENE_LABEL_LETTER: Final = 7.3
_GENE_GAP: Final = 30
_MOST_PANELS: Final = 8
_WIDEST: Final = 300.0
# Probabilities are drawn in steps of this size: neighbours of one step become one rectangle.
_STEPS: Final = 20


@dataclass(frozen=True)
class Panel:
    """One layer, or one gene.

    Attributes:
        title: What it is.
        rows: Names of its candidates.
        values: For each time, for each candidate, the probability that it is taken.
        kept: The candidates that the search ended with.
        group: What it is part of; written once for neighbours.
    """

    title: str
    rows: Sequence[str]
    values: Sequence[Sequence[float]]
    kept: Collection[str] = ()
    group: str = ""


def draw_gates(panels: Sequence[Panel]) -> str:
    """All layers in one drawing; the layers of a line share the names of their rows.

    Args:
        panels: One for each layer, in order.
    """
    lines = _lines(len(panels), _MOST_PANELS)
    most = max((len(line) for line in lines), default=1)
    pitch = min((WIDTH - _LABELS - _MARK + _GAP) / most, _WIDEST + _GAP)
    darkest = greatest(panels)
    parts: list[str] = []
    top = 0.0
    for line in lines:
        shown = [panels[index] for index in line]
        names = list(dict.fromkeys(name for panel in shown for name in panel.rows))
        for row, name in enumerate(names):
            at = top + _TITLE + (row + 0.5) * _ROW + 4
            parts.append(text(_LABELS - 8, at, name, "end"))
        group = ""
        for column, panel in enumerate(shown):
            left = _LABELS + column * pitch
            if panel.group != group:
                parts.append(text(left, top + 16, f"{panel.group} · {panel.title}", "strong"))
            else:
                parts.append(text(left, top + 16, panel.title, ""))
            group = panel.group
            parts += _panel(panel, names, left, top, pitch - _GAP, darkest)
        top += _TITLE + _ROW * len(names) + 14
    return _drawing(parts, top - 14, f"probabilities of the gates of {len(panels)} layers")


def greatest(panels: Sequence[Panel]) -> float:
    """The greatest probability in any of them; 1 where there is none."""
    return max((max(v) for panel in panels for v in panel.values if v), default=1.0) or 1.0


def draw_genes(panels: Sequence[Panel]) -> str:
    """The choices of structure, each with the names of its own rows.

    Args:
        panels: One for each gene.
    """
    lines = _lines(len(panels), 4)
    most = max((len(line) for line in lines), default=1)
    pitch = min((WIDTH - _MARK + _GENE_GAP) / most, _WIDEST + _LABELS)
    longest = [
        max(
            len(name)
            for line in lines
            for index in line[column : column + 1]
            for name in panels[index].rows
        )
        for column in range(most)
    ]
    parts: list[str] = []
    top = 0.0
    for line in lines:
        shown = [panels[index] for index in line]
        for column, panel in enumerate(shown):
            left = column * pitch
            label = min(_GENE_LABEL_LETTER * longest[column], 0.5 * pitch) + 10
            for row, name in enumerate(panel.rows):
                at = top + _TITLE + (row + 0.5) * _ROW + 4
                weight = "end strong" if name in panel.kept else "end"
                parts.append(text(left + label - 8, at, name, weight))
            parts.append(text(left + label, top + 16, panel.title, "strong"))
            width = pitch - _GENE_GAP - label
            parts += _panel(panel, panel.rows, left + label, top, width, greatest(panels))
        top += _TITLE + _ROW * max(len(panel.rows) for panel in shown) + 14
    return _drawing(parts, top - 14, f"probabilities of {len(panels)} choices of structure")


def _lines(count: int, most: int) -> list[range]:
    """Lines of about equal length, none longer than `most`."""
    lines = max(1, -(-count // most))
    length = -(-count // lines)
    return [range(start, min(start + length, count)) for start in range(0, count, max(length, 1))]


def _panel(
    panel: Panel, names: Sequence[str], left: float, top: float, width: float, darkest: float
) -> Iterator[str]:
    column = width / max(len(panel.values), 1)
    for row, name in enumerate(names):
        if name not in panel.rows:
            continue
        y = top + _TITLE + row * _ROW
        course = [values[list(panel.rows).index(name)] for values in panel.values]
        yield from _row([value / darkest for value in course], left, y, column)
        tip = f"{name}: {course[0]:.2f} to {course[-1]:.2f}" if course else name
        yield (
            f'<rect class="cells" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{_ROW - 1:g}"><title>{escape(tip)}</title></rect>'
        )
        if name in panel.kept:
            yield (
                f'<circle class="dot t1" cx="{left + width + 6:.1f}" cy="{y + _ROW / 2:.1f}" '
                f'r="3"><title>{escape(name)} was kept</title></circle>'
            )


def _row(shares: Sequence[float], left: float, y: float, column: float) -> Iterator[str]:
    start = 0
    for level, run in groupby(round(share * _STEPS) for share in shares):
        length = len(list(run))
        if level > 0:
            # Of rounded edges, so that neighbours meet.
            x0, x1 = (round(left + place * column, 1) for place in (start, start + length))
            yield (
                f'<rect class="heat" x="{x0:g}" y="{y:.1f}" '
                f'width="{x1 - x0:.1f}" height="{_ROW - 1:g}" style="--p:{level / _STEPS:.0%}"/>'
            )
        start += length


def _drawing(parts: Sequence[str], height: float, description: str) -> str:
    return (
        f'<svg class="heatmap" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(description)}">' + "".join(parts) + "</svg>"
    )
