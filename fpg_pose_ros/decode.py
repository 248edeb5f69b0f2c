# SPDX-License-Identifier: Apache-2.0
"""From network outputs to keypoints in the crop, each with its own uncertainty.

Two output forms are read, both trained as classification over positions:

- heatmap: logits (K, h, w); cell (i, j) is centred at crop px ((j + 0.5) * stride - 0.5, ...);
- simcc: logits (K, bins) for x and for y; bin b is centred at (b + 0.5) / bins_per_pixel - 0.5.

Only a window around the highest cell is averaged: the mean over a whole map shrinks towards its
centre, which pushes objects away from the camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.geometry import Array

Logits = NDArray[np.floating[Any]]


class DecodeError(FpgPoseError):
    """Decoding parameters out of range; the message names the parameter."""


@dataclass(frozen=True)
class DecodeParameters:
    """How logits become keypoints; lengths are in crop px, whatever the stride or bins are.

    Attributes:
        window_px: half-width of the averaging window.
        temperature: logits are divided by it before the softmax.
        sigma_px: standard deviation of the Gaussian target used in training; it widens every
            predicted distribution and so is taken off its spread.
        covariance_floor_px: standard deviation below which no keypoint is believed.
        covariance_scale: factor on the covariances, from calibration on validation data.
    """

    window_px: float = 12.0
    temperature: float = 1.0
    sigma_px: float = 0.0
    covariance_floor_px: float = 0.5
    covariance_scale: float = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for item in fields(self):
            value = getattr(self, item.name)
            usable = np.isfinite(value) and (value > 0 or (value == 0 and item.name == "sigma_px"))
            if not usable:
                raise DecodeError(f"decoding parameter {item.name} is {value}; it must be positive")

    @staticmethod
    def from_extra(extra: Mapping[str, Any]) -> DecodeParameters:
        """Takes the known parameters out of a NetworkSpec's `extra`; the rest keep defaults."""
        names = [item.name for item in fields(DecodeParameters)]
        return DecodeParameters(**{name: float(extra[name]) for name in names if name in extra})


@dataclass(frozen=True, eq=False)
class KeypointObservations:
    """Keypoints as seen in one crop.

    Attributes:
        pixels: (K, 2) positions, crop px.
        covariances: (K, 2, 2) of the positions, crop px^2, positive definite.
        confidence: (K,) probability that the keypoint lies in the averaged window, 0..1.
    """

    pixels: Array
    covariances: Array
    confidence: Array


def decode_heatmap(
    logits: Logits, stride: float, parameters: DecodeParameters | None = None
) -> KeypointObservations:
    """Decodes heatmap logits (K, h, w) whose cells are `stride` crop px apart."""
    settings = parameters or DecodeParameters()
    count, height, width = logits.shape
    flat = np.ascontiguousarray(logits, dtype=np.float32).reshape(count, -1)
    best = flat.argmax(axis=1)
    top = flat[np.arange(count), best][:, None]
    mass = flat - top
    if settings.temperature != 1.0:
        mass *= np.float32(1.0 / settings.temperature)
    np.exp(mass, out=mass)

    radius = max(1, round(settings.window_px / stride))
    row, column = np.divmod(best, width)
    total = mass.sum(axis=1)
    # Within a rim of nothing every window is whole.
    mass = mass.reshape(logits.shape)
    low, high = min(row.min(), column.min()), max(row.max() - height, column.max() - width)
    rim = radius if low < radius or high >= -radius else 0
    if rim:
        rimmed = np.zeros((count, height + 2 * rim, width + 2 * rim), dtype=np.float32)
        rimmed[:, rim:-rim, rim:-rim] = mass
        mass = rimmed
    window, powers = _window(radius, width + 2 * rim)
    middles = (np.arange(count) * mass.shape[1] + row + rim) * mass.shape[2] + column + rim
    # Mass, means and second moments of all windows in one product.
    sums = mass.take(middles[:, None] + window).astype(np.float64) @ powers
    inside = sums[:, 0]
    mean_x, mean_y, xx, yy, xy = (sums[:, 1:] / inside[:, None]).T
    spread = np.empty((count, 2, 2))
    spread[:, 0, 0], spread[:, 1, 1] = xx - mean_x * mean_x, yy - mean_y * mean_y
    spread[:, 0, 1] = spread[:, 1, 0] = xy - mean_x * mean_y
    cells = np.empty((count, 2))
    cells[:, 0], cells[:, 1] = column + mean_x, row + mean_y
    pixels: Array = (cells + 0.5) * stride - 0.5
    return _observations(pixels, spread * stride**2, inside / total, settings)


@lru_cache(maxsize=16)
def _window(radius: int, across: int) -> tuple[NDArray[np.int_], Array]:
    """Where the cells of a window are, and what they count for in its moments.

    Args:
        radius: half-width of the window, cells.
        across: width of the map, cells.

    Returns:
        (N,) places after the window's middle; (N, 6) of each cell 1, x, y, x^2, y^2, x y,
        counted from the middle.
    """
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1)
    powers = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    return y * across + x, powers.astype(np.float64)


def decode_simcc(
    logits_x: Logits,
    logits_y: Logits,
    bins_per_pixel: float,
    parameters: DecodeParameters | None = None,
) -> KeypointObservations:
    """Decodes coordinate-classification logits (K, bins_x) and (K, bins_y)."""
    settings = parameters or DecodeParameters()
    x, var_x, mass_x = _decode_axis(logits_x, bins_per_pixel, settings)
    y, var_y, mass_y = _decode_axis(logits_y, bins_per_pixel, settings)
    spread = np.zeros((len(x), 2, 2))
    spread[:, 0, 0], spread[:, 1, 1] = var_x, var_y
    return _observations(np.column_stack([x, y]), spread, mass_x * mass_y, settings)


def _decode_axis(
    logits: Logits, bins_per_pixel: float, settings: DecodeParameters
) -> tuple[Array, Array, Array]:
    """Decodes one axis: position (px), variance (px^2) and mass in the window, each (K,)."""
    count, bins = logits.shape
    best = logits.argmax(axis=1)
    top = logits[np.arange(count), best][:, None]
    mass = np.exp((logits - top) / settings.temperature).astype(np.float64)
    radius = max(1, round(settings.window_px * bins_per_pixel))
    reach = np.arange(-radius, radius + 1)
    indices = best[:, None] + reach
    window = np.take_along_axis(mass, indices.clip(0, bins - 1), axis=1)
    window = window * ((indices >= 0) & (indices < bins))
    inside = window.sum(axis=1)
    mean, variance = _moments(window / inside[:, None], reach)
    pixels = (best + mean + 0.5) / bins_per_pixel - 0.5
    return pixels, variance / bins_per_pixel**2, inside / mass.sum(axis=1)


def _moments(weights: Array, offsets: NDArray[np.int_]) -> tuple[Array, Array]:
    """Returns mean and variance, (K,) each, of distributions (K, n) over `offsets` (n,)."""
    mean = weights @ offsets
    return mean, weights @ (offsets * offsets) - mean * mean


def _observations(
    pixels: Array, spread: Array, confidence: Array, settings: DecodeParameters
) -> KeypointObservations:
    """Turns the spread of the distributions into the covariance of their means."""
    floor = settings.covariance_floor_px**2
    covariances = spread.copy()
    xx = np.maximum(spread[:, 0, 0] - settings.sigma_px**2, floor)
    yy = np.maximum(spread[:, 1, 1] - settings.sigma_px**2, floor)
    # Keeps the matrix positive definite after the diagonal was lowered.
    limit = 0.95 * np.sqrt(xx * yy)
    covariances[:, 0, 0], covariances[:, 1, 1] = xx, yy
    clipped = np.maximum(np.minimum(spread[:, 0, 1], limit), -limit)
    covariances[:, 0, 1] = covariances[:, 1, 0] = clipped
    # Mass elsewhere on the map means doubt about this mode as a whole.
    doubt = settings.covariance_scale / np.maximum(confidence, 1e-3)
    return KeypointObservations(pixels, covariances * doubt[:, None, None], confidence)
