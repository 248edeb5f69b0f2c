# SPDX-License-Identifier: Apache-2.0
"""The time of a part as a function of its work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from offline_search.latency.work import Work


@dataclass(frozen=True)
class Fit:
    """The time of a part: a sum over the quantities of its work.

    Attributes:
        rates: (4,) ms for one of each quantity of `Work`. None is negative: more work never takes
            less time.
        error: Median relative error over the graphs that it was learnt from.
        graphs: How many those were.
    """

    rates: tuple[float, ...]
    error: float
    graphs: int

    def ms(self, work: Work) -> float:
        """Time of the part when it is that much work."""
        return float(np.dot(self.rates, work.array()))


def fit(work: Sequence[Work], part: Sequence[float], whole: Sequence[float]) -> tuple[Fit, float]:
    """Non-negative least squares.

    Args:
        work: Of the part in each graph.
        part: Its times, ms: differences of the times of graphs.
        whole: Times of the graphs. What is uncertain of them is in proportion to them.

    Returns:
        The fit, and the sum over graphs of what it misses of their times, relative and squared.
    """
    amounts = np.array([amount.array() for amount in work])
    measured, weights = np.array(part), 1.0 / np.array(whole)
    matrix = amounts * weights[:, None]
    scale = np.where(matrix.any(axis=0), matrix.max(axis=0), 1.0)  # MACs are many, layers few
    solution, distance = nnls(matrix / scale, measured * weights)
    rates = solution / scale
    missed = np.abs(amounts @ rates - measured)
    error = float(np.median(missed / np.maximum(measured, np.finfo(float).eps)))
    return Fit(tuple(rates.tolist()), error, len(work)), float(distance**2)
