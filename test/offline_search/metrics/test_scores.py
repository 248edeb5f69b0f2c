# SPDX-License-Identifier: Apache-2.0
"""Scores over targets: matching, misses and thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fpg_pose_ros.geometry import Array, exp_so3, make_transform
from offline_search.metrics.scores import ObjectGeometry, Target, match, score

K = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])
POINTS = np.random.default_rng(0).uniform(-0.05, 0.05, (60, 3))
BOX = ObjectGeometry(POINTS, np.eye(4)[None], diameter=0.15)
NOTHING = np.zeros((0, 4, 4))


def _pose(x: float = 0.0, z: float = 0.8) -> Array:
    return make_transform(exp_so3([0.4, 0.2, -1]), [x, 0, z])


def test_an_exact_estimate_scores_one_and_a_miss_zero() -> None:
    target = Target(_pose()[None], _pose()[None], K, 640)
    result = score([target, Target(_pose()[None], NOTHING, K, 640)], BOX)
    assert (result.targets, result.misses) == (2, 1)
    assert result.add01 == result.add_auc == result.mssd_ar == result.mspd_ar == 0.5
    assert result.rotation_deg_median == pytest.approx(0, abs=1e-6)
    assert result.translation_mm_median == 0


def test_without_any_estimate_the_medians_are_not_numbers() -> None:
    result = score([Target(_pose()[None], NOTHING, K, 640)], BOX)
    assert result.add01 == 0
    assert math.isnan(result.rotation_deg_median)
    assert math.isnan(result.translation_mm_median)


def test_a_shift_of_half_the_add_threshold_halves_the_area() -> None:
    target = Target(_pose()[None], _pose(0.5 * 0.1 * 0.15)[None], K, 640)
    result = score([target], BOX)
    assert result.add01 == 1
    assert result.add_auc == pytest.approx(0.5)
    assert result.translation_mm_median == pytest.approx(7.5)


def test_average_recalls_count_the_thresholds_that_hold() -> None:
    # 0.33 d passes the thresholds .35 to .5.
    moved = Target(_pose()[None], _pose(z=0.8 + 0.33 * 0.15)[None], K, 640)
    assert score([moved], BOX).mssd_ar == pytest.approx(0.4)


def test_mspd_thresholds_follow_the_width_of_the_image() -> None:
    flat = ObjectGeometry(np.array([[0.0, 0, 0], [0, 0, 0.0]]), np.eye(4)[None], 0.15)
    shifted = _pose(0.8 * 12 / 600)[None]  # 12 px
    wide = Target(_pose()[None], shifted, K, 1280)
    assert score([Target(_pose()[None], shifted, K, 640)], flat).mspd_ar == pytest.approx(0.8)
    assert score([wide], flat).mspd_ar == pytest.approx(0.9)


def test_only_as_many_estimates_as_instances_are_looked_at() -> None:
    wrong_then_right = np.stack([_pose(0.2), _pose()])
    assert score([Target(_pose()[None], wrong_then_right, K, 640)], BOX).add01 == 0


def test_each_instance_is_matched_once() -> None:
    truth = np.stack([_pose(-0.1), _pose(0.1)])
    both_on_the_first = np.stack([_pose(-0.1), _pose(-0.099)])
    result = score([Target(truth, both_on_the_first, K, 640)], BOX)
    assert (result.targets, result.misses, result.add01) == (2, 0, 0.5)


def test_a_symmetric_object_is_judged_by_the_nearest_points() -> None:
    half_turn = make_transform(exp_so3([0, 0, np.pi]), np.zeros(3))
    points = np.concatenate([POINTS, POINTS @ half_turn[:3, :3].T])
    symmetric = ObjectGeometry(points, np.stack([np.eye(4), half_turn]), 0.15)
    target = Target(_pose()[None], (_pose() @ half_turn)[None], K, 640)
    result = score([target], symmetric)
    assert result.add01 == result.mssd_ar == result.mspd_ar == 1
    assert result.rotation_deg_median == pytest.approx(0, abs=1e-5)
    assert score([target], ObjectGeometry(points, np.eye(4)[None], 0.15)).add01 == 0


def test_matching_takes_the_best_score_first_and_leaves_what_is_too_far() -> None:
    errors = np.array([[0.2, 0.3], [0.1, 0.4], [0.0, 0.0]])
    np.testing.assert_array_equal(match(errors), [0, 1, -1])
    np.testing.assert_array_equal(match(errors, threshold=0.35), [0, -1, 1])
    np.testing.assert_array_equal(match(np.zeros((0, 2))), [])


def test_vsd_counts_over_tolerances_and_thresholds() -> None:
    """Half of the surface is wrong for half of the tolerances, none of it for the others."""
    errors = np.where(np.arange(10) < 5, 0.22, 0.0)[None, None]
    found = Target(_pose()[None], _pose()[None], K, 640, surfaces=errors)
    result = score([found], BOX)
    # Of ten thresholds .25, .3, ... .5 are above .22.
    assert result.vsd_ar == pytest.approx((5 * 0.6 + 5 * 1.0) / 10)
    assert result.ar == pytest.approx((result.vsd_ar + 2) / 3)
    missed = Target(_pose()[None], NOTHING, K, 640, surfaces=np.zeros((0, 1, 10)))
    assert score([found, missed], BOX).vsd_ar == pytest.approx(result.vsd_ar / 2)


def test_without_depth_of_every_target_there_is_no_vsd() -> None:
    exact = Target(_pose()[None], _pose()[None], K, 640)
    deep = Target(_pose()[None], _pose()[None], K, 640, surfaces=np.zeros((1, 1, 10)))
    for targets in ([exact], [exact, deep]):
        assert math.isnan(score(targets, BOX).vsd_ar)
        assert math.isnan(score(targets, BOX).ar)
    assert score([deep], BOX).ar == 1
