# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from offline_search.space.gates import SeveralGate, SingleGate
from offline_search.space.meter import MacsMeter, PriceList, price_list
from offline_search.space.search_space import load_space
from offline_search.strategies.distribution import Distribution, generator
from offline_search.strategies.start import Start, start

SPACE = load_space("small")
KEYPOINTS = 12
FAVOURED = "mb_k5_e3"


def prices(choices: tuple[int, ...]) -> PriceList:
    return price_list(SPACE, choices, KEYPOINTS, MacsMeter())


def begin(wanted: float, favoured: str = FAVOURED, seed: int = 0) -> Start:
    rng = np.random.default_rng(seed)
    return start(SPACE, SeveralGate(), prices, wanted, favoured, rng)


def mean_cost(made: Start) -> float:
    distribution = Distribution(SPACE, SeveralGate(), made.gates, made.genes)
    rng = generator(1, 0, 0)
    drawn = [distribution.draw_choices(rng) for _ in range(200)]
    with torch.no_grad():
        return float(np.mean([float(distribution.expected_cost(prices(one))) for one in drawn]))


@pytest.mark.parametrize("wanted", [30e6, 45e6, 90e6])
def test_random_networks_cost_what_is_wanted_on_average(wanted: float) -> None:
    assert mean_cost(begin(wanted)) == pytest.approx(wanted, rel=0.2)


def test_a_smaller_budget_makes_cheap_structures_likelier_and_closes_no_favoured_gate() -> None:
    small, large = begin(38e6), begin(90e6)
    for index, gene in enumerate(SPACE.genes):
        assert all(np.isfinite(small.genes[index]))
        if gene.name.startswith("width"):
            values = [float(choice) for choice in gene.choices]
            means = [np.average(values, weights=np.exp(one.genes[index])) for one in (small, large)]
            assert means[0] < means[1]
    for slot, logits in zip(SPACE.slots, small.gates, strict=True):
        probabilities = SeveralGate().probabilities(torch.from_numpy(logits))
        assert int(logits.argmax()) == slot.candidates.index(FAVOURED)
        assert float(probabilities.max()) > 0.4


def test_without_a_favoured_operator_all_are_as_likely() -> None:
    for logits in begin(40e6, favoured="").gates:
        assert np.ptp(logits) == 0.0


def test_a_start_is_a_function_of_its_seed() -> None:
    one, same, other = begin(40e6), begin(40e6), begin(40e6, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(one.genes, same.genes, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one.genes, other.genes, strict=True))


def test_a_budget_that_no_network_reaches_gives_finite_logits() -> None:
    for wanted in (1.0, 1e15):
        made = start(SPACE, SingleGate(), prices, wanted, FAVOURED, np.random.default_rng(0))
        assert all(np.isfinite(values).all() for values in (*made.gates, *made.genes))
