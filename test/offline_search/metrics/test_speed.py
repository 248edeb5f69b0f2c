# SPDX-License-Identifier: Apache-2.0
"""The SPEED score against closed forms and against the published detector's labels."""

from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.geometry import Array, exp_so3, make_transform, rotation_from_quaternion_wxyz
from offline_search.metrics.speed import speed_figures, speed_score


def _one(angle_deg: float, distance: float) -> tuple[Array, Array]:
    truth = make_transform(exp_so3([0.3, -1, 0.2]), [0.0, 3, 4])
    estimate = truth.copy()
    estimate[:3, :3] = truth[:3, :3] @ exp_so3([0, np.deg2rad(angle_deg), 0])
    estimate[2, 3] += distance
    return estimate[None], truth[None]


def test_the_score_is_relative_distance_plus_angle_in_radians() -> None:
    result = speed_score(*_one(2.0, 0.05))
    np.testing.assert_allclose(result.translation, 0.01, rtol=1e-12)
    np.testing.assert_allclose(result.rotation, np.deg2rad(2.0), rtol=1e-12)
    assert result.score == pytest.approx(0.01 + np.deg2rad(2.0), rel=1e-12)


def test_the_rotation_error_is_that_of_the_challenge_between_quaternions() -> None:
    rng = np.random.default_rng(0)
    q, r = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 50, 4)))
    estimate, truth = (
        np.stack([make_transform(rotation_from_quaternion_wxyz(x), [0, 0, 5]) for x in quaternions])
        for quaternions in (q, r)
    )
    expected = 2 * np.arccos(np.abs(np.sum(q * r, axis=1)))
    np.testing.assert_allclose(speed_score(estimate, truth).rotation, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("angle_deg", "relative", "score"),
    [
        (0.168, 0.002172, 0.0),
        (0.170, 0.002172, np.deg2rad(0.170)),
        (0.168, 0.002174, 0.002174),
    ],
)
def test_on_the_testbed_errors_below_its_own_accuracy_count_as_none(
    angle_deg: float, relative: float, score: float
) -> None:
    estimate, truth = _one(angle_deg, 5 * relative)
    assert speed_score(estimate, truth, testbed=True).score == pytest.approx(score, abs=1e-9)
    assert speed_score(estimate, truth).score > 0.004


def test_an_image_without_a_pose_counts_as_the_worst_pose() -> None:
    estimate, truth = _one(2.0, 0.05)
    figures = speed_figures(estimate, truth, misses=1)
    assert (figures.images, figures.misses) == (2, 1)
    assert figures.score == pytest.approx((0.01 + np.deg2rad(2.0) + 1 + np.pi) / 2)
    assert figures.rotation_deg == pytest.approx(2.0)
    assert figures.translation == pytest.approx(0.01)
    nothing = np.zeros((0, 4, 4))
    missed = speed_figures(nothing, nothing, misses=3)
    assert missed.score == missed.score_testbed == pytest.approx(1 + np.pi)
    assert np.isnan(missed.rotation_deg)


def test_the_thresholds_take_errors_from_the_testbeds_score_alone() -> None:
    estimate, truth = _one(0.1, 0.005)
    figures = speed_figures(estimate, truth, misses=0)
    assert figures.score > 0
    assert figures.score_testbed == 0
