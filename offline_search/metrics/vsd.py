# SPDX-License-Identifier: Apache-2.0
"""Visible surface discrepancy: how much of what a depth camera sees of an object is misplaced.

Hodan et al., "BOP: Benchmark for 6D Object Pose Estimation", ECCV 2018, with the definitions of the
BOP toolkit: surfaces are compared along the lines of sight, wherever the estimated or the true pose
would let itself be seen in the measured depth; pixels without a measurement hide nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array

#: A surface is seen where it lies at most so far behind what was measured, m.
VSD_DELTA: Final = 0.015
#: BOP's misalignment tolerances, .05 to .5 of the diameter.
VSD_TAUS: Final[Array] = np.linspace(0.05, 0.5, 10, dtype=np.float64)
#: BOP's thresholds on the error, for each tolerance.
VSD_THRESHOLDS: Final[Array] = np.linspace(0.05, 0.5, 10, dtype=np.float64)


def vsd(estimate: Array, truth: Array, measured: Array, K: Array, diameter: float) -> Array:
    """Visible surface discrepancy of one pose, (T,), for each of `VSD_TAUS`; 0 at best, 1 at worst.

    Args:
        estimate: (H, W) depth of the object in the estimated pose, m along z; 0 where it is not.
        truth: (H, W) the same of the true pose.
        measured: (H, W) depth of the scene, m along z; 0 where nothing was measured.
        K: (3, 3) of the pinhole camera.
        diameter: of the object, m.
    """
    rows, columns = _window((estimate > 0) | (truth > 0))
    y, x = np.mgrid[rows, columns]
    stretch = np.sqrt(((x - K[0, 2]) / K[0, 0]) ** 2 + ((y - K[1, 2]) / K[1, 1]) ** 2 + 1.0)
    of_estimate, of_truth, of_scene = (
        depth[rows, columns] * stretch for depth in (estimate, truth, measured)
    )
    seen_truth = _seen(of_truth, of_scene)
    # Where the true surface is seen, an estimated one behind it is compared, not hidden.
    seen_estimate = _seen(of_estimate, of_scene) | (seen_truth & (of_estimate > 0))
    both = seen_truth & seen_estimate
    union = int(np.count_nonzero(seen_truth | seen_estimate))
    if not union:
        return np.ones(len(VSD_TAUS))
    apart = np.sort(np.abs(of_truth[both] - of_estimate[both]) / diameter)
    far = len(apart) - np.searchsorted(apart, VSD_TAUS, side="left")
    return np.asarray((far + union - len(apart)) / union, dtype=np.float64)


def _seen(distance: Array, scene: Array) -> NDArray[np.bool_]:
    return np.asarray((distance > 0) & ((distance - scene <= VSD_DELTA) | (scene == 0)))


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns that hold all of a mask."""
    spans = []
    for axis in (1, 0):
        held = np.flatnonzero(mask.any(axis=axis))
        spans.append(slice(int(held[0]), int(held[-1]) + 1) if len(held) else slice(0, 0))
    return spans[0], spans[1]
