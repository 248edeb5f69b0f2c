# SPDX-License-Identifier: Apache-2.0
"""Pose errors against closed forms and against figures of the BOP toolkit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fpg_pose_ros.geometry import Array, Symmetries, exp_so3, make_transform
from offline_search.data.bop import BopDataset
from offline_search.metrics.pose_error import add, adi, bop_symmetry_transforms, mspd, mssd, re, te

K = np.array([[572.4114, 0, 325.2611], [0, 573.57043, 242.04899], [0, 0, 1]])
SHIFT = np.array([3, -2, 10]) * 1e-3
TURN = np.array([0, 0, np.deg2rad(5)])
EGGBOX = 10


def _random_poses(count: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    R = Rotation.random(count, random_state=seed).as_matrix()
    return np.stack([make_transform(r, rng.uniform([-0.2, -0.2, 0.4], [0.2, 0.2, 1])) for r in R])


def test_an_exact_estimate_has_no_error() -> None:
    poses = _random_poses(3, 0)
    points = np.random.default_rng(1).normal(size=(50, 3)) * 0.05
    identity = np.eye(4)[None]
    for error in (
        add(poses, poses, points),
        adi(poses, poses, points),
        re(poses, poses),
        te(poses, poses),
        mssd(poses, poses, points, identity),
        mspd(poses, poses, points, identity, K),
    ):
        assert error.shape == (3,)
        np.testing.assert_allclose(error, 0, atol=1e-12)


def test_a_pure_translation_is_its_length_in_every_metric_distance() -> None:
    truth = _random_poses(4, 2)
    estimate = truth.copy()
    estimate[:, :3, 3] += SHIFT
    points = np.random.default_rng(1).normal(size=(30, 3)) * 0.05
    length = np.linalg.norm(SHIFT)
    for error in (add(estimate, truth, points), te(estimate, truth)):
        np.testing.assert_allclose(error, length, rtol=1e-12)
    np.testing.assert_allclose(mssd(estimate, truth, points, np.eye(4)[None]), length, rtol=1e-12)
    assert np.all(adi(estimate, truth, points) <= length + 1e-12)


def test_a_shift_parallel_to_the_image_is_seen_at_focal_length_over_depth() -> None:
    truth, estimate = make_transform(np.eye(3), [0, 0, 0.8]), make_transform(np.eye(3), [0, 0, 0.8])
    estimate[0, 3] = 0.01
    flat = np.array([[0.0, 0, 0], [0.05, 0.02, 0], [0.01, -0.03, 0]])
    error = mspd(estimate, truth, flat, np.eye(4)[None], K)
    assert float(error) == pytest.approx(K[0, 0] * 0.01 / 0.8, rel=1e-12)


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 1.0, 3.0, np.pi])
def test_rotation_error_is_the_angle_even_where_it_is_tiny(angle: float) -> None:
    truth = _random_poses(1, 3)[0]
    axis = np.array([0.6, 0, 0.8])
    estimate = truth @ make_transform(exp_so3(angle * axis), np.zeros(3))
    assert float(re(estimate, truth)) == pytest.approx(angle, rel=1e-6)


def test_a_symmetric_turn_costs_nothing_where_the_symmetry_is_declared() -> None:
    half_turn = make_transform(exp_so3([0, 0, np.pi]), [0.01, 0, 0])
    symmetries = bop_symmetry_transforms(Symmetries(discrete=(half_turn,)))
    truth = _random_poses(1, 4)[0]
    points = np.random.default_rng(5).normal(size=(40, 3)) * 0.05
    turned = truth @ half_turn
    assert float(mssd(turned, truth, points, symmetries)) < 1e-12
    assert float(mspd(turned, truth, points, symmetries, K)) < 1e-9
    assert float(re(turned, truth, symmetries)) < 1e-7
    assert float(mssd(turned, truth, points, np.eye(4)[None])) > 0.05


def test_a_continuous_symmetry_is_cut_as_finely_as_bop_does() -> None:
    axis, offset = np.array([0.0, 0, 1]), np.array([0.01, 0.02, 0])
    transforms = bop_symmetry_transforms(Symmetries(continuous=((axis, offset),)))
    assert transforms.shape == (315, 4, 4)
    np.testing.assert_allclose(transforms @ [*offset, 1.0], np.tile([*offset, 1.0], (315, 1)))


def test_poses_broadcast_to_a_table_of_estimates_against_truths() -> None:
    estimates, truths = _random_poses(2, 6), _random_poses(3, 7)
    points = np.random.default_rng(8).normal(size=(20, 3)) * 0.05
    table = add(estimates[:, None], truths[None], points)
    assert table.shape == (2, 3)
    assert table[1, 2] == float(add(estimates[1], truths[2], points))


def test_the_published_errors_of_the_eggbox_come_out(pose_data: Path) -> None:
    """LM-O image 266, the truth turned by 5 degrees about the object's z and shifted.

    These errors depend on the true pose only through the shift's direction in the object's frame,
    two unknowns. It is given here instead of the annotation; ADD and MSSD fix it up to finitely
    many choices, and only a right ADI agrees at one of them. MSPD is held by the next test.
    """
    direction = np.array([-0.413863092391, 0.525499885957, -0.743348646744])
    points, symmetries = _evaluation_model(pose_data, EGGBOX)
    truth = np.eye(4)
    estimate = make_transform(exp_so3(TURN), direction * np.linalg.norm(SHIFT))
    assert float(add(estimate, truth, points)) * 1e3 == pytest.approx(11.426389, abs=2e-6)
    assert float(adi(estimate, truth, points)) * 1e3 == pytest.approx(5.405695, abs=2e-6)
    assert float(mssd(estimate, truth, points, symmetries)) * 1e3 == pytest.approx(
        16.218926, abs=2e-6
    )
    assert float(np.rad2deg(re(estimate, truth))) == pytest.approx(5.0, abs=1e-9)
    assert float(te(estimate, truth)) * 1e3 == pytest.approx(10.630146, abs=1e-6)


@pytest.mark.parametrize(
    ("obj_id", "toolkit"),
    [
        (EGGBOX, (11.444627497267456, 5.220337752184057, 15.840538992966012, 3.8922201337146176)),
        (5, (11.417398118691555, 5.022939917683662, 13.849405474517527, 6.0029828547160315)),
    ],
)
def test_errors_on_a_photograph_equal_those_of_the_bop_toolkit(
    pose_data: Path, obj_id: int, toolkit: tuple[float, ...]
) -> None:
    """Image 3, perturbed in the same way; figures of bop_toolkit_lib.pose_error at cea62d6."""
    image = BopDataset(pose_data / "lmo").scene(2).image(3)
    truth = next(i.T_camera_object for i in image.instances if i.obj_id == obj_id)
    estimate = truth.copy()
    estimate[:3, :3] = truth[:3, :3] @ exp_so3(TURN)
    estimate[:3, 3] += SHIFT
    points, symmetries = _evaluation_model(pose_data, obj_id)
    errors = (
        float(add(estimate, truth, points)) * 1e3,
        float(adi(estimate, truth, points)) * 1e3,
        float(mssd(estimate, truth, points, symmetries)) * 1e3,
        float(mspd(estimate, truth, points, symmetries, image.camera.K)),
    )
    np.testing.assert_allclose(errors, toolkit, rtol=1e-10)


def _evaluation_model(data: Path, obj_id: int) -> tuple[Array, Array]:
    model = BopDataset(data / "lmo").model(obj_id)
    return model.points, bop_symmetry_transforms(model.symmetries)
