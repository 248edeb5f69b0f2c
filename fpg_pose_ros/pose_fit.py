# SPDX-License-Identifier: Apache-2.0
"""A pose fitted to keypoints from a start: Levenberg-Marquardt on SE(3) with a bounded loss.

There are a dozen keypoints or so, so the time goes into calls and not into arithmetic: residuals
and derivatives are kept in one array, and OpenCV's functions are taken where they do in one call
what NumPy does in ten.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array

# Squared Mahalanobis distance (two degrees of freedom) that 99 % of honest keypoints stay below.
INLIER_CHI2: Final = 9.21
_ITERATIONS: Final = 20
# A step that promises to lower the loss by less than this share is some 1e-4 standard deviations
# of the pose long: it is not worth making.
_NEGLIGIBLE: Final = 1e-8
_IDENTITY: Final = np.eye(3)
_ZERO: Final = np.zeros(3)


class Problem(NamedTuple):
    """Points (K, 3), observations (K, 2) at z = 1, whitening (K, 2, 2): white = whitening @ res."""

    points: Array
    observed: Array
    whitening: Array


class Fit(NamedTuple):
    """A candidate pose and how it fits.

    Attributes:
        rotation: (3, 3).
        translation: (3,), m.
        chi2: (K,) squared Mahalanobis distances.
        white: (K, 2, 7) whitened derivatives of the projections for T = (exp(w) R, t + dt), w
            first, then dt; in the last column the whitened residuals.
    """

    rotation: Array
    translation: Array
    chi2: Array
    white: Array

    @property
    def loss(self) -> float:
        """Sum of the keypoints' losses."""
        return total_loss(self.chi2)


def evaluate(problem: Problem, rotation: Array, translation: Array) -> Fit | None:
    """Residuals of a pose and their derivatives; None when a point is not in front of the camera.

    At the already rotated points OpenCV's derivative for the rotation vector, taken at zero, is
    that for a further turn about the camera's axes.
    """
    rotated = problem.points @ rotation.T
    if not (rotated[:, 2] + translation[2]).min() > 0:
        return None
    projected, rows = cv2.projectPoints(rotated, _ZERO, translation, _IDENTITY, None)
    system = np.asarray(rows).reshape(len(rotated), 2, -1)[:, :, :7]
    np.subtract(problem.observed, projected[:, 0], out=system[:, :, 6])
    white = problem.whitening @ system
    residual = white[:, :, 6]
    return Fit(rotation, translation, np.einsum("kj,kj->k", residual, residual), white)


def bounded_loss(chi2: Array, scale: float = 1.0) -> Array:
    """Quadratic for inliers, then bending smoothly to a bound, as Geman and McClure's does.

    `scale` widens the zone of the inliers; chi2 may have any shape.
    """
    bound = scale * INLIER_CHI2
    bent = bound * (2.0 - bound / np.maximum(chi2, bound))
    return np.asarray(np.where(chi2 <= bound, chi2, bent))


def total_loss(chi2: Array, scale: float = 1.0) -> float:
    """Sum of the losses of squared distances (K,)."""
    # Most often all are inliers, and the loss is their plain sum.
    within = chi2.max() <= scale * INLIER_CHI2
    return float((chi2 if within else bounded_loss(chi2, scale)).sum())


def normal_equations(fit: Fit, scale: float = 1.0) -> Array:
    """Returns (7, 7): J^T W J, bordered by J^T W r; the order is that of `Fit.white`.

    W is the derivative of the loss: one for inliers, falling with the fourth power of the distance.
    """
    rows = fit.white.reshape(-1, 7)
    bound = scale * INLIER_CHI2
    if fit.chi2.max() <= bound:
        return np.asarray(rows.T @ rows)
    ratio = bound / np.maximum(fit.chi2, bound)
    weighted = fit.white * (ratio * ratio)[:, None, None]
    return np.asarray(weighted.reshape(-1, 7).T @ rows)


def refine(problem: Problem, fit: Fit) -> Fit:
    """Minimises the loss; a start that outliers have bent is first given a wide inlier zone."""
    scale = median(fit.chi2) / INLIER_CHI2
    while scale > 1.0:
        fit = _minimise(problem, fit, scale, iterations=3)
        scale = min(0.3 * scale, median(fit.chi2) / INLIER_CHI2)
    return _minimise(problem, fit, 1.0, _ITERATIONS)


def _minimise(problem: Problem, fit: Fit, scale: float, iterations: int) -> Fit:
    """Levenberg-Marquardt: every accepted step lowers the loss."""
    damping = 1e-6
    loss = total_loss(fit.chi2, scale)
    for _ in range(iterations):
        equations = normal_equations(fit, scale)
        equations.ravel()[:48:8] *= 1.0 + damping  # the diagonal but for its last entry
        gradient = equations[6, :6]
        solved, column = cv2.solve(equations[:6, :6], gradient, flags=cv2.DECOMP_CHOLESKY)
        step = np.asarray(column, dtype=np.float64)[:, 0]
        # What a quadratic loss would lose; rounding alone may decide about less.
        if not solved or not float(gradient @ step) > _NEGLIGIBLE * loss + 1e-15:
            break
        turn = np.asarray(cv2.Rodrigues(step[:3])[0], dtype=np.float64)
        moved = evaluate(problem, turn @ fit.rotation, fit.translation + step[3:])
        moved_loss = np.inf if moved is None else total_loss(moved.chi2, scale)
        if moved is None or moved_loss > loss:  # the step was too long
            if damping > 1e6:
                break
            damping = max(damping, 1e-4) * 10.0
            continue
        fit, loss, damping = moved, moved_loss, damping * 0.1
    return fit


def median(values: NDArray[np.float64]) -> float:
    """As `np.median` of values (n,) that are finite, and faster where they are few."""
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return 0.5 * float(ordered[middle] + ordered[-1 - middle])
