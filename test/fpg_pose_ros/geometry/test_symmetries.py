# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import numpy as np
import pytest

from fpg_pose_ros.geometry import Symmetries, exp_so3, make_transform, rotation_angle

HALF_TURN = make_transform(np.diag([-1.0, -1.0, 1.0]), [0.02, 0.0, 0.0])


def test_without_symmetry_there_is_the_identity():
    assert not Symmetries()
    np.testing.assert_array_equal(Symmetries().transforms(), np.eye(4)[None])


def test_discrete_symmetries_follow_the_identity():
    transforms = Symmetries((HALF_TURN,)).transforms()
    np.testing.assert_allclose(transforms, [np.eye(4), HALF_TURN])


def test_a_continuous_symmetry_turns_about_its_axis_through_its_offset():
    offset = np.array([0.1, 0.2, 0.0])
    symmetries = Symmetries((), ((np.array([0.0, 0.0, 2.0]), offset),))
    transforms = symmetries.transforms(steps=8)
    assert transforms.shape == (8, 4, 4)
    np.testing.assert_allclose(transforms[0], np.eye(4))
    for index, matrix in enumerate(transforms):
        np.testing.assert_allclose(matrix[:3, :3], exp_so3([0, 0, index * np.pi / 4]), atol=1e-15)
        np.testing.assert_allclose(matrix[:3, :3] @ offset + matrix[:3, 3], offset, atol=1e-15)


def test_continuous_and_discrete_symmetries_combine_as_in_the_bop_toolkit():
    offset = np.array([0.01, 0.0, 0.0])
    symmetries = Symmetries((HALF_TURN,), ((np.array([1.0, 0.0, 0.0]), offset),))
    transforms = symmetries.transforms(steps=4)
    assert len(transforms) == 8
    turn = exp_so3([np.pi / 2, 0, 0])
    # R = R_continuous R_discrete, t = R_continuous t_discrete + t_continuous
    expected = make_transform(
        turn @ HALF_TURN[:3, :3], turn @ HALF_TURN[:3, 3] + offset - turn @ offset
    )
    assert np.abs(transforms - expected).max(axis=(1, 2)).min() < 1e-15


def test_json_goes_there_and_back_and_takes_bops_flat_lists():
    symmetries = Symmetries((HALF_TURN,), ((np.array([0.0, 1.0, 0.0]), np.zeros(3)),))
    again = Symmetries.from_json(json.loads(json.dumps(symmetries.to_json())))
    np.testing.assert_array_equal(again.transforms(5), symmetries.transforms(5))
    flat = Symmetries.from_json({"discrete": [HALF_TURN.ravel().tolist()]})
    np.testing.assert_array_equal(flat.discrete[0], HALF_TURN)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"discrete": [[1, 2, 3]]}, r"discrete\[0\] must be 16"),
        ({"discrete": [np.diag([1.0, 1, -1, 1]).tolist()]}, "rigid"),
        ({"discrete": [(2 * np.eye(4)).tolist()]}, "rigid"),
        ({"continuous": [{"axis": [0, 0, 0]}]}, "length"),
        ({"continuous": [{"axis": [0, 1]}]}, "3 finite"),
    ],
)
def test_what_is_no_symmetry_is_refused_naming_the_entry(data, message):
    with pytest.raises(ValueError, match=message):
        Symmetries.from_json(data)


Z, X = np.array([0.0, 0.0, 3.0]), np.array([1.0, 0.0, 0.0])
CENTRE = np.array([0.01, -0.02, 0.03])
QUARTERS = tuple(make_transform(exp_so3([0, 0, k * np.pi / 2]), [0, 0, 0]) for k in (1, 2, 3))


@pytest.mark.parametrize(
    "symmetries",
    [
        Symmetries(),
        Symmetries((HALF_TURN,)),
        Symmetries(QUARTERS),
        Symmetries((), ((Z, CENTRE),)),
        Symmetries((make_transform(exp_so3([np.pi, 0, 0]), [0, 0, 0]),), ((Z, np.zeros(3)),)),
    ],
    ids=["none", "half turn", "quarters", "axis", "axis and flip"],
)
def test_the_nearest_equivalent_pose_is_that_of_an_exhaustive_search(symmetries):
    rng = np.random.default_rng(1)
    for _ in range(5):
        T, reference = (
            make_transform(exp_so3(rng.normal(size=3) * 2), rng.normal(size=3)) for _ in "ab"
        )
        found = symmetries.nearest(T, reference)
        every = T @ symmetries.transforms(steps=3600)
        traces = np.einsum("nij,ij->n", every[:, :3, :3], reference[:3, :3])
        best = every[traces.argmax()]
        angle = rotation_angle(found[:3, :3], reference[:3, :3])
        assert angle <= rotation_angle(best[:3, :3], reference[:3, :3]) + 1e-12
        assert rotation_angle(found[:3, :3], best[:3, :3]) < 2 * np.pi / 3600
        np.testing.assert_allclose(found[:3, 3], best[:3, 3], atol=1e-4)


def test_a_ball_is_turned_as_its_reference_about_its_centre():
    ball = Symmetries((), ((Z, CENTRE), (X, CENTRE)))
    T = make_transform(exp_so3([0.3, 2.0, -1.0]), [0.1, 0.2, 0.9])
    reference = make_transform(exp_so3([-1.3, 0.4, 0.2]), [0.0, 0.0, 1.0])
    found = ball.nearest(T, reference)
    np.testing.assert_allclose(found[:3, :3], reference[:3, :3], atol=1e-12)
    np.testing.assert_allclose(found[:3, :3] @ CENTRE + found[:3, 3], T[:3, :3] @ CENTRE + T[:3, 3])


def test_of_equally_turned_poses_the_nearer_one_is_taken():
    # Two symmetries with one rotation, as of a bar with two equal holes.
    bar = Symmetries((make_transform(np.eye(3), [0.1, 0.0, 0.0]),))
    T, reference = np.eye(4), make_transform(np.eye(3), [0.09, 0.0, 0.0])
    np.testing.assert_allclose(bar.nearest(T, reference)[:3, 3], [0.1, 0.0, 0.0])


def test_unseen_turns_are_how_the_pose_moves_about_its_axes():
    symmetries = Symmetries((), ((Z, CENTRE), (X, np.zeros(3))))
    T, small = make_transform(exp_so3([0.3, 2.0, -1.0]), [0.1, 0.2, 0.9]), 1e-6
    for turn, (axis, offset) in zip(symmetries.unseen_turns(T), symmetries.continuous, strict=True):
        rotation = exp_so3(small * axis / np.linalg.norm(axis))
        moved = T @ make_transform(rotation, offset - rotation @ offset)
        np.testing.assert_allclose((moved - T)[:3, 3] / small, turn[:3], atol=1e-6)
        np.testing.assert_allclose(moved[:3, :3], exp_so3(small * turn[3:]) @ T[:3, :3], atol=1e-11)
    assert Symmetries((HALF_TURN,)).unseen_turns(T).shape == (0, 6)
