# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from offline_search.data.backgrounds import PICTURES, background, pictures, random_polygon


def test_every_picture_is_in_the_wheel_and_documented_as_free() -> None:
    data = pytest.importorskip("skimage.data")
    for name, terms in PICTURES.items():
        assert files("skimage").joinpath("data").joinpath(name).is_file(), name
        assert "CC0" in terms or "public domain" in terms
        stem = name.split(".")[0]
        loader = {"clock_motion": "clock"}.get(stem, stem)
        text = " ".join((getattr(data, loader).__doc__ or "").split())
        free = ("CC0", "public domain", "CC-0", "Creative Commons CC0")
        assert any(word in text for word in free), f"{name}: {text}"


def test_pictures_come_in_two_sizes() -> None:
    assert len(pictures()) == 2 * len(PICTURES)
    assert all(picture.ndim == 3 and picture.dtype == np.uint8 for picture in pictures())


@pytest.mark.parametrize("shape", [(128, 128), (168, 224), (64, 200)])
def test_backgrounds_have_the_asked_shape_and_are_repeatable(shape: tuple[int, int]) -> None:
    for seed in range(40):
        image = background(np.random.default_rng(seed), *shape)
        assert image.shape == (*shape, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert np.array_equal(image, background(np.random.default_rng(seed), *shape))


def test_backgrounds_differ_widely() -> None:
    images = [background(np.random.default_rng(seed), 64, 64) for seed in range(150)]
    means = np.array([image.mean() for image in images])
    details = np.array([image.std() for image in images])
    assert np.ptp(means) > 180
    assert (details < 5).any()
    assert (details > 50).any()


def test_polygons_stay_within_their_radius() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = random_polygon(rng, np.array([50.0, 60.0]), 20.0)
        assert np.linalg.norm(corners - [50, 60], axis=1).max() <= 21
