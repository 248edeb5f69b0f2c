# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from offline_search.data.meshes import TexturedMesh, surface_points
from offline_search.data.objects import RenderableObject
from offline_search.data.simplify import light_mesh, vertex_colors


def test_a_light_mesh_has_few_faces_and_stays_on_the_surface(spot: RenderableObject) -> None:
    light = light_mesh(spot.mesh)
    assert 2000 < len(light.faces) <= 3000
    original = surface_points(spot.mesh, 30_000, seed=0)
    away = cKDTree(original).query(light.vertices)[0]
    assert away.max() < 0.01 * spot.model.diameter
    bounds = np.ptp(light.vertices, axis=0) / np.ptp(spot.mesh.vertices, axis=0)
    assert (bounds > 0.95).all()


def test_a_mesh_that_is_light_already_keeps_its_faces() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    mesh = TexturedMesh(np.array(ball.vertices), np.array(ball.faces, dtype=np.int32))
    assert len(light_mesh(mesh).faces) == len(ball.faces)


@pytest.mark.parametrize("limit", [10, 100, 1000])
def test_the_limit_is_met(spot: RenderableObject, limit: int) -> None:
    assert 0 < len(light_mesh(spot.mesh, limit).faces) <= limit


def test_colours_are_those_of_the_texture(spot: RenderableObject) -> None:
    light = light_mesh(spot.mesh)
    horn = light.colors[light.vertices[:, 1] > 0.105].astype(int)
    assert (horn[:, 0] > horn[:, 2] + 40).all(), "Spot's horns are brown"
    hoof = light.colors[light.vertices[:, 1] < -0.087].astype(int)
    assert hoof.max() < 110, "Spot's hooves are dark"


def test_the_texture_is_looked_up_with_v_upwards() -> None:
    texture = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], dtype=np.uint8)
    vertices = np.eye(3)
    uv = np.array([[0.25, 0.75], [0.75, 0.75], [0.25, 0.25]])
    mesh = TexturedMesh(vertices, np.array([[0, 1, 2]], dtype=np.int32), uv, texture)
    assert vertex_colors(mesh).tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
