# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
from made_table import by_size, made_search, made_table

from offline_search.tabular.judgement import Truth, rows
from offline_search.tabular.replay import RandomReplay, recorded

BEST, SECOND, *OTHERS = by_size()
TRUTH = Truth(made_table())
RANKED = [BEST, OTHERS[40], OTHERS[90], OTHERS[150]]


def test_regret_is_the_loss_over_that_of_the_best_network_within_the_budget() -> None:
    assert TRUTH.regret(BEST.digest) == 0.0
    assert TRUTH.regret(OTHERS[40].digest) == pytest.approx((BEST.macs - OTHERS[40].macs) / 1e6)
    # One over the budget is better than all that may be found: nobody is measured by it.
    assert TRUTH.regret(by_size(within=False)[0].digest) < 0


def test_a_blind_draw_regrets_what_the_networks_of_the_band_do_on_average() -> None:
    band = [one for one in by_size() if one.macs >= 0.95 * 3_500_000]
    assert {one.digest for one in band} == set(TRUTH.band)
    mean = sum(one.macs for one in band) / len(band)
    assert TRUTH.blind_regret() == pytest.approx((BEST.macs - mean) / 1e6)


def test_lost_pixels_and_the_share_of_better_networks() -> None:
    worst = OTHERS[-1]
    assert TRUTH.lost_px(BEST.digest) == 0.0
    assert TRUTH.lost_px(worst.digest) == pytest.approx(2 * (BEST.macs - worst.macs) / 1e6)
    assert TRUTH.better(BEST.digest) == 0.0
    larger = sum(one.macs > OTHERS[40].macs for one in [BEST, SECOND, *OTHERS])
    assert TRUTH.better(OTHERS[40].digest) == pytest.approx(larger / (len(OTHERS) + 2))


def test_tau_is_that_of_the_order_of_estimates() -> None:
    ranking = [(one.digest, float(place)) for place, one in enumerate(RANKED)]
    assert TRUTH.tau(ranking) == 1.0
    assert TRUTH.tau([(digest, -place) for digest, place in ranking]) == -1.0
    # Of six pairs one is the wrong way round.
    swapped = [ranking[0], (ranking[1][0], 2.0), (ranking[2][0], 1.0), ranking[3]]
    assert TRUTH.tau(swapped) == pytest.approx(4 / 6)
    assert math.isnan(TRUTH.tau(ranking[:1]))
    assert math.isnan(TRUTH.tau([(digest, 0.0) for digest, _ in ranking]))


def test_truth_is_the_mean_over_the_seeds_of_trainings_in_full() -> None:
    table = made_table(noise=0.2)
    own = [one.loss for one in table.trainings if one.network == BEST.digest][:2]
    assert Truth(table).loss[BEST.digest] == pytest.approx(sum(own) / 2)


def test_noise_lowers_what_a_second_seed_can_tell() -> None:
    assert TRUTH.tau_of_seeds() == 1.0
    assert 0 < Truth(made_table(noise=0.02)).tau_of_seeds() < 0.9


def test_rows_are_means_over_the_searches_of_a_strategy_at_a_compute() -> None:
    table = made_table(
        made_search("fpg", 20, 0.5, OTHERS[40], RANKED),
        made_search("fpg", 21, 0.5, BEST, RANKED),
        made_search("fpg", 20, 1.0, BEST, RANKED[::-1]),
        made_search("silent", 20, 1.0, SECOND),
    )
    replay = RandomReplay(table)
    courses = [*recorded(table), *(replay.course(seed) for seed in range(5))]
    judged = rows(courses, TRUTH, 200)
    assert [(row.strategy, row.compute, row.searches, row.replayed) for row in judged] == [
        ("fpg", 0.5, 2, False),
        ("fpg", 1.0, 1, False),
        ("random", 0.5, 5, True),
        ("random", 1.0, 5, True),
        ("silent", 1.0, 1, False),
    ]
    half, whole, *_, silent = judged
    lost = TRUTH.regret(OTHERS[40].digest)
    assert half.regret == pytest.approx((lost / 2, 0.0, lost))
    assert (half.tau[0], whole.tau[0]) == (1.0, -1.0)
    assert whole.regret == (0.0, 0.0, 0.0)
    assert math.isnan(silent.tau[0])
    assert silent.to_json()["tau"] == [None, None, None]


def test_more_compute_never_lets_a_replayed_search_lose_where_trainings_are_without_noise() -> None:
    levels = [made_search("fpg", 20, level, BEST) for level in (0.25, 0.5, 1.0, 2.0)]
    table = made_table(*levels)
    replay = RandomReplay(table)
    judged = rows(
        [*recorded(table), *(replay.course(seed) for seed in range(20))], Truth(table), 50
    )
    regrets = [row.regret[0] for row in judged if row.replayed]
    assert len(regrets) >= 3
    assert regrets == sorted(regrets, reverse=True)
    assert regrets[0] > regrets[-1] >= 0
