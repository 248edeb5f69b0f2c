# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.geometry import exp_so3, log_so3, make_transform, rotation_angle
from fpg_pose_ros.tracking.filter import (
    MotionNoise,
    MotionState,
    compare,
    gate_distance,
    predict,
    start,
    update,
)

NOISE = MotionNoise(linear=0.5, angular=2.0)
SIGMAS = np.array([0.002, 0.003, 0.01, 0.02, 0.03, 0.04])
R = np.diag(SIGMAS**2)
T0 = make_transform(exp_so3([0.3, -2.0, 1.0]), [0.1, -0.05, 0.9])


def disturbed(T: np.ndarray, error: np.ndarray) -> np.ndarray:
    return make_transform(exp_so3(error[3:]) @ T[:3, :3], T[:3, 3] + error[:3])


def take_in(state: MotionState, T: np.ndarray, covariance: np.ndarray) -> MotionState:
    return update(state, compare(state, T, covariance))


def pose_error(truth: np.ndarray, state: MotionState) -> np.ndarray:
    T = state.T_camera_object
    return np.r_[truth[:3, 3] - T[:3, 3], log_so3(truth[:3, :3] @ T[:3, :3].T)]


def test_a_thing_at_rest_is_averaged():
    """Almost without process noise the filter is a mean, and its covariance the mean's."""
    still = MotionNoise(1e-9, 1e-9)
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(40, 6)) * 0.1 * SIGMAS
    state = start(disturbed(T0, errors[0]), R, still)
    for error in errors[1:]:
        state = take_in(predict(state, 0.03, still), disturbed(T0, error), R)
    np.testing.assert_allclose(pose_error(T0, state), -errors.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(state.pose_covariance, R / 40, rtol=1e-3, atol=1e-8)


def test_prediction_moves_and_turns_with_the_velocity_exactly():
    velocity = np.array([0.2, -0.1, 0.3, 1.0, 2.0, -0.5])
    state = MotionState(T0, velocity, np.eye(12) * 1e-6)
    moved = predict(state, 0.7, NOISE).T_camera_object
    np.testing.assert_allclose(moved[:3, 3], T0[:3, 3] + 0.7 * velocity[:3])
    np.testing.assert_allclose(moved[:3, :3], exp_so3(0.7 * velocity[3:]) @ T0[:3, :3])


def test_the_predicted_covariance_is_that_of_disturbed_states_sent_ahead():
    velocity = np.array([0.2, -0.1, 0.3, 1.0, 2.0, -0.5])
    rng = np.random.default_rng(1)
    A = rng.normal(size=(12, 12)) * 0.01
    P, seconds, still = A @ A.T, 0.8, MotionNoise(1e-12, 1e-12)
    ahead = predict(MotionState(T0, velocity, P), seconds, still)
    errors = rng.multivariate_normal(np.zeros(12), P, size=2500)
    sent = []
    for error in errors:
        other = MotionState(disturbed(T0, error[:6]), velocity + error[6:], P)
        truth = predict(other, seconds, still)
        sent.append(np.r_[pose_error(truth.T_camera_object, ahead), truth.velocity - velocity])
    sampled = np.cov(np.array(sent).T)
    spread = np.sqrt(np.diagonal(ahead.covariance))
    difference = (sampled - ahead.covariance) / np.outer(spread, spread)
    assert np.abs(difference).max() < 0.08


def test_two_halves_of_a_prediction_are_the_whole():
    state = start(T0, R, NOISE)
    halves = predict(predict(state, 0.2, NOISE), 0.3, NOISE)
    whole = predict(state, 0.5, NOISE)
    np.testing.assert_allclose(halves.covariance, whole.covariance, rtol=1e-9, atol=1e-15)


def test_a_constant_velocity_is_learnt():
    velocity = np.array([0.3, -0.2, 0.1, 0.8, -1.5, 0.4])
    truth = T0
    state = start(truth, R, NOISE)
    for _ in range(90):
        truth = disturbed(truth, velocity / 30)
        state = take_in(predict(state, 1 / 30, NOISE), truth, R)
    np.testing.assert_allclose(state.velocity, velocity, atol=0.02)
    np.testing.assert_allclose(pose_error(truth, state), 0, atol=1e-3)


def random_walks(rng: np.random.Generator, steps: int, seconds: float):
    """A true motion as the filter believes in, its velocity first drawn as `start` expects."""
    truth = T0
    scale = np.r_[[NOISE.linear] * 3, [NOISE.angular] * 3]
    velocity = rng.normal(size=6) * scale
    fine = 10
    yield truth
    for _ in range(steps):
        for _ in range(fine):
            step = seconds / fine
            velocity = velocity + rng.normal(size=6) * scale * np.sqrt(step)
            truth = disturbed(truth, velocity * step)
        yield truth


def test_innovations_and_errors_are_as_large_as_the_covariances_say():
    """Mean normalised innovation and error squared lie within their 95 % bounds."""
    rng = np.random.default_rng(0)
    innovations, errors = [], []
    for _ in range(60):
        walk = random_walks(rng, 15, 1 / 30)
        state = start(disturbed(next(walk), rng.normal(size=6) * SIGMAS), R, NOISE)
        for truth in walk:
            measured = disturbed(truth, rng.normal(size=6) * SIGMAS)
            state = predict(state, 1 / 30, NOISE)
            seen = compare(state, measured, R)
            state = update(state, seen)
            innovations.append(seen.normalised_squared)
        error = pose_error(truth, state)
        errors.append(error @ np.linalg.solve(state.pose_covariance, error))
    for values in (innovations, errors):
        # The sum of n chi-squares of 6 degrees has mean 6 n and variance 12 n.
        bound = 1.96 * np.sqrt(12 / len(values))
        assert abs(np.mean(values) - 6) < bound


def test_the_covariance_stays_symmetric_positive_and_the_rotation_orthonormal():
    rng = np.random.default_rng(3)
    state = start(T0, R, NOISE)
    for _ in range(500):
        error = rng.normal(size=6) * SIGMAS
        state = take_in(predict(state, 1e-3, NOISE), disturbed(T0, error), 1e-6 * R)
    assert np.linalg.eigvalsh(state.covariance).min() > 0
    np.testing.assert_array_equal(state.covariance, state.covariance.T)
    rotation = state.T_camera_object[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_no_time_changes_nothing():
    state = start(T0, R, NOISE)
    assert predict(state, 0.0, NOISE) is state


def test_of_two_states_the_surer_one_is_less_surprised_by_what_it_expected():
    sure, vague = start(T0, R, NOISE), start(T0, 100 * R, NOISE)
    near = disturbed(T0, 0.5 * SIGMAS)
    assert compare(sure, near, R).normalised_squared > compare(vague, near, R).normalised_squared
    assert compare(sure, near, R).surprise < compare(vague, near, R).surprise


@pytest.mark.parametrize(
    ("probability", "distance"), [(0.95, 12.592), (0.99, 16.812), (0.999, 22.458)]
)
def test_the_gate_is_the_quantile_of_chi_square(probability, distance):
    assert gate_distance(probability) == pytest.approx(distance, abs=1e-3)


def test_a_turn_of_almost_half_a_circle_is_compared_the_short_way():
    state = start(T0, R, NOISE)
    turned = disturbed(T0, np.r_[np.zeros(3), 0, 0, np.pi - 1e-3])
    difference = compare(state, turned, R).difference
    assert rotation_angle(exp_so3(difference[3:]) @ T0[:3, :3], turned[:3, :3]) < 1e-9


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 0.3, 1.5, 1.6, 3.1])
def test_small_and_large_turns_are_compared_exactly(angle):
    vector = angle * np.array([2.0, -1.0, 2.0]) / 3
    difference = compare(start(T0, R, NOISE), disturbed(T0, np.r_[0, 0, 0, vector]), R).difference
    np.testing.assert_allclose(difference[3:], vector, atol=1e-12)
