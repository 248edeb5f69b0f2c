# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose

from fpg_pose_ros.geometry import (
    CropBox,
    apply_affine,
    exp_so3,
    invert_affine,
    make_transform,
    transform,
)
from offline_search.data.meshes import TexturedMesh
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Instance, Light, Material, Scene
from offline_search.data.views import random_rotation

K = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])
WHOLE = np.eye(3)[:2]
AMBIENT_ONLY = np.full((2, 3), 0.5)


def mesh_of(solid: trimesh.Trimesh, color: tuple[int, int, int] = (200, 200, 200)) -> TexturedMesh:
    colors = np.tile(np.array(color, dtype=np.uint8), (len(solid.vertices), 1))
    faces = np.array(solid.faces, dtype=np.int32)
    return TexturedMesh(np.array(solid.vertices), faces, vertex_colors=colors)


def at(x: float, y: float, z: float) -> np.ndarray:
    return make_transform(np.eye(3), [x, y, z])


@pytest.fixture(scope="module")
def renderer() -> EmbreeRenderer:
    return EmbreeRenderer()


def test_the_depth_of_a_ball_is_that_of_geometry(renderer: EmbreeRenderer) -> None:
    ball = mesh_of(trimesh.creation.icosphere(subdivisions=5, radius=0.1))
    picture = renderer.render(Scene((Instance(ball, at(0.05, -0.02, 0.8)),)), K, WHOLE, (480, 640))
    y, x = np.nonzero(picture.instance)
    rays = np.column_stack([x, y, np.ones(len(x))]) @ np.linalg.inv(K).T
    centre = np.array([0.05, -0.02, 0.8])
    a, b = (rays**2).sum(axis=1), rays @ centre
    root = b**2 - a * (centre @ centre - 0.01)
    inside = root > 1e-3
    expected = (b[inside] - np.sqrt(root[inside])) / a[inside]
    assert inside.sum() > 0.8 * np.pi * (600 * 0.1 / 0.8) ** 2
    assert_allclose(picture.depth[y, x][inside], expected, atol=3e-4)


@pytest.mark.parametrize("seed", range(4))
def test_depth_agrees_at_keypoints_that_are_seen_and_is_nearer_where_they_are_not(
    renderer: EmbreeRenderer, spot: RenderableObject, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pose = make_transform(random_rotation(rng), [0.03, 0.02, 0.6])
    picture = renderer.render(Scene((Instance(spot.mesh, pose),)), K, WHOLE, (480, 640))
    points = transform(pose, spot.model.keypoints)
    pixels = points @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    seen = 0
    for point, pixel in zip(points, pixels, strict=True):
        x, y = np.round(pixel).astype(int)
        near = picture.depth[y - 1 : y + 2, x - 1 : x + 2]
        near = near[near > 0]
        if len(near) == 0:  # on the outline, missed by a pixel's width
            continue
        # nothing of the object is further than a keypoint where it is seen, none nearer than it
        assert near.min() < point[2] + 2e-3
        seen += bool(np.abs(near - point[2]).min() < 1.5e-3)
    assert seen >= 5


def test_a_rolled_camera_sees_the_turned_picture(
    renderer: EmbreeRenderer, spot: RenderableObject
) -> None:
    pose = make_transform(exp_so3([0.4, 2.0, 0.3]), [0.05, 0.03, 0.7])
    roll = make_transform(exp_so3([0.0, 0.0, 0.7]), np.zeros(3))
    straight = renderer.render(Scene((Instance(spot.mesh, pose),)), K, WHOLE, (480, 640), 1)
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, -s], [s, c]])
    A = np.column_stack([turn, K[:2, 2] - turn @ K[:2, 2]])
    by_affine = renderer.render(Scene((Instance(spot.mesh, pose),)), K, A, (480, 640), 1)
    rolled = renderer.render(Scene((Instance(spot.mesh, roll @ pose),)), K, WHOLE, (480, 640), 1)
    # rays through the affine are the rolled camera's rays, to the last bits of float32
    assert (by_affine.instance != rolled.instance).mean() < 1e-5
    both = (by_affine.instance > 0) & (rolled.instance > 0)
    assert_allclose(by_affine.depth[both], rolled.depth[both], atol=1e-3)
    # and warping the straight picture gives the rolled one
    warped = cv2.warpAffine(straight.alpha, A, (640, 480))
    assert (np.abs(warped.astype(int) - rolled.alpha) > 128).mean() < 1e-3


def test_a_window_is_a_part_of_the_image(renderer: EmbreeRenderer, spot: RenderableObject) -> None:
    scene = Scene((Instance(spot.mesh, at(0.1, 0.05, 0.6)),))
    whole = renderer.render(scene, K, WHOLE, (480, 640), 1)
    A = np.array([[1.0, 0.0, -350.0], [0.0, 1.0, -200.0]])
    part = renderer.render(scene, K, A, (120, 160), 1)
    cut = (slice(200, 320), slice(350, 510))
    assert (part.instance != whole.instance[cut]).mean() < 1e-3
    both = (part.depth > 0) & (whole.depth[cut] > 0)
    assert np.median(np.abs(part.depth - whole.depth[cut])[both]) < 1e-6
    assert np.abs(part.rgb.astype(int) - whole.rgb[cut]).mean() < 0.2


def test_a_crop_shows_projected_points_where_its_affine_puts_them(
    renderer: EmbreeRenderer,
) -> None:
    # a small ball is rendered where the affine of the crop sends its centre
    ball = mesh_of(trimesh.creation.icosphere(subdivisions=3, radius=0.003))
    A = CropBox(360.0, 200.0, 80.0).affine(160)
    centre = np.array([0.03, -0.04, 0.6])
    picture = renderer.render(Scene((Instance(ball, at(*centre)),)), K, A, (160, 160), 4)
    y, x = np.mgrid[:160, :160]
    weight = picture.alpha / picture.alpha.sum()
    pixel = centre @ K.T
    expected = apply_affine(A, (pixel[:2] / pixel[2])[None])[0]
    assert_allclose([(x * weight).sum(), (y * weight).sum()], expected, atol=0.05)


def test_the_nearer_instance_is_seen_under_its_number(renderer: EmbreeRenderer) -> None:
    box = mesh_of(trimesh.creation.box((0.1, 0.1, 0.1)))
    scene = Scene(
        (
            Instance(box, at(0.0, 0.0, 1.0), number=7),
            Instance(box, at(0.03, 0.0, 0.7), number=9),
        )
    )
    picture = renderer.render(scene, K, WHOLE, (480, 640))
    assert picture.instance[240, 350] == 9
    assert picture.instance[240, 291] == 7
    assert picture.instance[10, 10] == 0
    assert set(np.unique(picture.instance)) == {0, 7, 9}


def test_edges_are_smoothed_and_colours_premultiplied(renderer: EmbreeRenderer) -> None:
    box = mesh_of(trimesh.creation.box((0.1, 0.1, 0.1)), (255, 255, 255))
    turned = make_transform(exp_so3([0.0, 0.0, 0.3]), [0.0, 0.0, 0.8])
    scene = Scene((Instance(box, turned, Material(specular=0.0)),), ambient=AMBIENT_ONLY)
    picture = renderer.render(scene, K, WHOLE, (480, 640), 4)
    partly = (picture.alpha > 0) & (picture.alpha < 255)
    assert partly.sum() > 50
    full = int(picture.rgb[240, 320, 0])
    expected = picture.alpha[partly].astype(float) / 255 * full
    assert_allclose(picture.rgb[partly, 0], expected, atol=1.0)
    rough = renderer.render(scene, K, WHOLE, (480, 640), 1)
    assert set(np.unique(rough.alpha)) == {0, 255}


def test_what_stands_in_the_light_casts_a_shadow(renderer: EmbreeRenderer) -> None:
    floor = mesh_of(trimesh.creation.box((1.0, 1.0, 0.01)))
    box = mesh_of(trimesh.creation.box((0.1, 0.1, 0.1)))
    light = Light(np.array([0.6, 0.0, -0.8]), np.full(3, 0.8))
    instances = (Instance(floor, at(0, 0, 1.2)), Instance(box, at(0, 0, 1.0)))
    lit = renderer.render(Scene(instances, (light,)), K, WHOLE, (480, 640), 1)
    dark = Light(light.direction, light.color, shadow=False)
    unlit = renderer.render(Scene(instances, (dark,)), K, WHOLE, (480, 640), 1)
    on_floor = lit.depth > 1.15
    shaded = on_floor & (lit.rgb[..., 0].astype(int) + 30 < unlit.rgb[..., 0])
    y, x = np.nonzero(shaded)
    # the light comes from the right and above: 0.2 m below the box the shadow is 0.15 m to the left
    expected = 319.5 - 600 * 0.15 / 1.2
    assert x.mean() == pytest.approx(expected, abs=15)
    assert y.mean() == pytest.approx(239.5, abs=5)


def test_a_texture_is_seen_where_its_coordinates_say(renderer: EmbreeRenderer) -> None:
    texture = np.zeros((64, 64, 3), dtype=np.uint8)
    texture[:32, :, 0] = 255  # the upper half is red
    texture[32:, :, 2] = 255
    square = TexturedMesh(
        np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]]),
        np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32),
        uv=np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
        texture=texture,
    )
    scene = Scene((Instance(square, at(0, 0, 1.0)),), ambient=AMBIENT_ONLY)
    picture = renderer.render(scene, K, WHOLE, (480, 640))
    upper, lower = picture.rgb[210, 320].astype(int), picture.rgb[270, 320].astype(int)
    assert upper[0] > 100 > upper[2]
    assert lower[2] > 100 > lower[0]


def test_a_fine_texture_far_away_becomes_its_mean(renderer: EmbreeRenderer) -> None:
    checker = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    square = TexturedMesh(
        np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]]),
        np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32),
        uv=np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
        texture=np.dstack([checker] * 3),
    )
    scene = Scene((Instance(square, at(0, 0, 2.0)),), ambient=AMBIENT_ONLY)
    picture = renderer.render(scene, K, WHOLE, (480, 640), 1)
    assert picture.rgb[picture.alpha > 0].std() < 6


def test_what_is_behind_the_camera_is_not_seen(renderer: EmbreeRenderer) -> None:
    box = mesh_of(trimesh.creation.box((0.1, 0.1, 0.1)))
    picture = renderer.render(Scene((Instance(box, at(0, 0, -1.0)),)), K, WHOLE, (48, 64))
    assert not picture.alpha.any()
    around = renderer.render(Scene((Instance(box, at(0, 0, 0.0)),)), K, WHOLE, (48, 64))
    assert around.alpha.all(), "from inside the box it is everywhere"


def test_a_renderer_crosses_processes_empty(spot: RenderableObject) -> None:
    renderer = EmbreeRenderer()
    scene = Scene((Instance(spot.mesh, at(0, 0, 0.6)),))
    before = renderer.render(scene, K, WHOLE, (48, 64))
    again = pickle.loads(pickle.dumps(renderer)).render(scene, K, WHOLE, (48, 64))
    assert np.array_equal(before.rgb, again.rgb)


def test_any_affine_window_may_be_asked_for(
    renderer: EmbreeRenderer, spot: RenderableObject
) -> None:
    A = np.array([[0.2, 0.05, 3.0], [-0.02, 0.15, 5.0]])
    picture = renderer.render(Scene((Instance(spot.mesh, at(0, 0, 0.6)),)), K, A, (90, 140), 1)
    whole = renderer.render(Scene((Instance(spot.mesh, at(0, 0, 0.6)),)), K, WHOLE, (480, 640), 1)
    y, x = np.nonzero(picture.alpha)
    back = np.round(apply_affine(invert_affine(A), np.column_stack([x, y]))).astype(int)
    assert (whole.alpha[back[:, 1], back[:, 0]] > 0).mean() > 0.97
