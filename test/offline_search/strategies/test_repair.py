# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from offline_search.space import cost
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import Point, SearchSpace, load_space
from offline_search.strategies.problem import Budget, SearchError
from offline_search.strategies.repair import (
    Preference,
    derived_seed,
    random_preference,
    repair,
)

KEYPOINTS = 9
TINY = load_space("tiny")


def macs(amount: float) -> Budget:
    return Budget(amount, MacsMeter())


def counted(space: SearchSpace, point: Point) -> int:
    return cost(space.architecture(point, KEYPOINTS)).macs


def sharp(space: SearchSpace, point: Point) -> Preference:
    """What prefers one point to all others."""
    gates = tuple(
        np.array([1.0 if name in opened else -1.0 for name in slot.candidates])
        for slot, opened in zip(space.slots, point.opened, strict=True)
    )
    genes = []
    for gene, choice in zip(space.genes, point.choices, strict=True):
        values = np.full(len(gene.choices), -3.0)
        values[choice] = -0.1
        genes.append(values)
    return Preference(gates, tuple(genes))


def likelihood(space: SearchSpace, preference: Preference, point: Point) -> float:
    """Of a point, relative to that of the likeliest structure with all gates closed."""
    structure = sum(
        values[choice] - values.max()
        for values, choice in zip(preference.genes, point.choices, strict=True)
    )
    gates = sum(
        odds
        for slot, opened, values in zip(space.slots, point.opened, preference.gates, strict=True)
        for name, odds in zip(slot.candidates, values, strict=True)
        if name in opened
    )
    return float(structure + gates)


def blurred(space: SearchSpace, seed: int) -> Preference:
    """Like what a search has learnt: no gate is decided."""
    rng = np.random.default_rng(seed)
    gates = tuple(rng.normal(-0.5, 1.0, len(slot.candidates)) for slot in space.slots)
    genes = tuple(np.log(rng.dirichlet(np.ones(len(gene.choices)))) for gene in space.genes)
    return Preference(gates, genes)


@pytest.mark.parametrize(("name", "draws"), [("small", 6), ("full", 1)])
@pytest.mark.parametrize("amount", [10e6, 30e6, 60e6])
def test_whatever_is_preferred_ends_within_the_budget(name: str, draws: int, amount: float) -> None:
    space = load_space(name)
    drawn = [random_preference(space, seed, 1.5) for seed in range(draws)]
    for preference in (*drawn, *(blurred(space, seed) for seed in range(draws))):
        found = repair(space, preference, macs(amount), KEYPOINTS)
        assert found.why == ""
        assert 0.95 * amount <= found.cost <= amount
        assert found.cost == counted(space, found.point)


def test_the_preferred_network_is_kept_where_it_fits() -> None:
    space = load_space("small")
    for seed in range(5):
        point = repair(space, random_preference(space, seed, 1.5), macs(30e6), KEYPOINTS).point
        for share in (0.96, 0.999):
            budget = macs(counted(space, point) / share)
            assert repair(space, sharp(space, point), budget, KEYPOINTS).point == point


def test_what_is_least_preferred_goes_first() -> None:
    space = load_space("small")
    point = repair(space, random_preference(space, 0, 3.0), macs(40e6), KEYPOINTS).point
    preference = sharp(space, point)
    slot = next(i for i, names in enumerate(point.opened) if len(names) > 1)
    last = space.slots[slot].candidates.index(point.opened[slot][-1])
    preference.gates[slot][last] = 0.01
    wanted = replace(point, opened=_without(point, slot))
    budget = macs(counted(space, wanted) / 0.999)
    assert not budget.holds(counted(space, point))
    assert repair(space, preference, budget, KEYPOINTS).point == wanted


def _without(point: Point, slot: int) -> tuple[tuple[str, ...], ...]:
    """The open operators but the last of one slot."""
    opened = list(point.opened)
    opened[slot] = opened[slot][:-1]
    return tuple(opened)


def test_on_a_space_that_can_be_listed_it_is_mostly_the_likeliest_of_all() -> None:
    points = list(TINY.points())
    costs = [counted(TINY, point) for point in points]
    likeliest = tried = 0
    for amount in (1.5e6, 2.2e6):
        budget = macs(amount)
        inside = [point for point, price in zip(points, costs, strict=True) if budget.holds(price)]
        for seed in range(40):
            preference = random_preference(TINY, seed, 1.5)
            found = repair(TINY, preference, budget, KEYPOINTS)
            best = max(likelihood(TINY, preference, point) for point in inside)
            tried += 1
            likeliest += likelihood(TINY, preference, found.point) > best - 1e-9
            assert found.point in inside or found.why
    assert likeliest > 0.7 * tried


def test_where_nothing_costs_what_is_wanted_it_says_why_and_stays_below() -> None:
    costs = sorted({counted(TINY, point) for point in TINY.points()})
    gap = next(b for a, b in pairs(costs) if a < 0.94 * b)
    amount = gap - 1.0
    found = repair(TINY, random_preference(TINY, 0, 1.5), macs(amount), KEYPOINTS)
    assert "no combination of space tiny" in found.why
    assert "MACs" in found.why
    assert found.cost < 0.95 * amount
    assert found.cost == counted(TINY, found.point)


def pairs(values: list[int]) -> Iterator[tuple[int, int]]:
    return zip(values, islice(values, 1, None), strict=False)


def test_a_budget_that_no_network_can_meet_is_refused_with_what_to_do() -> None:
    costs = [counted(TINY, point) for point in TINY.points()]
    for amount, edge, remedy in (
        (min(costs) - 1, min(costs), "raise the budget"),
        (max(costs) / 0.95 + 1e3, max(costs), "lower the budget"),
    ):
        with pytest.raises(SearchError, match=rf"space tiny .*{remedy}") as refused:
            repair(TINY, random_preference(TINY, 0, 1.5), macs(amount), KEYPOINTS)
        assert f"{edge:.4g}" in str(refused.value)


@pytest.mark.parametrize("most_open", [1, 2])
def test_no_more_gates_are_opened_than_may_be(most_open: int) -> None:
    space = load_space("small")
    for seed in range(4):
        preference = replace(random_preference(space, seed, 3.0), most_open=most_open)
        found = repair(space, preference, macs(30e6), KEYPOINTS)
        assert found.why == ""
        assert max(len(names) for names in found.point.opened) <= most_open


def test_random_preferences_are_those_of_their_seed() -> None:
    a, b, c = (
        repair(TINY, random_preference(TINY, seed, 1.5), macs(2e6), KEYPOINTS).point
        for seed in (derived_seed(3, 1), derived_seed(3, 1), derived_seed(1, 3))
    )
    assert a == b != c
    assert len({derived_seed(seed, number) for seed in range(20) for number in range(20)}) == 400


def test_random_preferences_open_as_many_as_asked_for() -> None:
    space = load_space("full")
    for mean_open in (1.0, 3.0):
        opened = [
            float((odds > 0).sum())
            for seed in range(20)
            for odds in random_preference(space, seed, mean_open).gates
        ]
        assert np.mean(opened) == pytest.approx(mean_open, rel=0.15)
