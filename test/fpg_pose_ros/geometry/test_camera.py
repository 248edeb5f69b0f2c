# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest

from fpg_pose_ros.errors import CameraError
from fpg_pose_ros.geometry import Camera

K = np.array([[600.0, 0.0, 320.0], [0.0, 610.0, 240.0], [0.0, 0.0, 1.0]])
LENSES = {
    "pinhole": [],
    "plumb_bob": [-0.35, 0.15, 0.001, -0.002, 0.01],
    "rational_polynomial": [0.5, 0.2, 0.001, 0.001, 0.01, 0.8, 0.3, 0.02],
    "equidistant": [0.1, -0.02, 0.01, 0.001],
}


def camera(model: str) -> Camera:
    return Camera(640, 480, K, np.array(LENSES[model]), model)


def test_a_pinhole_projects_by_similar_triangles():
    pixels = camera("pinhole").project([[0.1, -0.2, 2.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(pixels, [[350.0, 179.0], [320.0, 240.0]])


@pytest.mark.parametrize("model", LENSES)
def test_pixels_all_over_the_image_go_there_and_back(model):
    xy = np.stack(np.meshgrid(np.linspace(0, 639, 17), np.linspace(0, 479, 13)), -1).reshape(-1, 2)
    lens = camera(model)
    rays = lens.normalise(xy)
    np.testing.assert_allclose(lens.project_normalised(rays), xy, atol=1e-7)
    points = np.column_stack([rays, np.ones(len(rays))]) * np.linspace(0.3, 9, len(rays))[:, None]
    np.testing.assert_allclose(lens.project(points), xy, atol=1e-7)


@pytest.mark.parametrize(
    "more", [[], [0.01, 0.002, -0.003, 0.001], [0.01, 0, 0, 0.001, 0.02, -0.01]]
)
def test_a_thin_prism_and_a_tilted_sensor_are_opencvs(more):
    coefficients = np.array([*LENSES["rational_polynomial"], *more])
    points = np.random.default_rng(1).uniform([-0.5, -0.4, 1.0], [0.5, 0.4, 2.0], (50, 3))
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, coefficients)
    lens = Camera(640, 480, K, coefficients, "rational_polynomial")
    np.testing.assert_allclose(lens.project(points), expected[:, 0], atol=1e-9)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial"])
def test_distortion_is_opencvs(model):
    points = np.random.default_rng(0).uniform([-0.4, -0.3, 1], [0.4, 0.3, 2], (50, 3))
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, np.array(LENSES[model]))
    np.testing.assert_allclose(camera(model).project(points), expected[:, 0])


def test_an_equidistant_lens_without_coefficients_keeps_angles():
    lens = Camera(640, 480, K, np.zeros(4), "equidistant")
    angle = 0.6
    np.testing.assert_allclose(
        lens.project([[np.sin(angle), 0, np.cos(angle)]]), [[320 + 600 * angle, 240]]
    )


@pytest.mark.parametrize("model", LENSES)
def test_points_behind_the_camera_have_no_pixel(model):
    pixels = camera(model).project([[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [0.1, 0.1, 1.0]])
    assert np.isnan(pixels[:2]).all()
    assert np.isfinite(pixels[2]).all()


def test_a_pixel_where_the_lens_model_folds_back_has_no_ray():
    # With k1 = -0.35 alone no ray lands farther than 0.65 focal lengths from the centre.
    lens = Camera(640, 480, K, np.array([-0.35, 0.0, 0.0, 0.0]), "plumb_bob")
    rays = lens.normalise([[320 + 0.66 * 600, 240], [320 + 0.5 * 600, 240]])
    assert np.isnan(rays[0]).all()
    assert np.isfinite(rays[1]).all()


@pytest.mark.parametrize("model", LENSES)
def test_covariances_go_through_the_local_jacobian(model):
    lens = camera(model)
    px = np.array([[30.0, 40.0], [320.0, 240.0], [600.0, 100.0]])
    cov = np.array([[2.0, 0.3], [0.3, 1.0]])
    rays, covariances = lens.normalise_gaussian(px, np.tile(cov, (3, 1, 1)))
    np.testing.assert_allclose(rays, lens.normalise(px))
    rng = np.random.default_rng(1)
    for index in range(3):
        sample = px[index] + 0.1 * rng.multivariate_normal([0, 0], cov, 40_000)
        expected = np.cov(lens.normalise(sample).T) / 0.1**2
        np.testing.assert_allclose(covariances[index], expected, rtol=0.06, atol=2e-8)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"width": 0}, "width"),
        ({"height": 480.5}, "height"),
        ({"width": True}, "width"),
        ({"K": np.eye(4)}, "K"),
        ({"K": "nothing"}, "K"),
        ({"K": np.where(np.eye(3, dtype=bool), [[np.nan, 0, 0]], K)}, "fx"),
        ({"K": K * [[1, 1, 1], [0, -1, 1], [0, 0, 1]]}, "fy"),
        ({"K": np.zeros((3, 3))}, "fx"),
        ({"K": np.where([[0, 0, 1], [0, 0, 0], [0, 0, 0]], np.inf, K)}, "cx"),
        ({"K": 2 * K}, "form"),
        ({"model": "fov"}, "fov"),
        ({"model": "plumb_bob", "distortion": np.zeros(3)}, "3 coefficients"),
        ({"model": "plumb_bob", "distortion": np.array([np.nan, 0, 0, 0])}, "distortion"),
        ({"model": "pinhole", "distortion": np.array([0.1, 0, 0, 0])}, "coefficients"),
        ({"model": "equidistant"}, "0 coefficients"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused_naming_the_field(change, field):
    values = {"width": 640, "height": 480, "K": K, "distortion": np.zeros(0), "model": "pinhole"}
    with pytest.raises(CameraError, match=field):
        Camera(**{**values, **change})


def test_a_camera_cannot_be_changed_behind_its_back():
    values = K.copy()
    lens = Camera(640, 480, values)
    values[0, 0] = 1
    assert lens.fx == 600
    with pytest.raises(ValueError, match="read-only"):
        lens.K[0, 0] = 1


def test_no_points_are_no_trouble():
    for model in LENSES:
        assert camera(model).normalise(np.zeros((0, 2))).shape == (0, 2)
        assert camera(model).project(np.zeros((0, 3))).shape == (0, 2)
