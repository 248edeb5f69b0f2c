# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.geometry import exp_so3
from fpg_pose_ros.pose_fit import (
    INLIER_CHI2,
    Problem,
    bounded_loss,
    evaluate,
    median,
    normal_equations,
    refine,
    total_loss,
)

TURN, PLACE = exp_so3([0.4, -0.7, 0.2]), np.array([0.05, -0.02, 0.8])


def problem(noise: float = 0.0) -> Problem:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(16, 3)) * 0.08
    seen = points @ TURN.T + PLACE
    observed = seen[:, :2] / seen[:, 2:] + noise * rng.normal(size=(16, 2))
    whitening = np.triu(rng.uniform(200, 400, (16, 2, 2)))
    return Problem(points, observed, whitening)


def test_the_derivatives_are_those_of_the_residuals():
    case, step = problem(1e-3), 1e-6
    fit = evaluate(case, TURN, PLACE)
    assert fit is not None
    for parameter in range(6):
        change = np.zeros(6)
        change[parameter] = step
        moved = evaluate(case, exp_so3(change[:3]) @ TURN, PLACE + change[3:])
        assert moved is not None
        difference = (fit.white[:, :, 6] - moved.white[:, :, 6]) / step
        np.testing.assert_allclose(fit.white[:, :, parameter], difference, atol=2e-3)


def test_a_pose_with_a_point_behind_the_camera_is_none():
    assert evaluate(problem(), TURN, np.array([0.0, 0.0, 0.05])) is None


def test_a_start_nearby_is_refined_to_the_pose():
    case = problem()
    start = evaluate(case, exp_so3([0.1, -0.1, 0.05]) @ TURN, PLACE + np.array([0.01, 0.0, -0.05]))
    assert start is not None
    found = refine(case, start)
    np.testing.assert_allclose(found.rotation, TURN, atol=1e-9)
    np.testing.assert_allclose(found.translation, PLACE, atol=1e-9)


def test_outliers_weigh_by_the_derivative_of_the_loss():
    case = problem()
    case.observed[3] += 0.1
    fit = evaluate(case, TURN, PLACE)
    assert fit is not None
    assert fit.chi2[3] > 100 * INLIER_CHI2
    bent, plain = normal_equations(fit), normal_equations(fit, scale=1e6)
    share = (INLIER_CHI2 / fit.chi2[3]) ** 2
    outlier = fit.white[3].T @ fit.white[3]
    np.testing.assert_allclose(bent, plain - (1.0 - share) * outlier, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("largest", [0.5, 0.5 * INLIER_CHI2, 50.0])
def test_the_total_loss_is_the_sum_of_the_losses(largest):
    chi2 = np.linspace(0.0, largest, 9)
    assert total_loss(chi2) == pytest.approx(float(bounded_loss(chi2).sum()))
    assert bounded_loss(np.array([1e12]))[0] == pytest.approx(2.0 * INLIER_CHI2)


@pytest.mark.parametrize("count", [4, 5, 16])
def test_the_median_is_numpys(count):
    values = np.random.default_rng(count).normal(size=count)
    assert median(values) == pytest.approx(float(np.median(values)))
