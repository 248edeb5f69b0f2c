# SPDX-License-Identifier: Apache-2.0
"""How courses of searches are judged by a table: Kendall's tau, and regret against compute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from scipy.stats import kendalltau

from fpg_pose_ros.geometry import Array
from offline_search.tabular.replay import Course
from offline_search.tabular.table import Table

_INTERVAL: Final = (5.0, 95.0)
"""Percentiles of a bootstrap."""


class Truth:
    """How good each network of a table is: the mean over its trainings in full.

    Attributes:
        loss, keypoint_px: By digest; see `Training`.
        allowed: Digests of the networks within the budget, the best first.
        band: Digests of those in its band, see `Table.band`.
    """

    def __init__(self, table: Table) -> None:
        """Of a whole table."""
        about = table.about
        full = [one for one in table.trainings if one.images == about.images]
        of_network: dict[str, list[tuple[float, float]]] = {}
        for one in full:
            of_network.setdefault(one.network, []).append((one.loss, one.keypoint_px))
        means = {digest: np.mean(values, axis=0) for digest, values in of_network.items()}
        self.loss = {digest: float(mean[0]) for digest, mean in means.items()}
        self.keypoint_px = {digest: float(mean[1]) for digest, mean in means.items()}
        within = [one.digest for one in table.networks if one.macs <= about.budget_macs]
        self.allowed = tuple(sorted(within, key=self.loss.__getitem__))
        self.band = [one.digest for one in table.band]
        self._by_seed = {
            seed: {one.network: one.loss for one in full if one.seed == seed}
            for seed in sorted({one.seed for one in full})
        }

    def regret(self, digest: str) -> float:
        """By how much its loss exceeds that of the best network within the budget, nats."""
        return self.loss[digest] - self.loss[self.allowed[0]]

    def blind_regret(self) -> float:
        """What is to be expected of a network that is drawn from the band without looking, nats."""
        return float(np.mean([self.regret(digest) for digest in self.band]))

    def lost_px(self, digest: str) -> float:
        """By how much its keypoints lie farther off than the least that do within, crop px."""
        return self.keypoint_px[digest] - min(self.keypoint_px[one] for one in self.allowed)

    def better(self, digest: str) -> float:
        """Share of the networks within the budget whose loss is less."""
        losses = np.array([self.loss[one] for one in self.allowed])
        return float((losses < self.loss[digest]).mean())

    def tau(self, ranking: Sequence[tuple[str, float]]) -> float:
        """Kendall's tau of estimates and losses; NaN where there is nothing to rank."""
        losses = [self.loss[digest] for digest, _ in ranking]
        return _tau([estimate for _, estimate in ranking], losses)

    def tau_of_seeds(self) -> float:
        """Of the losses of two seeds, over the networks in the budget's band: the mean over pairs.

        Searches compare networks in that band. An estimate that orders them as well is worth the
        training in full of each.
        """
        pairs = combinations(self._by_seed.values(), 2)
        both = [
            _tau(*([losses[d] for d in self.band if d in a and d in b] for losses in (a, b)))
            for a, b in pairs
        ]
        return float(np.mean(both)) if both else math.nan


def _tau(first: Sequence[float], second: Sequence[float]) -> float:
    if len(set(first)) < 2 or len(set(second)) < 2:
        return math.nan
    return float(kendalltau(first, second).statistic)


@dataclass(frozen=True)
class Row:
    """A strategy at one compute; each figure is a mean and the ends of its 90 % interval.

    Attributes:
        strategy: Its name.
        replayed: See `Course`.
        compute: In trainings in full of a network of the budget.
        searches: That the figures are of.
        tau: Of its own ranking; NaN where it made none.
        regret: Nats.
        lost_px: Of keypoints, crop px.
        better: Share of the networks within the budget that are better.
    """

    strategy: str
    replayed: bool
    compute: float
    searches: int
    tau: tuple[float, float, float]
    regret: tuple[float, float, float]
    lost_px: tuple[float, float, float]
    better: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """For files; what is not known is None."""
        figures = {
            name: [None if math.isnan(value) else round(value, 5) for value in getattr(self, name)]
            for name in ("tau", "regret", "lost_px", "better")
        }
        return {
            "strategy": self.strategy,
            "replayed": self.replayed,
            "compute": round(self.compute, 4),
            "searches": self.searches,
            **figures,
        }


_End = tuple[str, list[tuple[str, float]]]
"""What a search returned, and its ranking."""


def rows(courses: Sequence[Course], truth: Truth, resamples: int) -> list[Row]:
    """A row for each strategy and compute; a replayed one has those that any search for real has.

    Args:
        courses: Of any strategies.
        truth: Of the table they are of.
        resamples: Of the bootstrap over searches that makes the intervals.
    """
    made = sorted({one.incumbents[-1][0] for one in courses if not one.replayed})
    groups: dict[tuple[str, bool, float], list[_End]] = {}
    for course in courses:
        for level in made if course.replayed and made else [course.incumbents[-1][0]]:
            found, ranking = course.at(level)
            if found is not None:
                key = course.strategy, course.replayed, level
                groups.setdefault(key, []).append((found, ranking))
    return [_row(key, groups[key], truth, resamples) for key in sorted(groups)]


def _row(
    key: tuple[str, bool, float],
    group: Sequence[_End],
    truth: Truth,
    resamples: int,
) -> Row:
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(group), size=(resamples, len(group)))

    def figure(values: Sequence[float]) -> tuple[float, float, float]:
        array = np.array(values)
        if np.isnan(array).all():
            return math.nan, math.nan, math.nan
        means: Array = np.nanmean(np.where(np.isnan(array), np.nanmean(array), array)[drawn], 1)
        low, high = np.percentile(means, _INTERVAL)
        return float(np.nanmean(array)), float(low), float(high)

    found = [digest for digest, _ in group]
    strategy, replayed, compute = key
    return Row(
        strategy=strategy,
        replayed=replayed,
        compute=compute,
        searches=len(group),
        tau=figure([truth.tau(ranking) for _, ranking in group]),
        regret=figure([truth.regret(digest) for digest in found]),
        lost_px=figure([truth.lost_px(digest) for digest in found]),
        better=figure([truth.better(digest) for digest in found]),
    )
