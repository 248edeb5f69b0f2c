# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpg_pose_ros.geometry import (
    compose,
    exp_so3,
    invert,
    log_so3,
    make_transform,
    nearest_rotation,
    quaternion_wxyz,
    rotation_angle,
    rotation_from_quaternion_wxyz,
    skew,
    transform,
)

vectors = st.lists(st.floats(-3, 3), min_size=3, max_size=3).map(np.array)


@given(vectors)
def test_the_exponential_is_a_rotation_that_leaves_its_axis_alone(w):
    R = exp_so3(w)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(R) == pytest.approx(1)
    np.testing.assert_allclose(R @ w, w, atol=1e-13)


@given(vectors)
def test_the_logarithm_undoes_the_exponential(w):
    length = np.linalg.norm(w)
    if length > np.pi:  # the shorter way round
        w = w * (1 - 2 * np.pi / length)
    R = exp_so3(w)
    np.testing.assert_allclose(exp_so3(log_so3(R)), R, atol=1e-13)
    if np.linalg.norm(w) < np.pi - 1e-6:
        np.testing.assert_allclose(log_so3(R), w, atol=1e-8)


def test_a_quarter_turn_about_z_takes_x_to_y():
    np.testing.assert_allclose(exp_so3([0, 0, np.pi / 2]) @ [1, 0, 0], [0, 1, 0], atol=1e-15)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-9, 1e-5, 0.3, 3.0, np.pi])
def test_the_angle_between_rotations_is_exact_from_tiny_to_half_turns(angle):
    R = exp_so3([0.2, -0.4, 0.9])
    axis = np.array([1.0, 2.0, 2.0]) / 3
    assert rotation_angle(R, R @ exp_so3(axis * angle)) == pytest.approx(angle, rel=1e-7, abs=2e-16)


@given(vectors)
def test_quaternions_go_there_and_back_scalar_first(w):
    q = quaternion_wxyz(exp_so3(w))
    assert q[0] >= 0
    assert np.linalg.norm(q) == pytest.approx(1)
    np.testing.assert_allclose(rotation_from_quaternion_wxyz(3 * q), exp_so3(w), atol=1e-12)
    np.testing.assert_allclose(quaternion_wxyz(np.eye(3)), [1, 0, 0, 0])


@given(vectors, vectors, vectors)
def test_transforms_chain_and_invert(w, t, p):
    T_a_b, T_b_c = make_transform(exp_so3(w), t), make_transform(exp_so3(t), w)
    T_a_c = compose(T_a_b, T_b_c)
    np.testing.assert_allclose(
        transform(T_a_c, [p])[0], transform(T_a_b, transform(T_b_c, [p]))[0], atol=1e-12
    )
    np.testing.assert_allclose(T_a_c @ invert(T_a_c), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(invert(np.stack([T_a_b, T_b_c]))[1], invert(T_b_c))
    np.testing.assert_allclose(compose(), np.eye(4))


def test_many_transforms_map_points_at_once():
    stack = np.stack([make_transform(exp_so3([0, 0, a]), [a, 0, 0]) for a in (0.1, 0.2, 0.3)])
    points = np.arange(12.0).reshape(4, 3)
    mapped = transform(stack, points)
    assert mapped.shape == (3, 4, 3)
    np.testing.assert_allclose(mapped[1], transform(stack[1], points))


def test_the_skew_matrix_is_the_cross_product():
    a, b = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]]), np.array([-2.0, 0.3, 1.0])
    np.testing.assert_allclose(skew(a) @ b, np.cross(a, b))


@given(vectors)
def test_a_disturbed_rotation_is_repaired(w):
    R = exp_so3(w)
    repaired = nearest_rotation(R + 1e-4 * np.arange(9).reshape(3, 3))
    np.testing.assert_allclose(repaired @ repaired.T, np.eye(3), atol=1e-14)
    assert rotation_angle(repaired, R) < 2e-3
    assert np.linalg.det(nearest_rotation(-R)) == pytest.approx(1)
