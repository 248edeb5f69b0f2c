# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.calibration import (
    TURN_VARIANCE,
    calibrated_covariance,
    calibrated_score,
    check_calibration,
    misfit_settings,
    score_settings,
    without_calibration,
)
from fpg_pose_ros.geometry import Symmetries, exp_so3, make_transform

POSE = make_transform(exp_so3([0.3, -0.5, 0.8]), [0.2, -0.1, 0.7])
KNOTS = score_settings([(0.0, 0.0), (0.5, 0.2), (0.8, 0.9), (1.0, 0.95)])
NONE = Symmetries()


def covariance() -> np.ndarray:
    root = np.random.default_rng(1).normal(size=(6, 6)) * 0.01
    return root @ root.T


def test_without_calibration_nothing_changes() -> None:
    extra = {"stride": 4.0}
    assert calibrated_score(0.73, extra) == 0.73
    np.testing.assert_allclose(
        calibrated_covariance(covariance(), extra, NONE, POSE, 0.02), covariance(), rtol=1e-12
    )


def test_scores_follow_the_knots_and_never_fall() -> None:
    assert calibrated_score(0.5, KNOTS) == pytest.approx(0.2)
    assert calibrated_score(0.65, KNOTS) == pytest.approx(0.55)
    mapped = [calibrated_score(raw, KNOTS) for raw in np.linspace(0, 1, 101)]
    assert mapped == sorted(mapped)
    assert (mapped[0], mapped[-1]) == (0.0, 0.95)


def test_each_group_of_axes_is_scaled_by_its_own_factor() -> None:
    ray = POSE[:3, 3] / np.linalg.norm(POSE[:3, 3])
    across = np.cross(ray, [0, 1, 0]) / np.linalg.norm(np.cross(ray, [0, 1, 0]))
    extra = {"covariance_across": 4.0, "covariance_depth": 9.0, "covariance_rotation": 16.0}
    before, after = covariance(), calibrated_covariance(covariance(), extra, NONE, POSE, 0.02)
    assert ray @ after[:3, :3] @ ray == pytest.approx(9 * (ray @ before[:3, :3] @ ray))
    assert across @ after[:3, :3] @ across == pytest.approx(4 * (across @ before[:3, :3] @ across))
    np.testing.assert_allclose(after[3:, 3:], 16 * before[3:, 3:])
    assert ray @ after[:3, 3:] @ ray == pytest.approx(12 * (ray @ before[:3, 3:] @ ray))
    np.testing.assert_allclose(after, after.T)
    assert np.linalg.eigvalsh(after).min() > 0


def test_keypoints_that_miss_the_pose_widen_it_within_bounds() -> None:
    extra = misfit_settings(0.02, 2.0)
    for misfit, factor in ((0.02, 1), (0.04, 4), (10.0, 25), (0.0, 0.25)):
        after = calibrated_covariance(covariance(), extra, NONE, POSE, misfit)
        np.testing.assert_allclose(after, factor * covariance(), rtol=1e-9)


def test_a_turn_about_a_symmetry_axis_is_as_vague_as_any() -> None:
    axis, offset = np.array([0.0, 0.0, 2.0]), np.array([0.03, 0.0, 0.0])
    symmetries = Symmetries(continuous=((axis, offset),))
    added = calibrated_covariance(covariance(), {}, symmetries, POSE, 0.02) - covariance()
    # The direction of a small turn of the object about its axis, by differences.
    angle = 1e-6
    turn = exp_so3([0, 0, angle])
    moved = POSE @ make_transform(turn, offset - turn @ offset)
    R = moved[:3, :3] @ POSE[:3, :3].T
    vector = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    direction = np.concatenate([moved[:3, 3] - POSE[:3, 3], vector]) / angle
    np.testing.assert_allclose(added, TURN_VARIANCE * np.outer(direction, direction), atol=1e-5)


def test_a_calibration_can_be_taken_off() -> None:
    extra = {"stride": 4.0, **KNOTS, **misfit_settings(0.02, 1.0), "covariance_depth": 2.0}
    assert without_calibration(extra) == {"stride": 4.0}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"score_raw_1": 0.9}, "score_raw_2"),
        ({"score_probability_2": 0.1}, "score_raw_2"),
        ({"score_probability_3": 1.5}, "score_raw_3"),
        ({"score_raw_5": 1.0}, "score_raw_5"),
        ({"covariance_depth": 0.0}, "covariance_depth"),
        ({"covariance_misfit": 0.0}, "covariance_misfit"),
        ({"covariance_misfit_power": 9.0}, "covariance_misfit_power"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, float], named: str) -> None:
    check_calibration(KNOTS)
    with pytest.raises(ValueError, match=named):
        check_calibration({**KNOTS, **change})


def test_knots_are_several_and_not_too_many() -> None:
    with pytest.raises(ValueError, match="2 to 32"):
        check_calibration(score_settings([(0.0, 0.0)]))
    with pytest.raises(ValueError, match="2 to 32"):
        check_calibration(score_settings([(i / 40, i / 40) for i in range(40)]))
    with pytest.raises(ValueError, match="score_probability_4"):
        check_calibration({**KNOTS, "score_probability_4": 1.0})
