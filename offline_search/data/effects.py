# SPDX-License-Identifier: Apache-2.0
"""What a real camera does to a picture, in the order in which it does it.

The lens blurs and bends colours apart; the sensor is exposed, noisy, and sees one colour a pixel;
the camera balances, sharpens and compresses. The ranges are those of `variety`.
"""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from offline_search.data import variety
from offline_search.data.variety import between

Image = NDArray[np.uint8]

_NOISE_LENGTH: Final = 1 << 20


def photograph(
    rng: np.random.Generator, image: Image, difficulty: float, shrunk: float = 1.0
) -> Image:
    """Returns the picture (h, w, 3) as a camera would deliver it.

    Args:
        rng: source of randomness.
        image: what is to be seen.
        difficulty: 0 = a perfect camera to 1 = a poor one.
        shrunk: side of this picture by that of the camera's: shrinking lessens blur and noise.
    """

    def happens(chance: variety.Range) -> bool:
        return bool(rng.random() < between(chance, difficulty))

    if happens(variety.BLUR_CHANCE):
        image = _blur(rng, image, difficulty, shrunk)
    if happens(variety.FRINGE_CHANCE):
        image = _fringe(rng, image, shrunk)
    image = _colors(rng, image, difficulty)
    if happens(variety.NOISE_CHANCE):
        low, clean, poor = variety.NOISE
        sigma = rng.uniform(low, between((clean, poor), difficulty)) * shrunk
        image = _sensor_noise(rng, image, sigma)
    if happens(variety.MOSAIC_CHANCE) and shrunk == 1.0:
        image = _mosaic(image)
    if happens(variety.SHARPENED_CHANCE):
        amount = rng.uniform(*variety.SHARPENING) * shrunk
        soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.5))
        image = np.asarray(cv2.addWeighted(image, 1.0 + amount, soft, -amount, 0), dtype=np.uint8)
    if happens(variety.JPEG_CHANCE):
        quality = int(rng.uniform(*variety.JPEG_QUALITY))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return image


def _blur(rng: np.random.Generator, image: Image, difficulty: float, shrunk: float) -> Image:
    if rng.random() < variety.DEFOCUS_SHARE:
        low, clean, poor = variety.DEFOCUS
        sigma = max(rng.uniform(low, between((clean, poor), difficulty)) * shrunk, 0.2)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8)
    low, clean, poor = variety.MOTION
    length = rng.uniform(low, between((clean, poor), difficulty)) * shrunk  # px
    angle = rng.uniform(0.0, np.pi)
    size = 2 * int(np.ceil(length / 2)) + 1
    middle = 0.5 * (size - 1)
    reach = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    ends = np.round(np.stack([middle - reach, middle + reach]) * 16).astype(int)
    kernel = np.zeros((size, size), dtype=np.uint8)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 255, 1, cv2.LINE_AA, shift=4)
    total = float(kernel.sum())
    return np.asarray(cv2.filter2D(image, -1, kernel.astype(np.float32) / total), dtype=np.uint8)


def _fringe(rng: np.random.Generator, image: Image, shrunk: float) -> Image:
    """Moves red one way and blue the other, as a lens does away from its axis; green stays."""
    angle = rng.uniform(-np.pi, np.pi)
    step = (
        rng.uniform(0.2, 1.0) * variety.FRINGE * shrunk * np.array([np.cos(angle), np.sin(angle)])
    )
    red, green, blue = cv2.split(image)
    size = (image.shape[1], image.shape[0])
    moved = []
    for channel, way in ((red, step), (blue, -step)):
        A = np.column_stack([np.eye(2), way])
        moved.append(cv2.warpAffine(channel, A, size, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(cv2.merge([moved[0], green, moved[1]]), dtype=np.uint8)


def _colors(rng: np.random.Generator, image: Image, difficulty: float) -> Image:
    """Exposure, gamma, tones and white balance in one table; saturation by mixing in grey."""
    spread = between(variety.COLOR_SPREAD, difficulty)
    gamma = np.exp(rng.uniform(*variety.GAMMA) * spread)
    gain = np.exp(rng.uniform(*variety.EXPOSURE) * spread)
    lift = rng.uniform(*variety.LIFT) * spread
    balance = np.exp(rng.uniform(*variety.BALANCE, 3) * spread)
    tone = rng.uniform(*variety.TONE) * spread
    level = (np.arange(256) / 255.0) ** gamma
    level += tone * (level * level * (3.0 - 2.0 * level) - level)  # an S where it is above nought
    ramp = level * 255.0 * gain + lift
    table = np.clip(ramp[:, None] * balance, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    if rng.random() < variety.GREYED_CHANCE:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        keep = rng.uniform(1.0 - 0.8 * spread, 1.3)
        image = np.asarray(
            cv2.addWeighted(image, keep, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), 1.0 - keep, 0),
            dtype=np.uint8,
        )
    return np.asarray(cv2.LUT(image, table), dtype=np.uint8)


def _mosaic(image: Image) -> Image:
    """Returns what is left of a picture after a sensor that sees one colour a pixel."""
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    raw = even[..., 1].copy()
    raw[::2, ::2] = even[::2, ::2, 0]
    raw[1::2, 1::2] = even[1::2, 1::2, 2]
    seen = image.copy()
    seen[: even.shape[0], : even.shape[1]] = cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB)
    return seen


@functools.cache
def _normals() -> NDArray[np.int8]:
    """Returns a long row of Gaussian numbers, sigma 32, to be cut from: drawing anew costs more."""
    values = np.random.default_rng(0).normal(0.0, 32.0, _NOISE_LENGTH)
    return np.clip(np.round(values), -127, 127).astype(np.int8)


def _cut_noise(rng: np.random.Generator, image: Image) -> NDArray[np.int8]:
    start = int(rng.integers(0, _NOISE_LENGTH - image.size))
    return _normals()[start : start + image.size].reshape(image.shape)


def _sensor_noise(rng: np.random.Generator, image: Image, sigma: float) -> Image:
    """Adds noise of `sigma` grey levels at mid-grey, stronger in the dark.

    Counting photons makes even noise in pictures of gamma 2; what the amplifier adds to it is
    stretched in the dark.
    """
    dark = rng.uniform(*variety.DARK_NOISE)
    level = np.arange(256) / 255.0
    strength = 1.0 + (dark - 1.0) * np.maximum(1.0 - 2.0 * level, 0.0)
    table = np.minimum(strength * 64.0, 255.0).astype(np.uint8)
    noise = cv2.multiply(
        _cut_noise(rng, image), cv2.LUT(image, table), scale=1 / 16.0, dtype=cv2.CV_16S
    )
    return np.asarray(
        cv2.addWeighted(image, 1.0, noise, sigma / 128.0, 0.0, dtype=cv2.CV_8U), dtype=np.uint8
    )


def add_noise(rng: np.random.Generator, image: Image, sigma: float) -> Image:
    """Returns the picture with Gaussian noise of `sigma` grey levels; up to 349,000 px."""
    return np.asarray(
        cv2.addWeighted(image, 1.0, _cut_noise(rng, image), sigma / 32.0, 0.0, dtype=cv2.CV_8U),
        dtype=np.uint8,
    )
