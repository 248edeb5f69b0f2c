# SPDX-License-Identifier: Apache-2.0
"""How far the sum of the parts is from the time of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from offline_search.latency.graphs import network_graph
from offline_search.latency.meter import LatencyMeter
from offline_search.latency.stopwatch import milliseconds
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost


@dataclass(frozen=True)
class Row:
    """One network: `predicted` by the meter and `measured` as a whole, ms."""

    architecture: Architecture
    macs: int
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        """1 where the meter is right."""
        return self.predicted / self.measured


@dataclass(frozen=True)
class Validation:
    """Networks, and how well the meter foretells them.

    Attributes:
        rows: One a network.
        spearman: Rank correlation of prediction and measurement; NaN of fewer than two networks.
        spearman_macs: That of MACs and measurement, for comparison.
        median_error: Median of |predicted - measured| / measured.
        median_ratio: Median of predicted / measured: what a calibration would take away.
    """

    rows: tuple[Row, ...]
    spearman: float
    spearman_macs: float
    median_error: float
    median_ratio: float


def validate(meter: LatencyMeter, architectures: Sequence[Architecture]) -> Validation:
    """Measures whole networks, all in one go, and compares.

    Raises:
        ArchitectureError: A network cannot be built.
        LatencyError: The cache cannot be written.
    """
    graphs = [(network_graph(a), (1, 3, *a.input_size)) for a in architectures]
    measured = milliseconds(graphs, meter.threads)
    rows = tuple(
        Row(architecture, cost(architecture).macs, meter.total(architecture), time)
        for architecture, time in zip(architectures, measured, strict=True)
    )
    ratios = np.array([row.ratio for row in rows])
    return Validation(
        rows,
        spearman=_spearman([row.predicted for row in rows], measured),
        spearman_macs=_spearman([row.macs for row in rows], measured),
        median_error=float(np.median(np.abs(ratios - 1.0))),
        median_ratio=float(np.median(ratios)),
    )


def _spearman(a: Sequence[float], b: Sequence[float]) -> float:
    return float(spearmanr(a, b).statistic) if len(a) > 1 else float("nan")
