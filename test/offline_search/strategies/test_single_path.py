# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from drawn_search import KEYPOINTS, SPACE, drawn_problem

from offline_search.space import cost
from offline_search.space.meter import MacsMeter, PriceBook
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import Budget
from offline_search.strategies.repair import repair
from offline_search.strategies.single_path import (
    as_few_open,
    draw,
    draw_at_cost,
    everything,
)

SMALL = load_space("small")
PRICES = PriceBook(SMALL, KEYPOINTS, MacsMeter())


@pytest.mark.parametrize("amount", [20e6, 30e6, 60e6])
def test_networks_are_drawn_within_the_band_from_what_is_left(amount: float) -> None:
    rng, budget = np.random.default_rng(0), Budget(amount, MacsMeter())
    left = [indices[1:] for indices in everything(SMALL)]
    paths = [draw_at_cost(PRICES, left, budget, rng) for _ in range(10)]
    assert all(budget.holds(path.cost(PRICES)) for path in paths)
    assert all(0 not in path.picks for path in paths)
    assert len(set(paths)) == 10


def test_where_none_is_in_the_band_the_draw_stays_below_or_is_cheap() -> None:
    rng, book = np.random.default_rng(0), PriceBook(SPACE, KEYPOINTS, MacsMeter())
    singles = [point for point in SPACE.points() if all(len(names) == 1 for names in point.opened)]
    costs = sorted(cost(SPACE.architecture(point, KEYPOINTS)).macs for point in singles)
    above, below = (
        draw_at_cost(book, everything(SPACE), Budget(amount, MacsMeter()), rng).cost(book)
        for amount in (10 * costs[-1], 0.5 * costs[0])
    )
    assert above == costs[-1]
    assert below == costs[0]


def test_a_second_operator_joins_only_where_the_budget_asks_for_it() -> None:
    rng, book = np.random.default_rng(0), PriceBook(SPACE, KEYPOINTS, MacsMeter())
    path = draw(SPACE, everything(SPACE), rng)
    single = drawn_problem(budget=path.cost(book) / 0.98)
    kept = as_few_open(single, path.preference(SPACE))
    assert kept.most_open == 1
    assert repair(SPACE, kept, single.budget, KEYPOINTS).point == path.point(SPACE)
    several = drawn_problem()  # more than any network of one operator a layer costs
    found = repair(SPACE, as_few_open(several, kept), several.budget, KEYPOINTS)
    assert found.why == ""
    assert max(len(names) for names in found.point.opened) > 1
