# SPDX-License-Identifier: Apache-2.0
"""What is behind objects, and on the objects that are in the way: made up, or cut from pictures.

The pictures are those inside scikit-image's wheel that its documentation says are in the public
domain or CC0; without scikit-image all is made up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.resources import files
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

#: File names in skimage/data with their terms, from scikit-image's own documentation.
PICTURES: Final[dict[str, str]] = {
    "astronaut.png": "public domain (NASA)",
    "brick.png": "CC0 (CC0Textures)",
    "camera.png": "CC0 (Lav Varshney)",
    "chelsea.png": "CC0 (Stefan van der Walt)",
    "clock_motion.png": "public domain (Stefan van der Walt)",
    "coffee.png": "CC0 (Rachel Michetti)",
    "grass.png": "CC0 (CC0Textures)",
    "gravel.png": "CC0 (CC0Textures)",
    "hubble_deep_field.jpg": "public domain (NASA)",
    "retina.jpg": "CC0",
    "rocket.jpg": "public domain (SpaceX)",
}


@functools.cache
def pictures() -> tuple[Image, ...]:
    """Returns the pictures at hand, RGB, each at half and at quarter size; none is no error."""
    found: list[Image] = []
    try:
        folder = files("skimage").joinpath("data")
    except ModuleNotFoundError:
        return ()
    for name in sorted(PICTURES):
        file = folder.joinpath(name)
        if not file.is_file():
            continue
        image = cv2.imdecode(np.frombuffer(file.read_bytes(), dtype=np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            continue
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        while min(image.shape[:2]) > 512:
            image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        found.extend(np.ascontiguousarray(size, dtype=np.uint8) for size in (image, half))
    return tuple(found)


def background(rng: np.random.Generator, height: int, width: int) -> Image:
    """Returns a random (height, width, 3) uint8 picture: one kind, or two with a border between."""
    image = _one(rng, height, width)
    if rng.random() < 0.3:  # a table before a wall, a box in a corner
        mask = _half_plane(rng, height, width)
        cv2.copyTo(_one(rng, height, width), mask, image)
    if rng.random() < 0.35:
        _scatter(rng, image)
    return image


def _one(rng: np.random.Generator, height: int, width: int) -> Image:
    if rng.random() < 0.4 and pictures():
        return _picture(rng, height, width)
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    return kind(rng, height, width)


def random_color(rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns an RGB (3,), 0..255: rather greyish, as most things are, at times vivid."""
    vivid = rng.random() < 0.35
    color = rng.uniform(0.0, 255.0) + rng.normal(0.0, 70.0 if vivid else 18.0, 3)
    return np.asarray(np.clip(color, 0.0, 255.0), dtype=np.float64)


def _colors(rng: np.random.Generator, count: int) -> Image:
    """Returns (count, 3) uint8 colours of one family or of many."""
    colors = np.stack([random_color(rng) for _ in range(count)])
    if rng.random() < 0.5:  # shades of one
        colors = colors[0] + (colors - colors[0]) * 0.25
    return np.clip(colors, 0, 255).astype(np.uint8)


def _plain(rng: np.random.Generator, height: int, width: int) -> Image:
    return np.asarray(np.tile(_colors(rng, 1), (height, width, 1)), dtype=np.uint8)


def _gradient(rng: np.random.Generator, height: int, width: int) -> Image:
    corners = _colors(rng, 4).reshape(2, 2, 3)
    image = cv2.resize(corners, (width * 2, height * 2), interpolation=cv2.INTER_LINEAR)
    y, x = height // 2, width // 2
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _noise(rng: np.random.Generator, height: int, width: int) -> Image:
    """Octaves of noise, from clouds to grain, between two colours or in all."""
    size = int(rng.choice([3, 5, 9, 17]))
    total: Image = np.zeros((height, width, 3), dtype=np.uint8)
    channels = 1 if rng.random() < 0.6 else 3
    weight = 1.0
    for _ in range(int(rng.integers(1, 4))):
        grid = rng.integers(0, 256, (size, size, channels), dtype=np.uint8)
        octave = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        if channels == 1:
            octave = cv2.cvtColor(octave.reshape(height, width), cv2.COLOR_GRAY2RGB)
        mixed = cv2.addWeighted(total, 1 - weight, octave, weight, 0)
        total = np.asarray(mixed, dtype=np.uint8)
        size, weight = min(size * 3, max(height, width)), 0.35
    return _recolor(rng, total)


def _recolor(rng: np.random.Generator, image: Image) -> Image:
    """Maps each channel linearly between two random levels."""
    low, high = _colors(rng, 2).astype(np.float64)
    ramp = np.arange(256)[:, None] / 255.0
    table = (low + (high - low) * ramp).astype(np.uint8).reshape(1, 256, 3)
    return np.asarray(cv2.LUT(image, table), dtype=np.uint8)


def _tiles(rng: np.random.Generator, height: int, width: int) -> Image:
    """Checkers, stripes or random tiles, turned and sheared."""
    style = rng.random()
    if style < 0.35:
        tile = _colors(rng, 2)[[0, 1, 1, 0]].reshape(2, 2, 3)
    elif style < 0.7:
        tile = _colors(rng, int(rng.integers(2, 6))).reshape(1, -1, 3)
    else:
        rows, columns = rng.integers(2, 6, 2)
        tile = _colors(rng, int(rows * columns)).reshape(rows, columns, 3)
    sharp = cv2.resize(tile, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    scale = rng.uniform(0.4, 3.0) * 128.0 / max(height, width)
    return _warp(rng, np.asarray(sharp, dtype=np.uint8), height, width, scale, cv2.BORDER_WRAP)


def _picture(rng: np.random.Generator, height: int, width: int) -> Image:
    image = pictures()[int(rng.integers(len(pictures())))]
    extent = min(image.shape[:2]) / max(height, width)
    scale = rng.uniform(0.25, 1.0) * min(extent, 2.0)
    warped = _warp(rng, image, height, width, scale, cv2.BORDER_REFLECT_101)
    if rng.random() < 0.3:
        warped = _recolor(rng, warped)
    return warped


def _warp(
    rng: np.random.Generator, image: Image, height: int, width: int, scale: float, border: int
) -> Image:
    """Returns a turned, sheared and at times mirrored cut; `scale` is picture px a cut px."""
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else rng.normal(0.0, 0.1)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.array([[c, -s], [s, c]]) * scale
    matrix[0] *= rng.choice([-1.0, 1.0])
    matrix += rng.uniform(-0.2, 0.2, (2, 2)) * scale
    centre = rng.uniform(0.0, 1.0, 2) * (image.shape[1], image.shape[0])
    shift = centre - matrix @ np.array([width / 2, height / 2])
    cut = cv2.warpAffine(
        image,
        np.column_stack([matrix, shift]),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    return np.asarray(cut, dtype=np.uint8)


def _half_plane(rng: np.random.Generator, height: int, width: int) -> Image:
    """Returns a mask (height, width) of one side of a line, mostly near level."""
    angle = rng.normal(0.0, 0.15) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)]) * 2.0 * (height + width)
    across = np.array([-along[1], along[0]])
    point = rng.uniform(0.1, 0.9, 2) * (width, height)
    corners = np.stack(
        [point - along, point + along, point + along + across, point - along + across]
    )
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillConvexPoly(mask, corners.astype(np.int32), 255)
    return mask


def _scatter(rng: np.random.Generator, image: Image) -> None:
    """Draws some flat things: polygons, ellipses, lines."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 9))):
        color = random_color(rng).tolist()
        centre = rng.uniform(0.0, 1.0, 2) * (width, height)
        kind = rng.random()
        if kind < 0.45:
            cv2.fillPoly(image, [random_polygon(rng, centre, 0.3 * height)], color, cv2.LINE_AA)
        elif kind < 0.8:
            axes = (rng.uniform(0.02, 0.3, 2) * height).astype(int).tolist()
            turn = float(rng.uniform(0, 180))
            at = (int(centre[0]), int(centre[1]))
            cv2.ellipse(image, at, axes, turn, 0, 360, color, -1, cv2.LINE_AA)
        else:
            ends = (rng.uniform(-0.2, 1.2, (2, 2)) * (width, height)).astype(int)
            cv2.line(
                image,
                ends[0].tolist(),
                ends[1].tolist(),
                color,
                int(rng.integers(1, 6)),
                cv2.LINE_AA,
            )


def random_polygon(
    rng: np.random.Generator, centre: NDArray[np.float64], radius: float
) -> NDArray[np.int32]:
    """Returns the corners (n, 2), px, of a star-shaped polygon within a radius."""
    count = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0.0, 2.0 * np.pi, count))
    lengths = radius * rng.uniform(0.25, 1.0, count)
    offsets = np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
    return np.round(centre + offsets).astype(np.int32)


_KINDS: Final[tuple[Callable[[np.random.Generator, int, int], Image], ...]] = (
    _plain,
    _gradient,
    _gradient,
    _noise,
    _noise,
    _tiles,
)
