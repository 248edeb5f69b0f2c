# SPDX-License-Identifier: Apache-2.0
"""The search for a temporal cell as a problem that the one command takes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from offline_search.data.datasets import as_ramp
from offline_search.data.film_poses import FilmPoses
from offline_search.data.sources import Split
from offline_search.retrain import CROP_MARGIN, make_temporal_task
from offline_search.search_stages import SELECTION_SEED, make_clock
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cell_cost, cost
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.problem import Budget, Problem, SearchError
from offline_search.training.config import TrainConfig
from offline_search.training.film_features import FilmFeatures
from offline_search.training.search_task import ENDLESS
from offline_search.training.seed_network import SeedNetwork
from offline_search.training.task import Task
from offline_search.training.temporal_search_task import TemporalSearchTask
from offline_search.training.temporal_task import TemporalTask


def make_temporal_problem(
    source: FilmPoses,
    space: TemporalSpace,
    budget: Budget,
    config: TrainConfig,
    seed_network: SeedNetwork,
    cache: Path | None = None,
) -> Problem:
    """The search for the temporal cell of an object's trained network.

    Args:
        source: Of the object's films.
        space: Of cells; it is put over the trained network.
        budget: Of the whole network, in MACs.
        config: As of any search; `layers` are frames of training films.
        seed_network: The trained network.
        cache: Folder of features and measured times; the user's cache folder by default.

    Raises:
        SearchError: The network alone is over the budget, or of another object.
    """
    architecture = seed_network.network.architecture
    price, outputs = cost(replace(architecture, cell=None)).macs, architecture.head.outputs
    if outputs > len(source.model.keypoints):
        raise SearchError(
            f"the seed network has {outputs} outputs, {source.model.name} has "
            f"{len(source.model.keypoints)} keypoints: give a network of this object"
        )
    space = space.over(architecture)
    least = price + min(cell_cost(cell).macs for cell in space.least())
    if least > budget.amount:
        raise SearchError(
            f"the network costs {price / 1e6:.3f} MMACs without a cell and {least / 1e6:.3f} with "
            f"the smallest, the budget is {budget.amount / 1e6:.3f}: raise it, or give a smaller "
            "--seed-network"
        )
    whole, side = space.whole(), architecture.input_size[1]

    def part(split: Split, seed: int, layers: int) -> TemporalTask:
        frames = source.samples(
            split,
            seed=seed,
            resolution=side,
            margin=CROP_MARGIN,
            layers=layers,
            layer_px=None,
            difficulty=as_ramp(config.difficulty),
            length=ENDLESS,
            renderer=config.renderer,
        )
        features = FilmFeatures(cache, frames.store, seed_network)
        return TemporalTask(
            source.model,
            frames,
            frames,
            whole,
            config,
            CROP_MARGIN,
            features=features,
            unseen=features,
        )

    def make(network: Architecture, wanted: TrainConfig) -> Task:
        return make_temporal_task(source, network, wanted, seed_network, cache)

    task = TemporalSearchTask(
        source.model.first_keypoints(outputs),
        part("train", config.seed, config.layers),
        part("held_out", SELECTION_SEED, max(1, config.layers // 4)),
        side,
        make,
    )
    # A cell must not spend what does not help: any cost up to the budget is within it.
    free = replace(budget, low=0.0)
    return Problem(space, task, free, config, partial(make_clock, cache), seed_network)
