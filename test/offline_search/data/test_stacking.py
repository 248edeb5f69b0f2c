# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from offline_search.data.painting import Layer
from offline_search.data.stacking import (
    Patch,
    dim,
    hide,
    lay_over,
    lay_shadow,
    rotation,
    tint,
    warp,
)
from offline_search.data.tables import shadow_side


def disc(size: int, cx: float, cy: float, radius: float) -> np.ndarray:
    """A white disc, premultiplied, with a smooth edge."""
    y, x = np.mgrid[:size, :size]
    alpha = np.clip(radius - np.hypot(x - cx, y - cy) + 0.5, 0, 1) * 255
    return np.dstack([alpha] * 4).astype(np.uint8)


def centroid(alpha: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    weight = alpha / alpha.sum()
    return np.array([(x * weight).sum(), (y * weight).sum()])


@pytest.mark.parametrize("scale", [1.7, 0.8, 0.4, 0.2, 0.09])
def test_a_warp_moves_things_exactly_however_much_it_shrinks_them(scale: float) -> None:
    layer = disc(144, 80.3, 61.8, 35.0)
    turn = rotation(0.6) * scale
    A = np.column_stack([turn, [60.0, 40.0]])
    warped = warp(layer, A, (300, 300)).alpha((300, 300)).astype(float)
    expected = turn @ centroid(layer[..., 3].astype(float)) + [60.0, 40.0]
    assert_allclose(centroid(warped), expected, atol=0.06)
    assert warped.sum() == pytest.approx(layer[..., 3].sum() * scale**2, rel=0.03)


def test_a_patch_is_only_as_large_as_the_thing_and_its_picture() -> None:
    layer = disc(64, 31.5, 31.5, 30.0)
    small = warp(layer, np.array([[0.5, 0.0, 100.0], [0.0, 0.5, 50.0]]), (200, 300))
    assert (small.x, small.y) == (99, 49)
    assert max(small.rgba.shape) <= 36
    corner = warp(layer, np.array([[1.0, 0.0, -40.0], [0.0, 1.0, -50.0]]), (200, 300))
    assert (corner.x, corner.y) == (0, 0)
    assert np.array_equal(corner.rgba[:14, :24], layer[50:64, 40:64])
    nowhere = warp(layer, np.array([[1.0, 0.0, 900.0], [0.0, 1.0, 0.0]]), (200, 300))
    assert nowhere.rgba.size == 0
    image = np.full((200, 300, 3), 9, dtype=np.uint8)
    lay_over(image, nowhere)
    assert (image == 9).all()


def test_a_part_is_drawn_as_the_whole_would_be() -> None:
    layer = disc(96, 40.0, 52.0, 33.0)
    A = np.column_stack([0.7 * rotation(0.8), [150.0, 60.0]])
    patch = warp(layer, A, (160, 224))
    whole = cv2.warpAffine(layer, A, (224, 160), flags=cv2.INTER_LINEAR)
    assert np.abs(patch.alpha((160, 224)).astype(int) - whole[..., 3]).max() <= 8


def test_a_shrunk_checker_becomes_grey() -> None:
    checker = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    layer = np.dstack([checker, checker, checker, np.full_like(checker, 255)])
    A = np.column_stack([0.22 * np.eye(2), [5.0, 5.0]])
    warped = warp(layer, A, (40, 40))
    assert np.ptp(warped.rgba[10:25, 10:25, 0].astype(int)) < 10


def test_what_is_laid_over_hides_by_its_alpha() -> None:
    image = np.full((4, 4, 3), 100, dtype=np.uint8)
    layer = np.zeros((4, 4, 4), dtype=np.uint8)
    layer[0, 0] = (200, 0, 0, 255)
    layer[1, 1] = (100, 0, 0, 128)
    lay_over(image, Patch(layer))
    assert image[0, 0].tolist() == [200, 0, 0]
    assert image[1, 1].tolist() == [150, 50, 50]
    assert image[2, 2].tolist() == [100, 100, 100]


def test_hiding_takes_from_a_mask() -> None:
    mask = np.full((2, 2), 200, dtype=np.uint8)
    layer = np.zeros((2, 2, 4), dtype=np.uint8)
    layer[0, 0, 3] = 255
    layer[0, 1, 3] = 51
    hide(mask, Patch(layer))
    assert mask.tolist() == [[0, 160], [200, 200]]


def test_dimming_multiplies() -> None:
    image = np.full((1, 2, 3), 100, dtype=np.uint8)
    dim(image, np.array([[255, 51]], dtype=np.uint8))
    assert image[0].tolist() == [[100] * 3, [20] * 3]


def test_tints_keep_alpha() -> None:
    layer = disc(32, 16, 16, 10)
    tinted = tint(np.random.default_rng(0), Patch(layer, 3, 4), 1.0)
    assert np.array_equal(tinted.rgba[..., 3], layer[..., 3])
    assert not np.array_equal(tinted.rgba[..., :3], layer[..., :3])
    assert (tinted.x, tinted.y) == (3, 4)


def test_a_shadow_darkens_and_only_darkens() -> None:
    image = np.full((128, 128, 3), 180, dtype=np.uint8)
    picture = np.zeros((128, 128, 4), dtype=np.uint8)
    shadow = np.zeros((shadow_side(128),) * 2, dtype=np.uint8)
    shadow[14:28, 14:28] = 150
    plane = np.array([0.0, -1.0, 0.0, -0.1])
    layer = Layer(picture, np.eye(3), np.eye(4), np.eye(3)[:2], shadow, plane)
    lay_shadow(np.random.default_rng(0), image, layer, np.eye(3)[:2])
    assert image.max() <= 180
    assert image.min() < 150
    assert cv2.countNonZero((image[..., 0] < 170).astype(np.uint8)) > 1000
