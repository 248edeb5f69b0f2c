# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/search.py found, as a table and a picture: means over seeds and their spread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from offline_search.report.alone import stand_alone
from offline_search.report.svg import Axis, Frame, text

# Heading of a column, key of the row, factor, digits.
_COLUMNS: Final = (
    ("ADD(-S) .1d", "add01", 1.0, 3),
    ("ADD AUC", "add_auc", 1.0, 3),
    ("rotation, median deg", "rotation_deg_median", 1.0, 1),
    ("MMACs", "macs", 1e-6, 1),
    ("parameters, k", "params", 1e-3, 0),
    ("layers with several operators", "layers_with_several", 1.0, 1),
    ("search, min", "search_minutes", 1.0, 1),
    ("training, min", "train_minutes", 1.0, 1),
)
_SCORE: Final = "add_auc"
_MISSING: Final = "-"

_PANEL_WIDTHS: Final = (250, 440)
"""Of an object judged at one budget, and at several."""
_LEGEND_WIDTH, _HEIGHT, _TITLE = 206, 330, 26
# The best first in the legend, so that it can be read without colours. Searched networks are filled
# dots, hand-made ones rings.
_COLOURS: Final = {
    "fpg": "#c8321f",
    "fpg_single": "#e08a00",
    "random": "#6b4fb3",
    "mobilenetv3_small": "#0b6e99",
    "mobilenetv4_conv_small": "#2a9d6f",
    "lcnet": "#7a8a12",
    "efficientnet_lite0": "#b3568f",
}
_OTHER: Final = "#5c6672"


@dataclass(frozen=True)
class Seeds:
    """Rows that differ in their seeds alone."""

    rows: tuple[Mapping[str, Any], ...]

    def mean(self, key: str) -> float:
        """Over the seeds; NaN where a row does not know."""
        return float(self._values(key).mean())

    def spread(self, key: str) -> float:
        """Standard deviation over the seeds; NaN where there is but one."""
        return float(self._values(key).std(ddof=1)) if len(self.rows) > 1 else math.nan

    def _values(self, key: str) -> NDArray[np.float64]:
        return np.array([row.get(key) for row in self.rows], np.float64)  # None becomes NaN


@dataclass(frozen=True)
class Group(Seeds):
    """The rows of one object, budget and method."""

    thing: str
    budget_macs: int
    method: str

    @property
    def searched(self) -> bool:
        """Whether the network was found, not designed."""
        return any(row["search_minutes"] is not None for row in self.rows)


def groups(rows: Sequence[Mapping[str, Any]]) -> list[Group]:
    """By object (the one with most budgets first), budget, and score (the best first)."""
    found: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["object"], row["budget_macs"], row["method"]), []).append(row)
    budgets = {thing: {b for other, b, _ in found if other == thing} for thing, _, _ in found}
    made = [Group(tuple(of_key), *key) for key, of_key in found.items()]
    return sorted(
        made, key=lambda g: (-len(budgets[g.thing]), g.thing, g.budget_macs, -g.mean(_SCORE))
    )


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown lines: a row for each group, then where the figures are from."""
    labels = [
        ((group.thing, f"{group.budget_macs / 1e6:g}", group.method), group)
        for group in groups(rows)
    ]
    lines = grouped(("object", "budget, MMACs", "method"), labels, _COLUMNS)
    return [*lines, *origin(rows, "python benchmarks/search.py")]


def grouped(
    headings: Sequence[str],
    labelled: Sequence[tuple[Sequence[str], Seeds]],
    columns: Sequence[tuple[str, str, float, int]],
) -> list[str]:
    """A table's Markdown lines: labels, the number of seeds, and means ± their spread."""
    every = [*headings, "seeds", *(heading for heading, *_ in columns)]
    lines = ["| " + " | ".join(every) + " |", "| " + " | ".join("---" for _ in every) + " |"]
    for labels, group in labelled:
        cells = [*labels, str(len(group.rows))]
        cells += [_cell(group, key, factor, digits) for _, key, factor, digits in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def origin(rows: Sequence[Mapping[str, Any]], command: str) -> list[str]:
    """Markdown lines below a table: what its figures are, where they are from, what makes them."""
    images = sorted({row["images_seen"] for row in rows})
    machines = sorted({row["machine"] for row in rows})
    dates = sorted({row["date"] for row in rows})
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return [
        "",
        "Mean ± standard deviation over seeds. Each network was trained on "
        f"{' or '.join(f'{count:,d}' for count in images)} images; {days}, on "
        f"{'; '.join(machines)}. All of it, or with these options one row, is made by:",
        "",
        "```sh",
        command,
        rows[0]["command"],
        "```",
    ]


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """Score over cost as a drawing that stands alone: a panel for each object, a line a method."""
    found = groups(rows)
    top = 1.08 * max(_finite(group.mean(_SCORE)) + _finite(group.spread(_SCORE)) for group in found)
    parts, left = [], 0
    for thing in dict.fromkeys(group.thing for group in found):
        of_thing = [group for group in found if group.thing == thing]
        several = len({group.budget_macs for group in of_thing}) > 1
        width = _PANEL_WIDTHS[several]
        parts.append(f'<g transform="translate({left} {_TITLE})">')
        parts += [*_panel(of_thing, width, top or 1.0), "</g>"]
        parts.append(text(left + width / 2 + 21, 18, thing, "strong mid"))
        left += width
    parts += _legend(found, left + 16)
    width, height = left + _LEGEND_WIDTH, _TITLE + _HEIGHT
    described = "area under recall of ADD over MACs, by object and method"
    return stand_alone(parts, described, width=width, height=height)


def _panel(found: Sequence[Group], width: int, top: float) -> list[str]:
    macs = np.array([group.mean("macs") / 1e6 for group in found])
    x = Axis("million MACs", 0.95 * float(macs.min()), 1.03 * float(macs.max()))
    y = Axis("ADD AUC", 0.0, top)
    frame = Frame(x, y, macs, np.array([]), width=width, height=_HEIGHT)
    parts = frame.grid()
    for method in reversed(_methods(found)):
        groups_of_method = [group for group in found if group.method == method]
        places = [
            (frame.px(group.mean("macs") / 1e6), frame.py(_finite(group.mean(_SCORE))))
            for group in groups_of_method
        ]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        parts.append(f'<polyline points="{path}" {_stroke(method)} fill="none"/>')
        for group, (px, py) in zip(groups_of_method, places, strict=True):
            middle, spread = _finite(group.mean(_SCORE)), _finite(group.spread(_SCORE))
            low, high = frame.py(middle - spread), frame.py(middle + spread)
            parts.append(_line((px, px), (low, high), method))
            parts.append(_mark(group, px, py, f"{method}: {middle:.3f} ± {spread:.3f}"))
    return parts


def _legend(found: Sequence[Group], left: float) -> list[str]:
    parts = []
    for index, method in enumerate(_methods(found)):
        y = _TITLE + 24 + 22 * index
        group = next(group for group in found if group.method == method)
        parts.append(_line((left, left + 22), (y, y), method))
        parts.append(_mark(group, left + 11, y, method))
        parts.append(text(left + 30, y + 4, method, ""))
    return parts


def _methods(found: Sequence[Group]) -> list[str]:
    """The best first."""
    best = {g.method: max(o.mean(_SCORE) for o in found if o.method == g.method) for g in found}
    return sorted(best, key=lambda method: (-best[method], method))


def _stroke(method: str) -> str:
    return f'stroke="{_COLOURS.get(method, _OTHER)}" stroke-width="1.6"'


def _line(xs: tuple[float, float], ys: tuple[float, float], method: str) -> str:
    ends = f'x1="{xs[0]:.1f}" x2="{xs[1]:.1f}" y1="{ys[0]:.1f}" y2="{ys[1]:.1f}"'
    return f'<line {ends} {_stroke(method)} opacity=".6"/>'


def _mark(group: Group, px: float, py: float, tip: str) -> str:
    fill = _COLOURS.get(group.method, _OTHER) if group.searched else "#fff"
    return (
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{fill}" {_stroke(group.method)}>'
        f"<title>{escape(tip)}</title></circle>"
    )


def _cell(group: Seeds, key: str, factor: float, digits: int) -> str:
    middle, spread = factor * group.mean(key), factor * group.spread(key)
    if math.isnan(middle):
        return _MISSING
    if math.isnan(spread) or round(spread, digits) == 0:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ± {spread:.{digits}f}"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
