# SPDX-License-Identifier: Apache-2.0
"""A search for a network of `tiny` that finds the drawn tetrahedron: real, in about a second."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawn_world import DrawnPoses, DrawnSample, tetrahedron

from offline_search.search_stages import make_problem
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import Budget, Outcome, Problem
from offline_search.strategies.registry import make_strategy
from offline_search.training.config import TrainConfig

SPACE = load_space("tiny")
KEYPOINTS = len(tetrahedron().keypoints)
BUDGET = 2.2e6
"""Amid the costs of the space's networks, which are 0.9 to 2.9 million MACs."""


@dataclass(frozen=True)
class StoppingPoses(DrawnPoses):
    """Asks the process to stop, or kills it, when a certain sample is drawn."""

    stop_at: int = -1
    stop_by: str = "SIGTERM"

    def __getitem__(self, index: int) -> DrawnSample:
        if index == self.stop_at:
            signal.raise_signal(signal.Signals[self.stop_by])
        return super().__getitem__(index)


@dataclass(frozen=True)
class DrawnSource:
    """The drawn world as a source of samples."""

    stop_at: int = -1
    stop_by: str = "SIGTERM"
    model = tetrahedron()

    def samples(self, split: str, *, seed: int, resolution: int, **_: Any) -> DrawnPoses:
        stop_at = self.stop_at if split == "train" else -1
        return StoppingPoses(seed, resolution=resolution, stop_at=stop_at, stop_by=self.stop_by)


def drawn_problem(
    *,
    budget: float = BUDGET,
    images: int = 96,
    stop_at: int = -1,
    stop_by: str = "SIGTERM",
    cache: Path | None = None,
    **settings: Any,
) -> Problem:
    """See the module; `settings` are of `TrainConfig`."""
    base = {"batch": 4, "sigma_px": 3.0, "workers": 0, "validation": 4, "checkpoint_images": 16}
    config = TrainConfig(**{**base, **settings, "images": images, "validations": 0})
    source = DrawnSource(stop_at, stop_by)
    return make_problem(source, SPACE, Budget(budget, MacsMeter()), config, cache=cache)


def search(
    strategy: str, settings: Mapping[str, Any], out: Path, problem: Mapping[str, Any]
) -> Outcome:
    """Runs a strategy on the `drawn_problem` of these settings."""
    return make_strategy(strategy, settings).search(drawn_problem(**problem), out)
