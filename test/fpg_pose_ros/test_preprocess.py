# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.bundle import NetworkSpec
from fpg_pose_ros.geometry import CropBox, apply_affine
from fpg_pose_ros.preprocess import letterbox_affine, resample, to_tensor


def spot(height: int, width: int, x: float, y: float, sigma: float) -> np.ndarray:
    yy, xx = np.mgrid[:height, :width]
    value = 255 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(value).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(float)
    yy, xx = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * xx).sum(), (weight * yy).sum()]) / weight.sum()


@pytest.mark.parametrize("side", [40, 100, 128, 150, 200, 333, 470, 900])
def test_a_spot_lands_where_the_affine_map_says_at_any_scale(side):
    image = spot(480, 641, 301.3, 222.8, max(2.0, side / 25))
    A = CropBox(310.7, 230.2, side).affine(128)
    crop = resample(image, A, (128, 128))
    assert crop.shape == (128, 128, 3)
    np.testing.assert_allclose(centroid(crop), apply_affine(A, [[301.3, 222.8]])[0], atol=0.06)


def test_fine_texture_is_averaged_and_not_aliased():
    yy, xx = np.mgrid[:480, :640]
    board = np.repeat((((xx + yy) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    for side in (256, 400, 480):
        crop = resample(board, CropBox(320, 240, side).affine(128), (128, 128))
        assert abs(float(crop[8:-8, 8:-8].mean()) - 127.5) < 3
        assert crop[8:-8, 8:-8].std() < 30


def test_beyond_the_image_it_is_black():
    image = np.full((480, 640, 3), 200, np.uint8)
    for side in (100, 400):
        crop = resample(image, CropBox(0, 240, side).affine(128), (128, 128))
        assert crop[:, :60].max() == 0
        assert crop[:, 68:].min() == 200
        away = resample(image, CropBox(-5000, -5000, side).affine(128), (128, 128))
        assert away.max() == 0


def test_a_view_into_a_larger_buffer_is_as_good_as_a_copy():
    wide = np.random.default_rng(0).integers(0, 255, (480, 700, 3), dtype=np.uint8)
    view = wide[:, 30:670]
    view.flags.writeable = False
    A = CropBox(300, 200, 300).affine(128)
    np.testing.assert_array_equal(
        resample(view, A, (128, 128)), resample(np.ascontiguousarray(view), A, (128, 128))
    )


@pytest.mark.parametrize(
    ("image_size", "input_size"),
    [((480, 640), (168, 224)), ((1080, 1920), (168, 224)), ((90, 60), (168, 224))],
)
def test_the_letterbox_shows_the_whole_image_centred(image_size, input_size):
    A = letterbox_affine(image_size, input_size)
    (height, width), (rows, columns) = image_size, input_size
    corners = apply_affine(A, [[-0.5, -0.5], [width - 0.5, height - 0.5]])
    np.testing.assert_allclose(corners.sum(axis=0), [columns - 1, rows - 1])
    assert A[0, 0] == A[1, 1]
    spans = np.diff(corners, axis=0)[0] / [columns, rows]
    assert spans.max() == pytest.approx(1)


def test_the_tensor_is_planar_and_normalised_as_the_bundle_says():
    image = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    plain = NetworkSpec("n.onnx", "heatmap", (6, 8), 0, 0)
    np.testing.assert_array_equal(to_tensor(image, plain)[0], image.transpose(2, 0, 1))
    assert to_tensor(image, plain).dtype == np.float32
    mean, std = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)
    other = NetworkSpec("n.onnx", "heatmap", (6, 8), 0, 0, mean, std)
    expected = ((image.astype(np.float32) - mean) / std).transpose(2, 0, 1)
    np.testing.assert_allclose(to_tensor(image, other)[0], expected, rtol=1e-6)
