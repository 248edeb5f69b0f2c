# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.geometry import Camera, exp_so3, make_transform, transform
from fpg_pose_ros.objects import Mesh
from fpg_pose_ros.tracking.foresight import box_in_view, outermost

K = np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
CAMERAS = [
    Camera(640, 480, K),
    Camera(640, 480, K, np.array([-0.28, 0.09, 0.001, -0.0012, 0.0]), "plumb_bob"),
]


def lumpy_mesh() -> Mesh:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(1500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    vertices = directions * [0.1, 0.05, 0.02] * rng.uniform(0.8, 1.0, (1500, 1))
    return Mesh(vertices, np.array([[0, 1, 2]]), np.zeros((1500, 3), np.uint8))


@pytest.mark.parametrize("camera", CAMERAS, ids=["pinhole", "distorted"])
def test_the_box_is_the_projected_meshs(camera):
    mesh = lumpy_mesh()
    points = outermost(mesh)
    assert len(points) < len(mesh.vertices) / 4
    rng = np.random.default_rng(1)
    for _ in range(20):
        T = make_transform(exp_so3(rng.normal(size=3)), [*rng.uniform(-0.2, 0.2, 2), 0.8])
        pixels = camera.project(transform(T, mesh.vertices))
        box = box_in_view(points, T, camera)
        exact = np.r_[pixels.min(axis=0), pixels.max(axis=0)]
        size = (exact[2:] - exact[:2]).max()
        np.testing.assert_allclose(box, exact, atol=0.015 * size)


@pytest.mark.parametrize("place", [[0, 0, -0.5], [0, 0, 0.01], [2.0, 0, 1.0], [0, -3.0, 1.0]])
def test_what_is_out_of_view_has_no_box(place):
    assert (
        box_in_view(outermost(lumpy_mesh()), make_transform(np.eye(3), place), CAMERAS[0]) is None
    )


def test_a_box_may_reach_beyond_the_image():
    T = make_transform(np.eye(3), [0.5, 0.0, 0.9])
    x0, _, x1, _ = box_in_view(outermost(lumpy_mesh()), T, CAMERAS[0])
    assert x0 < 639 < x1
