# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import trimesh

from fpg_pose_ros.geometry import CropBox
from offline_search.data.environment import Environment
from offline_search.data.meshes import TexturedMesh
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Instance, Light, Scene
from offline_search.data.tables import (
    lay_table,
    plane_under,
    shadow_side,
    shadow_to_layer,
    table_top,
    trace_shadow,
)

K = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])
UP = np.array([0.0, -0.6, -0.8])  # the camera looks down steeply
SIZE = 96


def standing_box() -> tuple[Scene, np.ndarray, np.ndarray, np.ndarray]:
    """A box of 0.1 m on a table 0.7 m away, a lamp to the right of it."""
    right, forward = np.array([1.0, 0.0, 0.0]), np.cross(UP, [1.0, 0.0, 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, forward, UP], axis=1)
    pose[:3, 3] = [0.0, 0.0, 0.7]
    solid = trimesh.creation.box((0.1, 0.1, 0.1))
    mesh = TexturedMesh(np.array(solid.vertices), np.array(solid.faces, dtype=np.int32))
    lamp = Light((UP + right) / np.sqrt(2), np.full(3, 0.9), radius=0.05)
    surround = Environment(np.full((32, 64, 3), 0.3, dtype=np.float32), np.eye(3))
    scene = Scene((Instance(mesh, pose),), (lamp,), environment=surround)
    points = np.asarray(mesh.vertices @ pose[:3, :3].T + pose[:3, 3])
    return scene, points, CropBox(319.5, 239.5, 110.0).affine(SIZE), pose


def test_the_plane_touches_the_lowest_point_and_is_looked_down_on() -> None:
    _, points, _, _ = standing_box()
    plane = plane_under(points, UP)
    assert np.isclose((points @ plane[:3]).min(), plane[3])
    assert not plane_under(points, -UP).any(), "no table is seen from beneath"


def test_a_shadow_lies_beside_its_thing_away_from_the_lamp() -> None:
    scene, points, A, _ = standing_box()
    plane = plane_under(points, UP)
    shadow = trace_shadow(EmbreeRenderer(), scene, plane, K, A, SIZE)
    side = shadow_side(SIZE)
    assert shadow.shape == (side, side)
    left, right = shadow[:, : side // 2].astype(float), shadow[:, side // 2 :].astype(float)
    assert left.sum() > 1.5 * right.sum()
    # the foot of the shadow is where the box meets the table
    foot = np.array([-0.055, 0.0, -0.05]) @ np.stack([[1.0, 0, 0], np.cross(UP, [1.0, 0, 0]), UP])
    pixel = K @ (foot + np.array([0, 0, 0.7]))
    layer = A @ [*(pixel[:2] / pixel[2]), 1.0]
    to_layer = shadow_to_layer(SIZE)
    x, y = np.round((layer - to_layer[:, 2]) / to_layer[0, 0]).astype(int)
    assert 80 < shadow[y, x] < 255, "light from all around is left"


def test_without_a_plane_there_is_no_shadow() -> None:
    scene, _, A, _ = standing_box()
    assert not trace_shadow(EmbreeRenderer(), scene, np.zeros(4), K, A, SIZE).any()


def test_a_table_lies_under_its_thing_and_ends_somewhere() -> None:
    _, points, A, pose = standing_box()
    H = np.vstack([A, [0.0, 0.0, 1.0]]) @ K
    covered = []
    for seed in range(12):
        image = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
        plane = plane_under(points, UP)
        lay_table(np.random.default_rng(seed), image, plane, pose[:3, 3], 0.17, H)
        covered.append(float((image.max(axis=2) > 0).mean()))
    assert np.mean(covered) > 0.3


def test_no_table_reaches_behind_the_camera() -> None:
    """From near and from far, flat over the table and from above, near the border of the image."""
    rng = np.random.default_rng(0)
    nearest, free = [], 0
    for _ in range(3000):
        size, elevation = 0.2, np.radians(rng.uniform(4.0, 89.0))
        depth = rng.uniform(1.0, 6.0) * size
        foot = depth * np.array([*rng.uniform(-0.5, 0.5, 2), 1.0])
        up = np.array([0.0, -np.cos(elevation), -np.sin(elevation)])
        plane = np.append(up, foot @ up - 0.5 * size)
        if plane[3] >= 0:
            continue
        origin, edges = table_top(rng, plane, foot, size)
        corners = origin + np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ edges
        np.testing.assert_allclose(corners @ up, plane[3])
        on_plane = foot + (plane[3] - foot @ up) * up
        nearest.append(corners[:, 2].min() / on_plane[2])
        free += nearest[-1] > 0.06
    assert min(nearest) > 0.04
    assert free > 0.9 * len(nearest) > 2000, "few tables are made smaller for it"
