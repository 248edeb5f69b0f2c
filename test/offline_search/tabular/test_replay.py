# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import pairwise

import pytest
from made_table import BUDGET_MACS, IMAGES, SHORT_IMAGES, by_size, made_search, made_table, networks

from offline_search.tabular.replay import Course, RandomReplay, recorded

TABLE = made_table(noise=0.3)
MACS = {one.digest: one.macs for one in networks()}


def test_a_replay_is_decided_by_its_seed() -> None:
    first, second = RandomReplay(TABLE), RandomReplay(TABLE)
    assert first.course(3) == second.course(3)
    assert first.course(3) != first.course(4)


@pytest.mark.parametrize("seed", range(4))
def test_the_incumbent_only_gets_better_and_compute_only_grows(seed: int) -> None:
    course = RandomReplay(TABLE).course(seed)
    short = {digest: loss for _, digest, loss in course.ranking}
    losses = [short[digest] for _, digest in course.incumbents]
    assert all(later <= earlier for earlier, later in pairwise(losses))
    assert losses[-1] == min(short.values())
    computes = [compute for compute, _ in course.incumbents]
    assert all(later > earlier for earlier, later in pairwise(computes))


def test_compute_is_that_of_the_short_trainings() -> None:
    course = RandomReplay(TABLE).course(0)
    (first, digest), *_ = course.incumbents
    assert first == pytest.approx(SHORT_IMAGES * MACS[digest] / (IMAGES * BUDGET_MACS))
    # Trainings of a quarter, until two in full are spent; networks within 5 % of the budget.
    assert 8 <= len(course.incumbents) <= 9
    assert course.incumbents[-1][0] >= 2.0


def test_networks_are_within_the_budget_and_their_losses_are_those_of_one_seed() -> None:
    replay = RandomReplay(TABLE)
    for seed in (0, 1):
        table_seed = (10, 11)[seed]
        losses = {
            one.network: one.loss
            for one in TABLE.trainings
            if one.images == SHORT_IMAGES and one.seed == table_seed
        }
        for _, digest, loss in replay.course(seed).ranking:
            assert 0.95 * BUDGET_MACS <= MACS[digest] <= BUDGET_MACS
            assert loss == losses[digest]


def test_a_replay_goes_on_for_as_long_as_any_search_did() -> None:
    longest = made_table(made_search("fpg", 20, 4.0, by_size()[0]))
    assert RandomReplay(longest).course(0).incumbents[-1][0] >= 4.0


def test_a_search_made_for_real_is_one_entry_at_its_own_compute() -> None:
    best, second = by_size()[:2]
    (course,) = recorded(made_table(made_search("fpg", 20, 0.5, second, [second, best])))
    assert (course.strategy, course.seed, course.replayed) == ("fpg", 20, False)
    assert course.incumbents == ((0.5, second.digest),)
    assert course.ranking == ((0.5, second.digest, 0.0), (0.5, best.digest, 1.0))


def test_a_course_is_cut_where_its_compute_is_spent() -> None:
    trained = ((1.0, "a", 0.5), (2.0, "b", 0.7), (3.0, "c", 0.4))
    course = Course("random", 0, True, ((1.0, "a"), (2.0, "a"), (3.0, "c")), trained)
    assert course.at(0.5) == (None, [])
    assert course.at(2.0) == ("a", [("a", 0.5), ("b", 0.7)])
    assert course.at(9.0) == ("c", [("a", 0.5), ("b", 0.7), ("c", 0.4)])
