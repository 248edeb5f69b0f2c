# SPDX-License-Identifier: Apache-2.0
"""Methods that search a network, all with the same compute, and what each of them found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.runs import locked
from offline_search.data.objects import RenderableObject
from offline_search.data.sources import RenderedPoses
from offline_search.rendering import render_layers
from offline_search.search import layer_stores
from offline_search.search_stages import find, make_problem
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import Budget, Outcome
from offline_search.training.config import TrainConfig

_SEARCH_SHARE: Final = 0.9
"""Compute of a search in that of training a network of the budget."""


@dataclass(frozen=True)
class Method:
    """A strategy, its settings, and the space in which it searches."""

    strategy: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: str = "small"


SEARCHED: Final[Mapping[str, Method]] = {
    "fpg": Method("fpg"),
    # Has to keep one operator a layer.
    "fpg_single": Method("fpg", {"gate": "single"}),
    "random": Method("random", {"trials": 4}),
    "parsec": Method("parsec"),
    "fp_nas": Method("fp_nas"),
    "bn_nas": Method("bn_nas"),
    "da_nas": Method("da_nas"),
    # Nothing is timed beside trainings: times of parts, measured once, are added up.
    "sm_nas": Method("sm_nas", {"latency": "parts"}),
    "posenfs": Method("posenfs", space="fabric"),
    # One fabric in place of one for each part of the object.
    "posenfs_1": Method("posenfs", {"parts": 1}, "fabric"),
}


def searched(
    name: str,
    thing: RenderableObject,
    budget: int,
    config: TrainConfig,
    work: Path,
    out: Path,
    jobs: int,
) -> Outcome:
    """What a method finds with the compute of training `_SEARCH_SHARE` of the images on the budget.

    Args:
        name: Of the method.
        thing: What the network is to find.
        budget: MACs.
        config: The training of every network.
        work: Folder of all runs.
        out: Folder of this search.
        jobs: Processes that render.
    """
    method = SEARCHED[name]
    wanted = replace(config, images=round(_SEARCH_SHARE * config.images))
    source, meter = RenderedPoses(thing), MacsMeter()
    problem = make_problem(source, load_space(method.space), Budget(budget, meter), wanted)
    with locked(work / "render.lock"):  # ahead, so that no search's minutes count that
        render_layers(layer_stores(problem), jobs=jobs)
    return find(problem, method.strategy, method.settings, out)
