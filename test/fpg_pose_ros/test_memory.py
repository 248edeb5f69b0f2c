# SPDX-License-Identifier: Apache-2.0
"""What networks are told of earlier images, and how it is moved into the newest one's crop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from remembering import memory

from fpg_pose_ros.geometry import Camera, CropBox, apply_affine, invert_affine
from fpg_pose_ros.memory import Glimpse, MemorySpec, aligned, past_features

CAMERA = Camera(640, 480, np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]]))
STRIDE, CELLS = 16, 8
THEN = CropBox(310.0, 200.0, 150.0).affine(STRIDE * CELLS)


def features(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(5, CELLS, CELLS)).astype(np.float32)


def looked_up(seen: np.ndarray, A_then: np.ndarray, A_now: np.ndarray) -> np.ndarray:
    """The same cell by cell: its centre in the image, then in the other crop, then between four."""
    padded = np.pad(seen.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    found = np.zeros(seen.shape)
    for row in range(CELLS):
        for column in range(CELLS):
            centre = np.array([[column, row]]) * STRIDE + 0.5 * STRIDE - 0.5
            there = apply_affine(A_then, apply_affine(invert_affine(A_now), centre))[0]
            x, y = (there + 0.5) / STRIDE - 0.5
            if not (-1 <= x < CELLS and -1 <= y < CELLS):
                continue
            i, j = int(np.floor(y)), int(np.floor(x))
            a, b = y - i, x - j
            four = padded[:, i + 1 : i + 3, j + 1 : j + 3]
            found[:, row, column] = four.transpose(1, 2, 0).reshape(4, -1).T @ [
                (1 - a) * (1 - b),
                (1 - a) * b,
                a * (1 - b),
                a * b,
            ]
    return found


@pytest.mark.parametrize(
    ("moved", "side"), [((0, 0), 150.0), ((9, -4), 170.0), ((-60, 30), 90.0), ((100, 0), 300.0)]
)
def test_features_are_moved_with_the_picture_and_zero_beyond_its_edge(moved, side):
    now = CropBox(310.0 + moved[0], 200.0 + moved[1], side).affine(STRIDE * CELLS)
    seen = features()
    got = aligned(seen, THEN, now, STRIDE)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, looked_up(seen, THEN, now), atol=1e-5)


def test_in_the_same_crop_features_stay_and_far_away_there_are_none():
    seen = features()
    np.testing.assert_allclose(aligned(seen, THEN, THEN, STRIDE), seen, atol=1e-6)
    far = CropBox(2000.0, 200.0, 150.0).affine(STRIDE * CELLS)
    assert not aligned(seen, THEN, far, STRIDE).any()


def test_what_was_not_seen_or_by_another_camera_is_zeros():
    spec = replace(memory(), channels=5)
    glimpse = Glimpse(features()[None], THEN, CAMERA)
    past = past_features(spec, [None, glimpse, None], THEN, CAMERA)
    assert past.shape == spec.taken == (1, 3, 5, 8, 8)
    np.testing.assert_allclose(past[0, 1], features(), atol=1e-6)
    assert not past[0, [0, 2]].any()
    assert not past_features(spec, (), THEN, CAMERA).any()
    twin = Camera(640, 480, CAMERA.K.copy())
    assert past_features(spec, [glimpse] * 3, THEN, twin).all(axis=(2, 3, 4)).all()
    for other in (
        Camera(640, 480, CAMERA.K * [[1.1], [1.0], [1.0]]),
        Camera(640, 400, CAMERA.K),
        Camera(640, 480, CAMERA.K, np.full(5, 1e-3), "plumb_bob"),
    ):
        assert not past_features(spec, [glimpse] * 3, THEN, other).any()


def test_json_goes_there_and_back():
    spec = memory()
    assert MemorySpec.from_json(spec.to_json(), (128, 128)) == spec


def test_what_a_track_may_keep_is_limited_by_all_that_it_keeps():
    spec = memory()
    assert spec.most_glimpses == 24
    most = 16_000_000 // (24 * CELLS * CELLS)
    MemorySpec.from_json(replace(spec, channels=most).to_json(), (128, 128))
    with pytest.raises(ValueError, match="times 24, the most images that a track keeps for lags"):
        MemorySpec.from_json(replace(spec, channels=most + 1).to_json(), (128, 128))
