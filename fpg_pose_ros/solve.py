# SPDX-License-Identifier: Apache-2.0
"""The pose from keypoints with uncertainties: a robust perspective-n-point solver.

SQPNP (Terzakis and Lourakis, ECCV 2020) starts from all keypoints; a Levenberg-Marquardt method on
SE(3), with each keypoint's own 2x2 information and a bounded loss, finishes. When too many
keypoints disagree with the outcome, poses of random minimal subsets are tried as further starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.geometry import Array, exp_so3, make_transform, nearest_rotation

# Squared Mahalanobis distance (two degrees of freedom) that 99 % of honest keypoints stay below.
INLIER_CHI2: Final = 9.21
_MINIMUM: Final = 4
_ITERATIONS: Final = 20
_SUBSETS: Final = 64
_REFINED: Final = 3
# Share of outliers above which the start is distrusted.
_SUSPICIOUS: Final = 0.15
_IDENTITY: Final = np.eye(3)
_DIAGONAL: Final = np.diag_indices(6)


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


@dataclass(frozen=True, eq=False)
class _Problem:
    """Points X (K, 3), observations (K, 2), whitening (K, 2, 2): residual^T whitening = white."""

    points: Array
    observed: Array
    whitening: Array


@dataclass(frozen=True, eq=False)
class _State:
    """A candidate pose; X rotated (K, 3), squared distances (K,), white residuals (K, 2)."""

    rotation: Array
    translation: Array
    rotated: Array
    chi2: Array
    white: Array


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
    state = _refine(problem, start) if start is not None else None
    if state is None or np.mean(state.chi2 > INLIER_CHI2) > _SUSPICIOUS:
        state = _search(problem, state)
    if state is None:
        raise SolveError("no pose puts the keypoints in front of the camera")
    return _solution(problem, state, usable)


def _problem(
    points: ArrayLike, normalised: ArrayLike, covariances: ArrayLike
) -> tuple[_Problem, NDArray[np.bool_]]:
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
        u11 = 1.0 / np.sqrt(xx - xy * xy / yy)
        u22 = 1.0 / np.sqrt(yy)
    usable = np.isfinite(x).all(axis=1) & np.isfinite(u11) & np.isfinite(u22)
    if np.count_nonzero(usable) < _MINIMUM:
        raise SolveError(f"{np.count_nonzero(usable)} keypoints are usable; {_MINIMUM} are needed")
    whitening = np.zeros_like(S)
    whitening[:, 0, 0], whitening[:, 1, 0], whitening[:, 1, 1] = u11, -u11 * xy / yy, u22
    if not usable.all():
        X, x, whitening = X[usable], x[usable], whitening[usable]
        xx, yy = xx[usable], yy[usable]
    spread = float(np.var(x[:, 0]) + np.var(x[:, 1]))
    if spread <= 1e-18 or spread < float(np.min(xx + yy)):
        raise SolveError("the keypoints have collapsed onto one spot; they determine no pose")
    return _Problem(X, x, whitening), usable


def _evaluate(problem: _Problem, rotation: Array, translation: Array) -> _State | None:
    """Residuals of a pose, or None when a point is not in front of the camera."""
    rotated = problem.points @ rotation.T
    camera = rotated + translation
    if not camera[:, 2].min() > 0:
        return None
    residual = problem.observed - camera[:, :2] / camera[:, 2:]
    white = np.einsum("ki,kij->kj", residual, problem.whitening)
    chi2 = np.einsum("kj,kj->k", white, white)
    return _State(rotation, translation, rotated, chi2, white)


def _loss(chi2: Array, scale: float = 1.0) -> Array:
    """Quadratic for inliers, then bending smoothly to a bound, as Geman and McClure's does.

    `scale` widens the zone of the inliers; chi2 may have any shape.
    """
    bound = scale * INLIER_CHI2
    bent = bound * (2.0 - bound / np.maximum(chi2, bound))
    return np.asarray(np.where(chi2 <= bound, chi2, bent))


def _weights(chi2: Array, scale: float) -> Array:
    """The derivative of `_loss`: one for inliers, falling with the fourth power of the distance."""
    ratio = scale * INLIER_CHI2 / np.maximum(chi2, scale * INLIER_CHI2)
    return np.asarray(ratio * ratio)


def _jacobian(problem: _Problem, state: _State) -> Array:
    """White Jacobian (K, 2, 6) of the projections for T = (exp(w) R, t + dt), order dt, w."""
    q, t = state.rotated, state.translation
    inverse = 1.0 / (q[:, 2] + t[2])
    u, v = (q[:, 0] + t[0]) * inverse, (q[:, 1] + t[1]) * inverse
    a, b, c = (q * inverse[:, None]).T
    J = np.zeros((len(q), 2, 6))
    J[:, 0, 0] = J[:, 1, 1] = inverse
    J[:, 0, 2], J[:, 1, 2] = -u * inverse, -v * inverse
    J[:, 0, 3], J[:, 0, 4], J[:, 0, 5] = -u * b, c + u * a, -b
    J[:, 1, 3], J[:, 1, 4], J[:, 1, 5] = -c - v * b, v * a, a
    return np.asarray(np.einsum("kij,kil->kjl", problem.whitening, J))


def _refine(problem: _Problem, state: _State) -> _State:
    """Minimises the loss; a start that outliers have bent is first given a wide inlier zone."""
    scale = float(np.median(state.chi2)) / INLIER_CHI2
    while scale > 1.0:
        state = _minimise(problem, state, scale, iterations=3)
        scale = min(0.3 * scale, float(np.median(state.chi2)) / INLIER_CHI2)
    return _minimise(problem, state, 1.0, _ITERATIONS)


def _minimise(problem: _Problem, state: _State, scale: float, iterations: int) -> _State:
    """Levenberg-Marquardt: every accepted step lowers the loss."""
    damping = 1e-6
    loss = float(_loss(state.chi2, scale).sum())
    for _ in range(iterations):
        normal, gradient = _normal_equations(problem, state, scale)
        normal[_DIAGONAL] *= 1.0 + damping
        try:
            step = np.linalg.solve(normal, gradient)
        except np.linalg.LinAlgError:
            break
        moved = _evaluate(problem, exp_so3(step[3:]) @ state.rotation, state.translation + step[:3])
        moved_loss = np.inf if moved is None else float(_loss(moved.chi2, scale).sum())
        if moved is None or moved_loss > loss:
            # At the bottom rounding alone decides; else the step was too long.
            if float(step @ gradient) <= 1e-9 * loss + 1e-15 or damping > 1e6:
                break
            damping = max(damping, 1e-4) * 10.0
            continue
        gained, state, loss, damping = loss - moved_loss, moved, moved_loss, damping * 0.1
        if gained <= 1e-9 * loss + 1e-15:
            break
    return state


def _normal_equations(problem: _Problem, state: _State, scale: float) -> tuple[Array, Array]:
    """Returns J^T W J (6, 6) and J^T W r (6,)."""
    J = _jacobian(problem, state).reshape(-1, 6)
    weighted = J.T * np.repeat(_weights(state.chi2, scale), 2)
    return weighted @ J, weighted @ state.white.ravel()


def _start(problem: _Problem, init: Array | None) -> _State | None:
    """The given start, or SQPNP's from the keypoints that are not much vaguer than most."""
    if init is not None:
        return _evaluate(problem, nearest_rotation(init[:3, :3]), init[:3, 3])
    sharpness = np.einsum("kij,kij->k", problem.whitening, problem.whitening)
    sharp = sharpness > 0.1 * np.median(sharpness)
    return _closed_form(problem, sharp, cv2.SOLVEPNP_SQPNP)


def _closed_form(problem: _Problem, rows: NDArray[np.generic], method: int) -> _State | None:
    """A pose from some keypoints without weights; None where the method finds none."""
    try:
        found, vector, translation = cv2.solvePnP(
            problem.points[rows], problem.observed[rows], _IDENTITY, None, flags=method
        )
    except cv2.error:  # OpenCV throws on degenerate keypoints
        return None
    if not found or not np.isfinite(vector).all() or not np.isfinite(translation).all():
        return None
    return _evaluate(problem, exp_so3(vector), np.asarray(translation, dtype=np.float64).ravel())


def _search(problem: _Problem, state: _State | None) -> _State | None:
    """The best of a distrusted state and of the poses of minimal subsets, refined."""
    starts: list[_State] = []
    enough, least = float(_SUBSETS), np.inf
    for tried, rows in enumerate(_subsets(len(problem.points)), start=1):
        start = _closed_form(problem, rows, cv2.SOLVEPNP_AP3P)
        if start is not None:
            starts.append(start)
            if (loss := _total_loss(start)) < least:
                least, enough = loss, _enough(start)
        if tried >= enough:
            break
    starts.sort(key=_total_loss)
    candidates = [_refine(problem, start) for start in starts[:_REFINED]]
    if state is not None:
        candidates.append(state)
    return min(candidates, key=_total_loss, default=None)


def _enough(state: _State) -> float:
    """How many subsets make one without outliers 99.9 % sure, were this state's inliers all."""
    clean = float(np.mean(state.chi2 <= INLIER_CHI2)) ** _MINIMUM
    return float(np.log(1e-3) / np.log1p(-clean)) if 0.0 < clean < 1.0 else _SUBSETS * (1.0 - clean)


def _total_loss(state: _State) -> float:
    return float(_loss(state.chi2).sum())


@lru_cache(maxsize=64)
def _subsets(count: int) -> NDArray[np.int_]:
    """Fixed random choices (S, 4) of four of `count` keypoints."""
    generator = np.random.default_rng(count)
    return generator.random((_SUBSETS, count)).argsort(axis=1)[:, :_MINIMUM]


def _solution(problem: _Problem, state: _State, usable: NDArray[np.bool_]) -> PnPSolution:
    """Covariance from the weighted normal matrix, and which keypoints agree."""
    normal, _ = _normal_equations(problem, state, 1.0)
    # Scaled to a unit diagonal, so that metres and radians do not decide what singular means.
    size = np.sqrt(np.diagonal(normal))
    agree = state.chi2 <= INLIER_CHI2
    if np.count_nonzero(agree) < _MINIMUM or not size.min() > 0:
        raise SolveError(
            f"only {np.count_nonzero(agree)} keypoints agree on a pose; {_MINIMUM} are needed"
        )
    values, vectors = np.linalg.eigh(normal / np.outer(size, size))
    if values[0] < 1e-11 * values[-1]:
        raise SolveError("the keypoints lie on one line or spot; they determine no pose")
    covariance = (vectors / values) @ vectors.T / np.outer(size, size)
    inliers = np.zeros(len(usable), dtype=np.bool_)
    inliers[usable] = agree
    chi2 = float(state.chi2[agree].sum())
    return PnPSolution(make_transform(state.rotation, state.translation), covariance, inliers, chi2)
