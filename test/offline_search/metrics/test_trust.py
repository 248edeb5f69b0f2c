# SPDX-License-Identifier: Apache-2.0
"""Scores and covariances against the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fpg_pose_ros.geometry import Array, Symmetries, exp_so3, make_transform
from offline_search.metrics.scores import ObjectGeometry
from offline_search.metrics.trust import (
    Claim,
    Judged,
    degrees_of_freedom,
    describe,
    judge,
    nees,
    pose_error,
    reliability,
    trust,
)

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-0.05, 0.05, (60, 3))
BOX = ObjectGeometry(POINTS, np.eye(4)[None], diameter=0.15)
POSE = make_transform(exp_so3([0.4, 0.2, -1]), [0.05, 0, 0.8])


def moved(T: Array, error: Array) -> Array:
    return make_transform(exp_so3(error[3:]) @ T[:3, :3], T[:3, 3] + error[:3])


def test_the_error_is_that_which_leads_to_the_truth() -> None:
    error = np.array([0.01, -0.02, 0.03, 0.1, -0.2, 0.05])
    np.testing.assert_allclose(pose_error(POSE, moved(POSE, error), np.eye(4)[None]), error)


def test_a_symmetry_equivalent_of_the_truth_is_no_error() -> None:
    flip = make_transform(exp_so3([0, 0, np.pi]), np.zeros(3))
    symmetries = np.stack([np.eye(4), flip])
    np.testing.assert_allclose(pose_error(POSE, POSE @ flip, symmetries), np.zeros(6), atol=1e-9)


def test_errors_of_the_claimed_covariance_have_the_nees_and_coverage_they_should() -> None:
    root = RNG.normal(size=(6, 6)) * 0.01
    covariance = root @ root.T
    errors = RNG.normal(size=(4000, 6)) @ root.T
    judged = [Judged(Claim(POSE, covariance, 0.9), error, True) for error in errors]
    figures = trust(judged)
    assert figures.nees_low < figures.nees < figures.nees_high
    assert figures.coverage == figures.coverage_all == pytest.approx(0.95, abs=0.015)
    assert figures.nees == pytest.approx(nees(np.stack([covariance] * 4000), errors).mean())
    double = [Judged(Claim(POSE, covariance / 2, 0.9), error, True) for error in errors]
    assert trust(double).nees > figures.nees_high


def test_scores_that_are_probabilities_have_a_small_calibration_error() -> None:
    scores = RNG.uniform(0, 1, 5000)
    right = RNG.uniform(0, 1, 5000) < scores
    claims = [Claim(POSE, np.eye(6), float(score)) for score in scores]
    honest = trust([Judged(c, np.zeros(6), bool(r)) for c, r in zip(claims, right, strict=True)])
    assert honest.score_error < 0.03
    assert honest.score_mean == pytest.approx(honest.right / honest.poses, abs=0.03)
    sure = [Judged(Claim(POSE, np.eye(6), 1.0), np.zeros(6), bool(r)) for r in right]
    assert trust(sure).score_error == pytest.approx(1 - right.mean())


def test_parts_hold_equal_counts_by_rising_score() -> None:
    parts = reliability(np.array([0.9, 0.1, 0.5, 0.7]), np.array([True, False, False, True]), 2)
    assert parts == ((pytest.approx(0.3), 0.0, 2), (pytest.approx(0.8), 1.0, 2))
    assert len(reliability(np.array([0.5]), np.array([True]))) == 1


def test_two_estimates_of_one_thing_are_not_both_right() -> None:
    off = moved(POSE, np.array([0.2, 0, 0, 0, 0, 0]))
    said = [Claim(POSE, np.eye(6), 0.9), Claim(POSE, np.eye(6), 0.8), Claim(off, np.eye(6), 0.7)]
    assert [one.right for one in judge(said, POSE[None], BOX)] == [True, False, False]
    assert judge([], POSE[None], BOX) == []


def test_symmetry_axes_take_degrees_of_freedom() -> None:
    z, x = np.array([0, 0, 2.0]), np.array([1.0, 0, 0])
    origin = np.zeros(3)
    assert degrees_of_freedom(Symmetries()) == 6
    assert degrees_of_freedom(Symmetries(continuous=((z, origin),))) == 5
    assert degrees_of_freedom(Symmetries(continuous=((z, origin), (-z, origin)))) == 5
    assert degrees_of_freedom(Symmetries(continuous=((z, origin), (x, origin)))) == 3


def test_nothing_and_nothing_right_can_be_described() -> None:
    assert "no pose" in describe("thing", trust([]))
    wrong = trust([Judged(Claim(POSE, np.eye(6), 0.9), np.zeros(6), False)])
    assert math.isnan(wrong.nees)
    assert "0 of 1 poses right" in describe("thing", wrong)
