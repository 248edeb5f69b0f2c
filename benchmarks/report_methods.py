# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/methods.py found: a line a method, one fabric against several, a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from benchmarks.report_ablation import compared
from benchmarks.report_search import Group, grouped, groups, origin
from benchmarks.searched import SEARCHED
from offline_search.report.alone import stand_alone
from offline_search.report.svg import number, text, ticks

# Heading of a column, key of the row, factor, digits.
_FIGURES: Final = (
    ("ADD(-S) .1d", "add01", 1.0, 3),
    ("ADD AUC", "add_auc", 1.0, 3),
    ("rotation, median deg", "rotation_deg_median", 1.0, 1),
    ("MMACs", "macs", 1e-6, 1),
    ("parameters, k", "params", 1e-3, 0),
)
_COLUMNS: Final = (
    *_FIGURES,
    ("layers with several operators", "layers_with_several", 1.0, 1),
    ("compute spent, of what was given", "search_compute", 1.0, 2),
    ("search, min", "search_minutes", 1.0, 1),
    ("training, min", "train_minutes", 1.0, 1),
)
_WHOLE, _ONE_PART = "posenfs", "posenfs_1"

_LEFT, _ROW, _TOP, _BOTTOM = 96, 26, 40, 44
_PANELS: Final = (
    (_LEFT, 400, "ADD AUC", "add_auc"),
    (_LEFT + 440, 170, "compute of the search", "search_compute"),
)
"""Left end and width in px, what is shown, key of the row."""
_WIDTH: Final = 724
_LAYERS, _FABRICS = "#c8321f", "#0b6e99"


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown lines: a row for each method, the best first; then one fabric against several."""
    found = groups(rows)
    table = grouped(("method",), [((group.method,), group) for group in found], _COLUMNS)
    return [*table, *origin(rows, "python benchmarks/methods.py"), *_parts(found)]


def _parts(found: Sequence[Group]) -> list[str]:
    by_seed = {
        group.method: {row["seed"]: row for row in group.rows}
        for group in found
        if group.method in (_WHOLE, _ONE_PART)
    }
    if len(by_seed) < 2:
        return []
    whole, one = by_seed[_WHOLE], by_seed[_ONE_PART]
    pair = compared(
        ("the object's parts", "one part", "difference, seed by seed"),
        {seed: row for seed, row in whole.items() if seed in one},
        {seed: row for seed, row in one.items() if seed in whole},
        [key for _, key, _, _ in _FIGURES],
    )
    labelled = [((label,), seeds) for label, seeds in pair]
    return [
        "",
        "A fabric for each part of the object against one for all of it, at equal MACs:",
        "",
        *grouped(("fabrics",), labelled, _FIGURES),
    ]


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """What each method reached and spent, the best above; a ring is a seed, a dot their mean."""
    found = groups(rows)
    bottom = _TOP + _ROW * len(found)
    parts = []
    for index, group in enumerate(found):
        parts.append(text(_LEFT - 12, _place(index) + 4, group.method, "end"))
    for left, width, label, key in _PANELS:
        parts += _panel(found, left, width, label, key)
    described = "area under recall of ADD, and compute that was spent, by method"
    return stand_alone(parts, described, width=_WIDTH, height=bottom + _BOTTOM)


def _panel(found: Sequence[Group], left: int, width: int, label: str, key: str) -> list[str]:
    values = [row[key] for group in found for row in group.rows if row.get(key) is not None]
    top, bottom = max([*values, 1e-3]) * 1.06, _TOP + _ROW * len(found)

    def px(value: float) -> float:
        return left + width * min(max(value / top, 0.0), 1.0)

    parts = []
    for tick in ticks(0.0, top, 4):
        at = f"{px(tick):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(text(px(tick), bottom + 17, number(tick), "tick mid"))
    parts.append(
        f'<line class="axis" x1="{left}" x2="{left + width}" y1="{bottom}" y2="{bottom}"/>'
    )
    parts.append(text(left + width / 2, _TOP - 16, label, "strong mid"))
    for index, group in enumerate(found):
        parts += _marks(group, key, [px(v) for v in _known(group, key)], _place(index), px)
    return parts


def _marks(group: Group, key: str, seeds: Sequence[float], y: float, px: Any) -> list[str]:
    if not seeds:
        return []
    colour = _FABRICS if SEARCHED[group.method].space == "fabric" else _LAYERS
    middle, spread = float(np.mean(_known(group, key))), group.spread(key)
    spread = spread if math.isfinite(spread) else 0.0
    tip = f"{group.method}: {middle:.3f} ± {spread:.3f}"
    ends = f'x1="{px(middle - spread):.1f}" x2="{px(middle + spread):.1f}"'
    return [
        f'<line {ends} y1="{y}" y2="{y}" stroke="{colour}" stroke-width="1.6" opacity=".6"/>',
        *(
            f'<circle cx="{at:.1f}" cy="{y}" r="2.6" fill="#fff" stroke="{colour}"/>'
            for at in seeds
        ),
        f'<circle cx="{px(middle):.1f}" cy="{y}" r="4.2" fill="{colour}">'
        f"<title>{escape(tip)}</title></circle>",
    ]


def _known(group: Group, key: str) -> list[float]:
    return [float(row[key]) for row in group.rows if row.get(key) is not None]


def _place(index: int) -> float:
    """Of a method's line."""
    return _TOP + _ROW * (index + 0.5)
