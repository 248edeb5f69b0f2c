# SPDX-License-Identifier: Apache-2.0
"""What a real camera does to a picture: blur, exposure and colour, noise, JPEG."""

from __future__ import annotations

import functools
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

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
    if rng.random() < 0.15 + 0.45 * difficulty:
        image = _blur(rng, image, difficulty, shrunk)
    image = _colors(rng, image, difficulty)
    if rng.random() < 0.3 + 0.5 * difficulty:
        image = add_noise(rng, image, rng.uniform(1.0, 4.0 + 10.0 * difficulty) * shrunk)
    if rng.random() < 0.5 * difficulty:
        quality = int(rng.uniform(40, 95))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return image


def _blur(rng: np.random.Generator, image: Image, difficulty: float, shrunk: float) -> Image:
    if rng.random() < 0.6:
        sigma = max(rng.uniform(0.3, 0.7 + 0.9 * difficulty) * shrunk, 0.2)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8)
    length = rng.uniform(1.5, 3.0 + 4.0 * difficulty) * shrunk  # px
    angle = rng.uniform(0.0, np.pi)
    size = 2 * int(np.ceil(length / 2)) + 1
    middle = 0.5 * (size - 1)
    reach = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    ends = np.round(np.stack([middle - reach, middle + reach]) * 16).astype(int)
    kernel = np.zeros((size, size), dtype=np.uint8)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 255, 1, cv2.LINE_AA, shift=4)
    total = float(kernel.sum())
    return np.asarray(cv2.filter2D(image, -1, kernel.astype(np.float32) / total), dtype=np.uint8)


def _colors(rng: np.random.Generator, image: Image, difficulty: float) -> Image:
    """Gain, gamma, contrast and white balance in one table; saturation by mixing in grey."""
    spread = 0.35 + 0.65 * difficulty
    gamma = np.exp(rng.uniform(-0.35, 0.35) * spread)
    gain = np.exp(rng.uniform(-0.4, 0.2) * spread)
    lift = rng.uniform(-18.0, 22.0) * spread
    balance = np.exp(rng.uniform(-0.1, 0.1, 3) * spread)
    ramp = (np.arange(256) / 255.0) ** gamma * 255.0 * gain + lift
    table = np.clip(ramp[:, None] * balance, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    if rng.random() < 0.4:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        keep = rng.uniform(1.0 - 0.8 * spread, 1.3)
        image = np.asarray(
            cv2.addWeighted(image, keep, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), 1.0 - keep, 0),
            dtype=np.uint8,
        )
    return np.asarray(cv2.LUT(image, table), dtype=np.uint8)


@functools.cache
def _normals() -> NDArray[np.int8]:
    """Returns a long row of Gaussian numbers, sigma 32, to be cut from: drawing anew costs more."""
    values = np.random.default_rng(0).normal(0.0, 32.0, _NOISE_LENGTH)
    return np.clip(np.round(values), -127, 127).astype(np.int8)


def add_noise(rng: np.random.Generator, image: Image, sigma: float) -> Image:
    """Returns the picture with Gaussian noise of `sigma` grey levels; up to 349,000 px."""
    start = int(rng.integers(0, _NOISE_LENGTH - image.size))
    noise = _normals()[start : start + image.size].reshape(image.shape)
    return np.asarray(
        cv2.addWeighted(image, 1.0, noise, sigma / 32.0, 0.0, dtype=cv2.CV_8U), dtype=np.uint8
    )
