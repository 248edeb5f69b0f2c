# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import torch
from numpy.testing import assert_allclose

from fpg_pose_ros.geometry import Array, CropBox
from offline_search.space.alignment import align, between_crops

STRIDE = 16


def by_hand(features: Array, M: Array) -> Array:
    """Each cell between the four around its place, written out."""
    found = np.zeros_like(features)
    _, height, width = features.shape
    for row in range(height):
        for column in range(width):
            centre = STRIDE * (np.array([column, row]) + 0.5) - 0.5
            place = (M[:, :2] @ centre + M[:, 2] + 0.5) / STRIDE - 0.5
            x0, y0 = np.floor(place).astype(int).tolist()
            for x in (x0, x0 + 1):
                for y in (y0, y0 + 1):
                    if 0 <= x < width and 0 <= y < height:
                        share = (1 - abs(place[0] - x)) * (1 - abs(place[1] - y))
                        found[:, row, column] += share * features[:, y, x]
    return found


def test_cells_are_interpolated_between_the_centres_of_cells() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(5, 3, 6, 9))
    maps = np.stack(
        [
            between_crops(
                CropBox(*rng.uniform(80, 120, 2), rng.uniform(90, 200)).affine(144),
                CropBox(*rng.uniform(80, 120, 2), rng.uniform(90, 200)).affine(144),
            )
            for _ in features
        ]
    )
    found = align(torch.from_numpy(features), torch.from_numpy(maps), STRIDE).numpy()
    for each, of, M in zip(found, features, maps, strict=True):
        assert_allclose(each, by_hand(of, M), atol=1e-9)


def test_the_same_crop_changes_nothing_and_one_far_away_shows_nothing() -> None:
    features = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    here, away = CropBox(50, 60, 100).affine(64), CropBox(900, 60, 100).affine(64)
    same = torch.from_numpy(between_crops(here, here)).float()[None]
    assert_allclose(align(features, same, STRIDE).numpy(), features.numpy(), atol=1e-5)
    apart = torch.from_numpy(between_crops(here, away)).float()[None]
    assert not align(features, apart, STRIDE).any()
