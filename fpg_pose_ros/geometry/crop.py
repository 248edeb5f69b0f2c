# SPDX-License-Identifier: Apache-2.0
"""Square windows of an image and the affine maps to and from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fpg_pose_ros.geometry.types import Array


@dataclass(frozen=True)
class CropBox:
    """A square window of an image: centre (cx, cy) and side, in full-image px."""

    cx: float
    cy: float
    side: float

    def affine(self, resolution: int) -> Array:
        """Returns A (2, 3) with crop_px = A @ [image_px, 1], for a crop of resolution^2 px.

        `side` image px become `resolution` crop px, and the centre falls on the crop's centre,
        ((resolution - 1) / 2, (resolution - 1) / 2).
        """
        scale = resolution / self.side
        middle = 0.5 * (resolution - 1)
        return np.array(
            [[scale, 0.0, middle - scale * self.cx], [0.0, scale, middle - scale * self.cy]]
        )


def apply_affine(A: ArrayLike, points: ArrayLike) -> Array:
    """Maps points (N, 2) by an affine map (2, 3)."""
    matrix = np.asarray(A, dtype=np.float64)
    mapped: Array = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return mapped


def invert_affine(A: ArrayLike) -> Array:
    """Returns the inverse (2, 3) of an affine map (2, 3)."""
    (a, b, x), (c, d, y) = np.asarray(A, dtype=np.float64).tolist()
    scale = 1.0 / (a * d - b * c)
    a, b, c, d = d * scale, -b * scale, -c * scale, a * scale
    return np.array([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)]])
