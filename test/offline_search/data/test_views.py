# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fpg_pose_ros.geometry import Symmetries, exp_so3, invert, make_transform
from offline_search.data.objects import Views
from offline_search.data.views import (
    IMAGE_SIZE,
    canonical_pose,
    look_along,
    random_camera,
    random_direction,
    random_pose,
    random_rotation,
    random_up,
    roll_of,
    view_rotation,
)


def elevation_of(pose: np.ndarray, views: Views) -> float:
    eye = invert(pose)[:3, 3]
    up = np.asarray(views.up) / np.linalg.norm(views.up)
    return float(np.degrees(np.arcsin(eye @ up / np.linalg.norm(eye))))


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, -1.0, 0.5)])
def test_limited_views_stay_within_their_limits(up: tuple[float, float, float]) -> None:
    views = Views(distance_m=(0.5, 0.9), up=up, elevation_deg=(10, 70), roll_deg=(-20, 30))
    rng = np.random.default_rng(0)
    for _ in range(200):
        pose = random_pose(rng, views, random_camera(rng), 0.2)
        assert 0.5 / 1.081 <= np.linalg.norm(pose[:3, 3]) <= 0.9 * 1.081
        assert 5.0 - 1e-6 <= elevation_of(pose, views) <= 75.0 + 1e-6  # five degrees of margin
        assert -25.0 - 1e-6 <= np.degrees(roll_of(pose, views)) <= 35.0 + 1e-6
        assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)


def test_an_upright_view_shows_up_upwards() -> None:
    views = Views(distance_m=(1, 1), elevation_deg=(0, 0), roll_deg=(0, 0))
    rotation = view_rotation(views, np.array([0.0, 0.0, 1.0]), 0.4, 0.0, 0.0)
    assert_allclose(rotation @ [0, 0, 1], [0, -1, 0], atol=1e-12)
    tilted = view_rotation(views, np.array([0.0, 0.0, 1.0]), 0.4, 0.0, 0.3)
    assert_allclose(tilted @ [0, 0, 1], [np.sin(0.3), -np.cos(0.3), 0], atol=1e-12)


def test_unlimited_views_cover_all_rotations() -> None:
    views = Views(distance_m=(0.45, 1.2))
    rng = np.random.default_rng(0)
    poses = np.stack([random_pose(rng, views, random_camera(rng), 0.25) for _ in range(2000)])
    assert_allclose(poses[:, :3, :3].mean(axis=0), 0, atol=0.05)
    distances = np.linalg.norm(poses[:, :3, 3], axis=1)
    assert 0.45 / 1.081 < distances.min() < 0.45
    assert 1.2 < distances.max() < 1.2 * 1.081


def test_objects_are_in_the_image() -> None:
    rng = np.random.default_rng(1)
    views = Views(distance_m=(0.45, 1.2))
    for _ in range(200):
        K = random_camera(rng)
        centre = random_pose(rng, views, K, 0.25)[:3, 3] @ K.T
        pixel = centre[:2] / centre[2]
        assert (pixel > 0).all()
        assert (pixel < IMAGE_SIZE).all()


def test_look_along_takes_z_to_the_ray() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        ray = random_direction(rng)
        ray[2] = abs(ray[2])
        rotation = look_along(ray)
        assert_allclose(rotation @ [0, 0, 1], ray, atol=1e-12)
        assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_symmetric_poses_have_one_canonical_pose() -> None:
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    symmetries = Symmetries(discrete=(flip,))
    rng = np.random.default_rng(0)
    for _ in range(50):
        pose = make_transform(random_rotation(rng), [0.1, 0.0, 0.8])
        canonical = canonical_pose(pose, symmetries)
        assert_allclose(canonical_pose(pose @ flip, symmetries), canonical, atol=1e-12)
        turn = make_transform(exp_so3([0, 0, 0.9]), np.zeros(3))
        # turning the camera about its axis turns the canonical pose with it
        assert_allclose(canonical_pose(turn @ pose, symmetries), turn @ canonical, atol=1e-12)


def test_a_pose_of_an_object_of_revolution_is_canonical_to_half_a_degree() -> None:
    symmetries = Symmetries(continuous=((np.array([0.0, 0.0, 1.0]), np.zeros(3)),))
    rng = np.random.default_rng(0)
    pose = make_transform(random_rotation(rng), [0.0, 0.1, 0.7])
    first = canonical_pose(pose, symmetries)
    for angle in rng.uniform(0, 6.28, 20):
        spun = pose @ make_transform(exp_so3([0, 0, angle]), np.zeros(3))
        assert np.abs(canonical_pose(spun, symmetries) - first).max() < np.radians(1.01)


def test_an_object_without_symmetry_keeps_its_pose() -> None:
    pose = make_transform(exp_so3([1.0, 2.0, 0.5]), [0, 0, 1])
    assert canonical_pose(pose, Symmetries()) is pose


def test_up_is_the_objects_where_its_views_are_limited() -> None:
    views = Views(distance_m=(0.5, 0.9), up=(0, 2.0, 0), elevation_deg=(10, 70))
    rng = np.random.default_rng(0)
    pose = random_pose(rng, views, random_camera(rng), 0.2)
    assert_allclose(random_up(rng, views, pose), pose[:3, 1], atol=1e-12)


def test_objects_of_any_view_lie_on_tables_that_the_camera_looks_down_on() -> None:
    views = Views(distance_m=(0.45, 1.2))
    rng = np.random.default_rng(0)
    for _ in range(50):
        pose = random_pose(rng, views, random_camera(rng), 0.25)
        up = random_up(rng, views, pose)
        ray = pose[:3, 3] / np.linalg.norm(pose[:3, 3])
        assert np.linalg.norm(up) == pytest.approx(1.0)
        assert 8.0 <= np.degrees(np.arcsin(-up @ ray)) <= 80.0
