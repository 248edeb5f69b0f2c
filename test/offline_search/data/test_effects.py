# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offline_search.data.effects import (
    _fringe,
    _mosaic,
    _sensor_noise,
    add_noise,
    photograph,
)


@pytest.mark.parametrize("sigma", [1.0, 4.0, 12.0])
def test_noise_has_the_asked_strength_and_no_bias(sigma: float) -> None:
    flat = np.full((240, 320, 3), 120, dtype=np.uint8)
    noisy = add_noise(np.random.default_rng(0), flat, sigma).astype(float)
    assert noisy.std() == pytest.approx(sigma, rel=0.06)
    assert noisy.mean() == pytest.approx(120, abs=0.1)


def test_a_vga_picture_can_be_noisy() -> None:
    flat = np.zeros((480, 640, 3), dtype=np.uint8)
    assert add_noise(np.random.default_rng(0), flat, 3.0).shape == flat.shape


def test_a_photograph_is_repeatable_and_keeps_its_shape() -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
    before = image.copy()
    for seed in range(30):
        photo = photograph(np.random.default_rng(seed), image, 1.0)
        assert photo.shape == image.shape
        assert photo.dtype == np.uint8
        assert np.array_equal(photo, photograph(np.random.default_rng(seed), image, 1.0))
    assert np.array_equal(image, before), "what is photographed stays as it is"


def test_a_poorer_camera_changes_more() -> None:
    y, x = np.mgrid[:96, :96]
    image = np.dstack([(x * 2) % 256, (y * 2) % 256, ((x + y) // 8 % 2) * 200]).astype(np.uint8)

    def change(difficulty: float) -> float:
        photos = [photograph(np.random.default_rng(s), image, difficulty) for s in range(60)]
        return float(np.mean([np.abs(p.astype(int) - image).mean() for p in photos]))

    assert change(0.0) < change(0.5) < change(1.0)


def test_blur_keeps_things_where_they_are() -> None:
    y, x = np.mgrid[:65, :65]
    blob = 220 * np.exp(-((x - 32) ** 2 + (y - 32) ** 2) / 60)
    image = np.dstack([blob] * 3).astype(np.uint8)
    for seed in range(40):
        photo = photograph(np.random.default_rng(seed), image, 1.0)[..., 1].astype(float)
        weight = np.clip(photo - np.median(photo) - 60, 0, None)
        weight[np.hypot(x - 32, y - 32) > 16] = 0  # noise far away has a long lever
        centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        assert np.abs(centre - 32).max() < 0.35


def test_a_lens_parts_red_from_blue_and_keeps_green() -> None:
    y, x = np.mgrid[:65, :65]
    blob = 220 * np.exp(-((x - 32) ** 2 + (y - 32) ** 2) / 60)
    image = np.dstack([blob] * 3).astype(np.uint8)
    seen = _fringe(np.random.default_rng(1), image, 1.0).astype(float)
    centres = np.array([[(g * c).sum() / c.sum() for g in (x, y)] for c in np.moveaxis(seen, 2, 0)])
    assert np.array_equal(seen[..., 1], image[..., 1])
    assert 0.1 < np.linalg.norm(centres[0] - centres[1]) <= 0.75
    assert centres[0] + centres[2] == pytest.approx(2 * centres[1], abs=0.1)


def test_a_mosaic_keeps_what_is_even_and_colours_what_is_fine() -> None:
    even = np.full((33, 40, 3), (90, 140, 60), dtype=np.uint8)
    assert np.abs(_mosaic(even)[2:-3, 2:-2].astype(int) - (90, 140, 60)).max() <= 1
    fine = np.zeros((32, 32, 3), dtype=np.uint8)
    fine[:, ::2] = 255
    assert np.ptp(_mosaic(fine)[4:-4, 4:-4].astype(int), axis=2).max() > 100


def test_sensors_are_noisier_in_the_dark() -> None:
    rng = np.random.default_rng(0)
    spreads = []
    for level in (30, 128, 220):
        flat = np.full((96, 96, 3), level, dtype=np.uint8)
        photos = [_sensor_noise(rng, flat, 4.0).astype(float) for _ in range(20)]
        spreads.append(float(np.mean([photo.std() for photo in photos])))
    assert spreads[1] == pytest.approx(4.0, rel=0.1)
    assert spreads[2] == pytest.approx(4.0, rel=0.1)
    assert spreads[0] > 1.15 * spreads[1]
