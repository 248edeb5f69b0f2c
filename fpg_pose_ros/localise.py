# SPDX-License-Identifier: Apache-2.0
"""From the locator's outputs to boxes in the image.

The locator is a CenterNet (Zhou et al., arXiv 1904.07850): one map of centres a class, and at each
cell the distances to the left, top, right and bottom edge of the object's whole (amodal) box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, apply_affine, invert_affine

Box = tuple[float, float, float, float]

# Boxes of one class that overlap more are of one thing. Peaks beyond the wanted ones are read as
# spares for those that drop out.
_SAME_THING: Final = 0.5
_SPARE_PEAKS: Final = 4


@dataclass(frozen=True)
class Detection:
    """An object found in the image.

    Attributes:
        class_index: position of the object in the bundle.
        score: 0..1.
        box: x0, y0, x1, y1, full-image px; it may reach beyond the image.
    """

    class_index: int
    score: float
    box: Box


def locate(
    heat: NDArray[np.floating[Any]],
    sides: NDArray[np.floating[Any]],
    *,
    stride: float,
    A: Array,
    min_score: float,
    max_per_class: int = 1,
) -> list[Detection]:
    """Finds the peaks of the class maps.

    Args:
        heat: (C, h, w) logits of a centre being there.
        sides: (4, h, w) distances left, top, right, bottom from the cell's centre, in strides.
        stride: input px a cell; cell j is centred at (j + 0.5) * stride - 0.5.
        A: (2, 3), input_px = A @ [image_px, 1].
        min_score: peaks below are left out.
        max_per_class: how many instances of a class are wanted; of peaks whose boxes overlap so
            much that they are of one thing the best is kept.

    Returns:
        The detections, the best first.
    """
    back = invert_affine(A)
    found = []
    peaks = 1 if max_per_class == 1 else max_per_class + _SPARE_PEAKS
    for class_index, logits in enumerate(np.asarray(heat, dtype=np.float32)):
        rows, columns = _peaks(logits, min_score, peaks)
        instances: list[Detection] = []
        for row, column in zip(rows, columns, strict=True):
            left, top, right, bottom = sides[:, row, column].astype(np.float64) * stride
            x, y = (column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5
            corners = apply_affine(back, [[x - left, y - top], [x + right, y + bottom]])
            box = (*corners[0].tolist(), *corners[1].tolist())
            if all(overlap(box, other.box) <= _SAME_THING for other in instances):
                score = _sigmoid(float(logits[row, column]))
                instances.append(Detection(class_index, score, box))
        found += instances[:max_per_class]
    return sorted(found, key=lambda detection: -detection.score)


def overlap(a: Box, b: Box) -> float:
    """Returns the intersection of two boxes (x0, y0, x1, y1) over their union, 0..1."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    tall = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0.0 or tall <= 0.0:
        return 0.0
    shared = wide * tall
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (both - shared)


def _peaks(
    logits: NDArray[np.float32], min_score: float, count: int
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Rows and columns of the highest cells that no neighbour exceeds."""
    if count == 1:  # the highest cell of all is a peak
        best = np.array([logits.argmax()])
    else:
        highest = cv2.dilate(logits, np.ones((3, 3), np.uint8))
        peaks = np.flatnonzero(logits >= highest)
        best = peaks[np.argsort(-logits.ravel()[peaks], kind="stable")[:count]]
    scores = np.array([_sigmoid(float(logits.flat[cell])) for cell in best])
    rows, columns = np.unravel_index(best[scores >= min_score], logits.shape)
    return rows, columns


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -60.0), 60.0)))
