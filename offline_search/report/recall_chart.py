# SPDX-License-Identifier: Apache-2.0
"""Shares of right poses over what an object is seen from, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from offline_search.report.svg import Axis, Frame, document, number, text

_BINS: Final = 12


@dataclass(frozen=True)
class Share:
    """What is right within a range.

    Attributes:
        low, high: the range; its end belongs to the next one.
        right: how many are right.
        count: of how many.
    """

    low: float
    high: float
    right: int
    count: int


def shares(values: ArrayLike, right: ArrayLike, low: float, high: float) -> list[Share]:
    """How many are right in each of twelve equal ranges; what lies beyond counts in the outermost.

    Args:
        values: (N,) finite.
        right: (N,) whether each is right.
        low: where the first range begins.
        high: where the last one ends.
    """
    at, well = np.asarray(values, dtype=np.float64), np.asarray(right, dtype=np.bool_)
    edges = np.linspace(low, high, _BINS + 1)
    inside = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, _BINS - 1)
    return [
        Share(
            float(edges[k]),
            float(edges[k + 1]),
            int(np.count_nonzero(well[inside == k])),
            int(np.count_nonzero(inside == k)),
        )
        for k in range(_BINS)
    ]


def recall_chart(found: Sequence[Share], label: str, description: str) -> str:
    """Bars of the shares, and above each how many cases it stands for, as inline SVG."""
    nothing = np.zeros(0)
    frame = Frame(
        Axis(label, found[0].low, found[-1].high),
        Axis("share that is right", 0, 1.1),
        nothing,
        nothing,
    )
    parts = frame.grid()
    for share in found:
        if not share.count:
            continue
        x0, x1 = frame.px(share.low), frame.px(share.high)
        top = frame.py(share.right / share.count)
        tip = f"{number(share.low)} to {number(share.high)}: {share.right} of {share.count}"
        parts.append(
            f'<rect class="bar t0" x="{x0 + 1:.1f}" y="{min(top, frame.bottom - 1):.1f}" '
            f'width="{max(x1 - x0 - 2, 1):.1f}" height="{max(frame.bottom - top, 1):.1f}">'
            f"<title>{tip}</title></rect>"
        )
        parts.append(text((x0 + x1) / 2, top - 5, number(share.count), "tick mid"))
    return document(parts, description)
