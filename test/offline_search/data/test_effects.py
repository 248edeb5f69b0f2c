# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offline_search.data.effects import add_noise, photograph


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
        photo = photograph(np.random.default_rng(seed), image, 1.0)[..., 0].astype(float)
        weight = np.clip(photo - np.median(photo) - 25, 0, None)
        centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        assert np.abs(centre - 32).max() < 0.35
