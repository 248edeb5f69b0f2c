# SPDX-License-Identifier: Apache-2.0
"""A whole table whose losses are made up: the larger a network the better, with a seed's noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from offline_search.space.cost import cost
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import Budget
from offline_search.tabular.table import About, Network, Search, Table, Training

IMAGES, SHORT_IMAGES = 800, 200
BUDGET_MACS = 3_500_000
_OUTPUTS = 5


@lru_cache(maxsize=1)
def networks() -> tuple[Network, ...]:
    """All of the space `table`."""
    space = load_space("table")
    made = []
    for point in space.points():
        architecture = space.architecture(point, _OUTPUTS)
        price = cost(architecture)
        made.append(
            Network(architecture.digest, point.choices, point.opened, price.macs, price.params, 0.5)
        )
    return tuple(made)


def made_table(*searches: Search, noise: float = 0.0) -> Table:
    """See the module.

    Args:
        searches: To be in it.
        noise: Standard deviation of a training's loss over seeds.
    """
    rng = np.random.default_rng(0)
    budget = Budget(BUDGET_MACS, MacsMeter())
    trainings = [
        _training(network, images, seed, float(noise * rng.normal()))
        for images, seeds in ((IMAGES, (0, 1)), (SHORT_IMAGES, (10, 11)))
        for seed in seeds
        for network in networks()
        if images == IMAGES or budget.holds(network.macs)
    ]
    about = About(
        object="spot",
        outputs=_OUTPUTS,
        space="table",
        budget_macs=BUDGET_MACS,
        images=IMAGES,
        short_images=SHORT_IMAGES,
        recipe="0" * 64,
        machine="a machine",
        latency_machine="another machine",
    )
    return Table(about, networks(), tuple(trainings), tuple(searches))


def _training(network: Network, images: int, seed: int, noise: float) -> Training:
    loss = 8.0 - network.macs / 1e6 + (0.5 if images == SHORT_IMAGES else 0.0) + noise
    return Training(
        network.digest, images, seed, (loss + 0.2, loss), 2 * loss, 0.2, 0.1, 0.3, "d" * 16
    )


def by_size(within: bool = True) -> list[Network]:
    """The largest, and so the best, first."""
    held = [one for one in networks() if not within or one.macs <= BUDGET_MACS]
    return sorted(held, key=lambda one: (-one.macs, one.digest))


def made_search(
    strategy: str, seed: int, compute: float, found: Network, ranked: Sequence[Network] = ()
) -> Search:
    """A search that took the networks to be ever worse, in their order."""
    ranking = tuple((one.digest, float(place)) for place, one in enumerate(ranked))
    return Search(strategy, {}, compute, compute, seed, found.digest, ranking, 1.0)
