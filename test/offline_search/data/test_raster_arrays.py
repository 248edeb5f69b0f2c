# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offline_search.data.environment import harmonics, random_environment
from offline_search.data.objects import RenderableObject
from offline_search.data.raster_arrays import corner_rows, from_light, irradiance, projection
from offline_search.data.scene import Scene
from offline_search.data.shading import hemisphere

K = np.array([[600.0, 0.0, 301.0], [0.0, 590.0, 251.0], [0.0, 0.0, 1.0]])
A = np.array([[0.4, 0.07, -90.0], [-0.05, 0.3, -40.0]])
POINTS = np.array([[0.1, -0.05, 0.6], [0.0, 0.0, 0.9], [-0.2, 0.1, 1.4]])


def unit_vectors(count: int) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(count, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_points_land_where_the_camera_sees_them_with_pixel_centres_at_whole_numbers() -> None:
    shape = (96, 128)
    clip = projection(K, A, shape, [POINTS]) @ np.vstack([POINTS.T, np.ones(3)])
    placed = clip[:2] / clip[3]
    drawn = ((placed + 1) / 2 * np.array([[128], [96]])).T - 0.5
    pixels = POINTS @ K.T
    np.testing.assert_allclose(drawn, (pixels / pixels[:, 2:]) @ np.vstack([A[:, :2].T, A[:, 2]]))
    depths = clip[2] / clip[3]
    assert (np.diff(depths) > 0).all()
    assert np.abs(depths).max() < 1


def test_what_reaches_behind_the_camera_is_cut_off_just_before_it() -> None:
    around = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 2.0]])
    clip = projection(K, A, (96, 128), [around])
    near, far = clip @ [0.0, 0.0, 1e-3, 1.0], clip @ [0.0, 0.0, 2.0, 1.0]
    assert near[2] / near[3] == pytest.approx(-1)
    assert 0.99 < far[2] / far[3] < 1


def test_a_light_sees_the_nearest_to_it_first_and_all_of_the_scene() -> None:
    ray, centre = unit_vectors(1)[0], np.array([0.1, 0.2, 0.9])
    seen = from_light(ray, centre, 0.3)
    ball = centre + 0.3 * unit_vectors(50)
    placed = seen @ np.vstack([ball.T, np.ones(50)])
    assert np.abs(placed[:3]).max() <= 1 + 1e-9
    towards = seen @ np.append(centre + 0.2 * ray, 1.0)
    np.testing.assert_allclose(towards, [0, 0, -2 / 3, 1], atol=1e-12)


def test_light_from_above_and_below_is_that_of_the_other_renderer() -> None:
    up = unit_vectors(2)[1]
    scene = Scene((), ambient=np.array([[0.5, 0.4, 0.3], [0.1, 0.2, 0.3]]), up=up)
    normals = unit_vectors(40).astype(np.float32)
    wanted = hemisphere(normals, scene.ambient.astype(np.float32), up.astype(np.float32))
    np.testing.assert_allclose(harmonics(normals) @ irradiance(scene), wanted, atol=1e-6)


def test_a_rooms_panorama_is_blurred_for_gpus_as_it_is_for_rays() -> None:
    room = random_environment(np.random.default_rng(1), np.array([0.0, -1.0, 0.0]))
    polar, azimuth = (np.array([10, 20, 31]) + 0.5) * np.pi / 32, (np.array([0, 33, 63]) + 0.5)
    azimuth = azimuth * np.pi / 32
    directions = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1
    )
    seen = room.mirrored((directions @ room.R_world_camera).astype(np.float32), 5)
    np.testing.assert_allclose(room.blurred(5)[[10, 20, 31], [0, 33, 63]], seen, rtol=1e-3)


def test_corners_have_their_place_normal_openness_and_look(spot: RenderableObject) -> None:
    mesh = spot.open_mesh
    rows = corner_rows(mesh)
    assert mesh.uv is not None
    assert mesh.openness is not None
    face, vertex = 7, mesh.faces[7, 2]
    np.testing.assert_allclose(rows[face, 2, :3], mesh.vertices[vertex], rtol=1e-6)
    np.testing.assert_allclose(rows[face, 2, 3:6], mesh.normals[face, 2], rtol=1e-6)
    assert rows[face, 2, 6] == mesh.openness[vertex]
    u, v = mesh.uv[vertex]
    np.testing.assert_allclose(rows[face, 2, 7:], [u, 1 - v, 0], rtol=1e-6)
