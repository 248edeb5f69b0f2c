# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.bundle import NetworkSpec
from fpg_pose_ros.decode import DecodeParameters, KeypointObservations
from fpg_pose_ros.geometry import Camera, apply_affine, exp_so3, make_transform, transform
from fpg_pose_ros.steps import (
    RejectedError,
    crop_affine,
    decode,
    reprojection_error,
    solve_observations,
    to_image,
)

SPEC = NetworkSpec("p.onnx", "heatmap", (128, 128), 0, 0, extra={"stride": 4, "crop_margin": 1.25})
CAMERA = Camera(640, 480, np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]))


def test_the_crop_is_square_around_the_box_with_its_margin():
    A = crop_affine((100, 50, 200, 90), SPEC)
    np.testing.assert_allclose(apply_affine(A, [[150, 70]]), [[63.5, 63.5]])
    assert 128 / A[0, 0] == pytest.approx(125)


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 5), (9, 9, 5, 5), (0, 0, float("nan"), 4), (0, 0, 1e9, 1)]
)
def test_a_box_without_a_size_is_rejected(box):
    with pytest.raises(RejectedError, match="box"):
        crop_affine(box, SPEC)


def test_observations_go_back_to_the_image_with_their_covariances():
    A = np.array([[0.5, 0.0, -20.0], [0.0, 0.5, 6.0]])
    seen = KeypointObservations(np.array([[10.0, 20.0]]), np.eye(2)[None], np.array([0.7]))
    back = to_image(seen, A)
    np.testing.assert_allclose(back.pixels, [[60, 28]])
    np.testing.assert_allclose(back.covariances, [np.diag([4.0, 4.0])])
    np.testing.assert_array_equal(back.confidence, [0.7])


def test_both_kinds_of_networks_are_decoded():
    heat = np.full((1, 2, 32, 32), -40, np.float32)
    heat[0, :, 10, 20] = 0
    (at,) = np.unique(decode((heat,), SPEC, DecodeParameters()).pixels, axis=0)
    np.testing.assert_allclose(at, [20.5 * 4 - 0.5, 10.5 * 4 - 0.5])
    extra = {"bins_per_pixel": 2, "crop_margin": 1.25}
    bins = NetworkSpec("p.onnx", "simcc", (128, 128), 0, 0, extra=extra)
    x, y = np.full((2, 1, 2, 256), -40, np.float32)
    x[..., 100], y[..., 60] = 0, 0
    (at,) = np.unique(decode((x, y), bins, DecodeParameters()).pixels, axis=0)
    np.testing.assert_allclose(at, [100.5 / 2 - 0.5, 60.5 / 2 - 0.5])


def test_what_the_network_could_not_see_does_not_count_as_reprojection_error(cube_bundle):
    model = cube_bundle.objects[0].model
    T = make_transform(exp_so3([0.3, 0.2, 0.1]), [0, 0, 0.8])
    pixels = CAMERA.project(transform(T, model.keypoints))
    pixels[3] += 90
    covariances = np.tile(np.eye(2), (8, 1, 1))
    covariances[3] *= 100.0**2
    seen = KeypointObservations(pixels, covariances, np.ones(8))
    solution = solve_observations(model, seen, CAMERA)
    assert solution.inliers.all()
    assert reprojection_error(model, CAMERA, seen, solution) < 1.0
