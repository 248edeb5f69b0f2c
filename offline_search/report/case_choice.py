# SPDX-License-Identifier: Apache-2.0
"""Which cases are worth showing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from offline_search.metrics.causes import Cause
from offline_search.metrics.pose_error import re, te
from offline_search.report.case import Case

#: Cases shown.
WORST: Final = 12
MEDIAN: Final = 6
# Two cases look alike where the object has moved less, of its distance, and turned less.
_ALIKE_SHIFT: Final = 0.15
_ALIKE_TURN_DEG: Final = 15.0


def worst(cases: Sequence[Case], count: int = WORST) -> list[Case]:
    """The cases furthest off, of each cause in turn, so that the commonest does not hide others.

    Of those that look alike, as neighbouring frames do, one is enough.
    """
    of_cause: dict[Cause, list[Case]] = {}
    for case in sorted(cases, key=_badness, reverse=True):
        if not case.right:
            of_cause.setdefault(case.cause, []).append(case)
    distinct = [_distinct(several, count) for several in of_cause.values()]
    chosen = [several[rank] for rank in range(count) for several in distinct if rank < len(several)]
    order = list(Cause)
    return sorted(chosen[:count], key=lambda case: order.index(case.cause))


def median(cases: Sequence[Case], count: int = MEDIAN) -> list[Case]:
    """The cases about the median error, none like another, the better ones first."""
    ordered = sorted(cases, key=_badness)
    middle = (len(ordered) - 1) / 2
    outwards = sorted(range(len(ordered)), key=lambda rank: abs(rank - middle))
    return sorted(_distinct([ordered[rank] for rank in outwards], count), key=_badness)


def _distinct(cases: Sequence[Case], count: int) -> list[Case]:
    """The first so many of which none looks like one before it."""
    chosen: list[Case] = []
    for case in cases:
        if len(chosen) < count and not any(_alike(case, other) for other in chosen):
            chosen.append(case)
    return chosen


def _alike(one: Case, other: Case) -> bool:
    """Whether two cases show the same object in nearly the same pose."""
    moved = float(te(one.truth, other.truth)) / max(one.viewpoint.distance_m, 1e-9)
    turned = float(np.degrees(re(one.truth, other.truth)))
    same = one.object_name == other.object_name
    return same and moved < _ALIKE_SHIFT and turned < _ALIKE_TURN_DEG


def _badness(case: Case) -> tuple[float, float]:
    """By error; among the misses those first that are easiest to see."""
    return case.add_d, float(np.nan_to_num(case.visible, nan=0.0))
