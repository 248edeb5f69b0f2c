# SPDX-License-Identifier: Apache-2.0
"""The pose from keypoints with uncertainties: a robust perspective-n-point solver.

SQPNP (Terzakis and Lourakis, ECCV 2020) starts from all keypoints; a Levenberg-Marquardt method on
SE(3), with each keypoint's own 2x2 information and a bounded loss, finishes (`pose_fit`). When too
many keypoints disagree with the outcome, poses of random minimal subsets are further starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.geometry import Array, make_transform, nearest_rotation
from fpg_pose_ros.pose_fit import (
    INLIER_CHI2,
    Fit,
    Problem,
    bounded_loss,
    evaluate,
    median,
    normal_equations,
    refine,
)

__all__ = ["INLIER_CHI2", "PnPSolution", "SolveError", "solve_pnp"]

_MINIMUM: Final = 4
_SUBSETS: Final = 64
# Subsets are solved and judged so many at once; fewer would cost more calls each.
_BATCH: Final = 16
_REFINED: Final = 3
# Share of outliers above which the start is distrusted.
_SUSPICIOUS: Final = 0.15
_IDENTITY: Final = np.eye(3)
# Normal equations have the rotation first, a covariance has the translation first: where its
# entries come from.
_TRANSLATION_FIRST: Final = np.roll(np.roll(np.arange(36).reshape(6, 6), 3, axis=0), 3, axis=1)
# Of variances where the normal matrix has a unit diagonal: beyond it some motion is not seen.
_BLIND: Final = 1e10


class SolveError(FpgPoseError):
    """The keypoints do not determine a pose; the message says why."""


@dataclass(frozen=True, eq=False)
class PnPSolution:
    """A pose and how sure it is.

    Attributes:
        T_camera_object: (4, 4), m.
        covariance: (6, 6) of translation x, y, z (m), then rotation vector (rad), about the
            camera's axes: T_true = (exp(w) R, t + dt).
        inliers: (K,) bool, keypoints that agree with the pose within their uncertainty.
        chi2: sum of squared Mahalanobis distances of the inliers.
    """

    T_camera_object: Array
    covariance: Array
    inliers: NDArray[np.bool_]
    chi2: float


def solve_pnp(
    points: ArrayLike, normalised: ArrayLike, covariances: ArrayLike, init: ArrayLike | None = None
) -> PnPSolution:
    """Finds the pose that maps object points onto their observations.

    Args:
        points: (K, 3) in the object frame, m.
        normalised: (K, 2) observations at z = 1, without distortion; a row of NaN is left out.
        covariances: (K, 2, 2) of the observations, in the same units.
        init: (4, 4) T_camera_object to start from instead of SQPNP's.

    Returns:
        The pose; rows left out are no inliers.

    Raises:
        SolveError: fewer than four usable keypoints, all on one spot or one line, or no pose with
            them in front of the camera.
    """
    problem, usable = _problem(points, normalised, covariances)
    start = _start(problem, np.asarray(init, np.float64) if init is not None else None)
    fit = refine(problem, start) if start is not None else None
    if fit is None or _outliers(fit.chi2) > _SUSPICIOUS * len(fit.chi2):
        fit = _search(problem, fit)
    if fit is None:
        raise SolveError("no pose puts the keypoints in front of the camera")
    return _solution(problem, fit, usable)


def _problem(
    points: ArrayLike, normalised: ArrayLike, covariances: ArrayLike
) -> tuple[Problem, NDArray[np.bool_]]:
    """Checks the input, drops unusable rows and whitens the rest."""
    X = np.asarray(points, dtype=np.float64)
    x = np.asarray(normalised, dtype=np.float64)
    S = np.asarray(covariances, dtype=np.float64)
    if X.shape != (len(X), 3) or x.shape != (len(X), 2) or S.shape != (len(X), 2, 2):
        raise ValueError(
            f"shapes do not fit: points {X.shape}, observed {x.shape}, covariances {S.shape}"
        )
    # The information's upper Cholesky factor in closed form: U^T U = S^-1.
    with np.errstate(divide="ignore", invalid="ignore"):
        xx, xy, yy = S[:, 0, 0], S[:, 0, 1], S[:, 1, 1]
        slope = xy / yy
        u11 = 1.0 / np.sqrt(xx - xy * slope)
        u22 = 1.0 / np.sqrt(yy)
        # Finite just where all four are.
        usable = np.isfinite(x[:, 0] + x[:, 1] + u11 + u22)
    count = int(np.count_nonzero(usable))
    if count < _MINIMUM:
        raise SolveError(f"{count} keypoints are usable; {_MINIMUM} are needed")
    whitening = np.zeros_like(S)
    whitening[:, 0, 0], whitening[:, 0, 1], whitening[:, 1, 1] = u11, -u11 * slope, u22
    vagueness = xx + yy
    if count < len(X):
        X, x, whitening, vagueness = X[usable], x[usable], whitening[usable], vagueness[usable]
    centred = x - x.sum(axis=0) / count
    spread = float(np.vdot(centred, centred)) / count
    if spread <= 1e-18 or spread < vagueness.min():
        raise SolveError("the keypoints have collapsed onto one spot; they determine no pose")
    return Problem(X, x, whitening), usable


def _outliers(chi2: Array) -> int:
    return int(np.count_nonzero(chi2 > INLIER_CHI2))


def _start(problem: Problem, init: Array | None) -> Fit | None:
    """The given start, or SQPNP's from the keypoints that are not much vaguer than most."""
    if init is not None:
        return evaluate(problem, nearest_rotation(init[:3, :3]), init[:3, 3])
    sharpness = np.einsum("kij,kij->k", problem.whitening, problem.whitening)
    sharp = sharpness > 0.1 * median(sharpness)
    vector, translation = _closed_form(problem, sharp, cv2.SOLVEPNP_SQPNP)
    if vector is None or translation is None:
        return None
    rotation = np.asarray(cv2.Rodrigues(vector)[0], dtype=np.float64)
    return evaluate(problem, rotation, translation)


def _closed_form(
    problem: Problem, rows: NDArray[np.generic], method: int
) -> tuple[Array, Array] | tuple[None, None]:
    """A pose from some keypoints without weights: rotation vector (3,) and translation (3,), m.

    Where the method finds none, None and None.
    """
    try:
        found, vector, translation = cv2.solvePnP(
            problem.points[rows], problem.observed[rows], _IDENTITY, None, flags=method
        )
    except cv2.error:  # OpenCV throws on degenerate keypoints
        return None, None
    if not found or not np.isfinite(vector + translation).all():
        return None, None
    rotation_vector, moved = (
        np.asarray(v, dtype=np.float64).ravel() for v in (vector, translation)
    )
    return rotation_vector, moved


class _Start(NamedTuple):
    """A pose from a minimal subset: its total loss, the share of keypoints that agree with it."""

    loss: float
    agreeing: float
    rotation: Array
    translation: Array


def _search(problem: Problem, fit: Fit | None) -> Fit | None:
    """The best of a distrusted fit and of the poses of minimal subsets, refined."""
    starts: list[_Start] = []
    subsets = _subsets(len(problem.points))
    for tried in range(_BATCH, _SUBSETS + 1, _BATCH):
        starts += _minimal_poses(problem, subsets[tried - _BATCH : tried])
        starts.sort(key=lambda start: start.loss)
        if starts and tried >= _enough(starts[0].agreeing):
            break
    candidates = [] if fit is None else [fit]
    for start in starts[:_REFINED]:
        begun = evaluate(problem, start.rotation, start.translation)
        if begun is not None:
            candidates.append(refine(problem, begun))
    return min(candidates, key=lambda candidate: candidate.loss, default=None)


def _minimal_poses(problem: Problem, subsets: NDArray[np.int_]) -> list[_Start]:
    """The poses of subsets (S, 4) of the keypoints that put all keypoints before the camera."""
    vectors, found = [], []
    for rows in subsets:
        vector, translation = _closed_form(problem, rows, cv2.SOLVEPNP_AP3P)
        if vector is not None:
            vectors.append(vector)
            found.append(translation)
    if not vectors:
        return []
    # All of them at once: what a call costs is not multiplied by their number.
    rotations = np.array([cv2.Rodrigues(vector)[0] for vector in vectors])
    translations = np.array(found)
    seen = rotations @ problem.points.T + translations[:, :, None]
    front = np.flatnonzero(seen[:, 2].min(axis=1) > 0)
    seen = seen[front]
    residuals = problem.observed.T - seen[:, :2] / seen[:, 2:]
    white = np.einsum("kij,sjk->sik", problem.whitening, residuals)
    chi2 = np.einsum("sik,sik->sk", white, white)
    losses = bounded_loss(chi2).sum(axis=1).tolist()
    agreeing = (chi2 <= INLIER_CHI2).mean(axis=1).tolist()
    return [
        _Start(loss, share, rotations[place], translations[place])
        for loss, share, place in zip(losses, agreeing, front, strict=True)
    ]


def _enough(agreeing: float) -> float:
    """How many subsets make one without outliers 99.9 % sure, were these all the inliers."""
    clean = agreeing**_MINIMUM
    return float(np.log(1e-3) / np.log1p(-clean)) if 0.0 < clean < 1.0 else _SUBSETS * (1.0 - clean)


@lru_cache(maxsize=64)
def _subsets(count: int) -> NDArray[np.int_]:
    """Fixed random choices (S, 4) of four of `count` keypoints."""
    generator = np.random.default_rng(count)
    return generator.random((_SUBSETS, count)).argsort(axis=1)[:, :_MINIMUM]


def _solution(problem: Problem, fit: Fit, usable: NDArray[np.bool_]) -> PnPSolution:
    """Covariance from the weighted normal matrix, and which keypoints agree."""
    normal = normal_equations(fit)[:6, :6]
    # Scaled to a unit diagonal, so that metres and radians do not decide what singular means.
    diagonal = normal.diagonal()
    agree = fit.chi2 <= INLIER_CHI2
    agreeing = int(np.count_nonzero(agree))
    if agreeing < _MINIMUM or not diagonal.min() > 0:
        raise SolveError(f"only {agreeing} keypoints agree on a pose; {_MINIMUM} are needed")
    size = 1.0 / np.sqrt(diagonal)
    scale = size * size[:, None]
    inverted, inverse = cv2.invert(normal * scale, flags=cv2.DECOMP_CHOLESKY)
    if not inverted or not inverse.diagonal().max() < _BLIND:
        raise SolveError("the keypoints lie on one line or spot; they determine no pose")
    covariance = (inverse * scale).take(_TRANSLATION_FIRST)
    if agreeing == len(usable):
        inliers, chi2 = agree, float(fit.chi2.sum())
    else:
        inliers = np.zeros(len(usable), dtype=np.bool_)
        inliers[usable] = agree
        chi2 = float(fit.chi2[agree].sum())
    return PnPSolution(make_transform(fit.rotation, fit.translation), covariance, inliers, chi2)
