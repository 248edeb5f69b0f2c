# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import Camera, exp_so3, make_transform
from fpg_pose_ros.overlay import PALETTE, draw, silhouette

CAMERA = Camera(640, 480, np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]))
GREY = np.full((480, 640, 3), 128, np.uint8)


def estimate(rotation=(0.0, 0.0, 0.0), translation=(0.0, 0.0, 0.8), box=(250, 170, 390, 310)):
    T = make_transform(exp_so3(rotation), translation)
    return PoseEstimate("cube", 0, T, np.eye(6) * 1e-4, 0.9, 1.0, box)


@pytest.fixture
def model(cube_bundle):
    return cube_bundle.objects[0].model


def test_the_silhouette_of_a_cube_head_on_is_its_nearest_face(model):
    mask = silhouette(model.mesh, CAMERA, estimate())
    half = 600 * 0.08 / (0.8 - 0.08)
    rows, columns = np.nonzero(mask)
    for low, high, centre in ((columns.min(), columns.max(), 320), (rows.min(), rows.max(), 240)):
        assert low == pytest.approx(centre - half, abs=1)
        assert high == pytest.approx(centre + half, abs=1)
    assert np.count_nonzero(mask) == pytest.approx((2 * half) ** 2, rel=0.04)


def test_the_axes_are_red_green_and_blue_along_x_y_and_z(model):
    # A quarter turn that shows x to the right, y up towards the viewer's top, z towards it.
    picture = draw(GREY, CAMERA, [estimate((np.pi, 0, 0), box=(0, 479, 1, 480))], [model])
    middle = picture[236:245, 335:400].reshape(-1, 3).astype(int)
    assert (middle[:, 0] - middle[:, 1:].max(axis=1)).max() > 100  # red to the right
    upper = picture[150:225, 316:325].reshape(-1, 3).astype(int)
    assert (upper[:, 1] - upper[:, [0, 2]].max(axis=1)).max() > 80  # green upwards


def test_outline_and_label_are_drawn_into_a_copy(model):
    before = GREY.copy()
    picture = draw(GREY, CAMERA, [estimate((0.4, 0.5, 0.1))], [model])
    np.testing.assert_array_equal(before, GREY)
    mask = silhouette(model.mesh, CAMERA, estimate((0.4, 0.5, 0.1)))
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    close = np.abs(picture.astype(int) - PALETTE[0]).sum(axis=2) < 60
    assert np.count_nonzero(close & border) > 0.15 * np.count_nonzero(border)
    assert picture.min() < 60  # the label's ground
    assert picture[100:170, 250:420].min(axis=2).max() > 220  # its letters, above the box


def test_without_estimates_the_picture_is_the_image(model):
    np.testing.assert_array_equal(draw(GREY, CAMERA, [], [model]), GREY)
    other = replace(estimate(), object_name="stranger")
    np.testing.assert_array_equal(draw(GREY, CAMERA, [other], [model]), GREY)


@pytest.mark.parametrize(
    "translation", [(0, 0, 0.01), (0, 0, -1.0), (50.0, 0, 0.1), (0.55, 0.4, 0.8), (0, 0, 1e6)]
)
def test_poses_out_of_view_do_no_harm(model, translation):
    box = (-900.0, -900.0, 9000.0, 9000.0)
    picture = draw(GREY, CAMERA, [estimate((0.1, 0, 0), translation, box)], [model])
    assert picture.shape == GREY.shape


def test_labels_of_neighbours_do_not_cover_each_other(model):
    one = estimate()
    two = replace(estimate(translation=(0.01, 0, 0.9)), instance_id=1)
    alone = draw(GREY, CAMERA, [one], [model])
    both = draw(GREY, CAMERA, [one, two], [model])
    letters = [np.count_nonzero(p.min(axis=2) > 200) for p in (alone, both)]
    assert letters[1] > 1.8 * letters[0]


def test_tiny_images_are_drawn_into_as_well(model):
    small = Camera(32, 24, np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]]))
    picture = draw(np.zeros((24, 32, 3), np.uint8), small, [estimate(box=(8, 5, 24, 19))], [model])
    assert picture.any()
