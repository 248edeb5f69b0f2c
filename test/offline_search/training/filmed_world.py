# SPDX-License-Identifier: Apache-2.0
"""A little network of Spot as its training leaves it, and films of a few seconds of rendering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offline_search.data.film_poses import FilmPoses
from offline_search.data.objects import load_object
from offline_search.space import Architecture, Head, Stage
from offline_search.space.cost import cost
from offline_search.space.meter import MacsMeter
from offline_search.space.network import build
from offline_search.space.search_space import load_space
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.problem import Budget, Problem
from offline_search.temporal_stages import make_temporal_problem
from offline_search.training.config import TrainConfig
from offline_search.training.loop import TrainResult, save_result
from offline_search.training.seed_network import load_seed_network

KEYPOINTS = 16
LITTLE = Architecture(
    (32, 32),
    8,
    8,
    (Stage(8, 2, (("sep_k3",),)), Stage(12, 2, (("sep_k3",),))),
    Head("heatmap", (8,), KEYPOINTS, mask=True),
)
BUDGET = cost(LITTLE).macs + 6000
"""Less than all operators at all lags would cost."""
EXTRA = {"sigma_px": 3.0, "crop_margin": 1.28}


def trained(out: Path, architecture: Architecture = LITTLE) -> Path:
    """The folder of a training of no images."""
    out.mkdir(parents=True)
    save_result(out, TrainResult(build(architecture, seed=0).eval(), {}, EXTRA, 0.0, 0))
    return out


def config(**changes: Any) -> TrainConfig:
    base = {"images": 64, "batch": 8, "layers": 32, "workers": 0, "validation": 8}
    return TrainConfig(**{**base, "validations": 0, "sigma_px": 3.0, **changes})


def filmed(cache: Path) -> FilmPoses:
    return FilmPoses(load_object("spot"), cache)


def temporal_problem(
    folder: Path, cache: Path, *, budget: float = BUDGET, **changes: Any
) -> Problem:
    """The search for the cell of the network in `folder`."""
    space = load_space("temporal")
    assert isinstance(space, TemporalSpace)
    seed_network = load_seed_network(folder)
    wanted, meter = config(**changes), MacsMeter()
    source = filmed(cache)
    return make_temporal_problem(source, space, Budget(budget, meter), wanted, seed_network, cache)
