# SPDX-License-Identifier: Apache-2.0
"""Whether scores and covariances of poses are true.

A score claims to be the probability that a pose is right (ADD(-S) below 0.1 diameter), a covariance
to be that of right poses' errors. Scores are held against the share that is right
(Guo et al., "On Calibration of Modern Neural Networks", ICML 2017), covariances by the normalised
estimation error squared, NEES (Bar-Shalom et al., "Estimation with Applications to Tracking and
Navigation", 2001, section 5.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from fpg_pose_ros.geometry import Array, Symmetries, log_so3
from offline_search.metrics.pose_error import add, adi
from offline_search.metrics.recall import ADD_THRESHOLD
from offline_search.metrics.scores import ObjectGeometry, match

_BINS: Final = 10
#: Probability of the region and of the bounds.
COVERAGE: Final = 0.95


@dataclass(frozen=True, eq=False)
class Claim:
    """What is said of one pose.

    Attributes:
        T_camera_object: (4, 4), m.
        covariance: (6, 6) of translation (m), then rotation vector (rad), camera's axes.
        score: probability of being right.
        misfit: reprojection error, in sides of the object's box; 0 where no one asks.
    """

    T_camera_object: Array
    covariance: Array
    score: float
    misfit: float = 0.0


@dataclass(frozen=True, eq=False)
class Judged:
    """A claim beside the truth.

    Attributes:
        claim: what was said.
        error: (6,) of T_true = (exp(w) R, t + dt), to the symmetry-equivalent of the nearest
            true pose that is nearest in rotation.
        right: ADD(-S) below 0.1 diameter, of a true pose that no better-scored estimate matches.
    """

    claim: Claim
    error: Array
    right: bool


@dataclass(frozen=True)
class Trust:
    """How true scores and covariances are; NaN where there was nothing to measure.

    Attributes:
        poses: how many were judged.
        right: how many of them are right.
        score_mean: mean score; `right / poses` is what it should be.
        score_error: expected calibration error: mean over `reliability` of the distance between
            score and share, weighted by count.
        reliability: (mean score, share that is right, count) of ten parts of equal count.
        nees: mean normalised estimation error squared of the right poses; `nees_dof` is true.
        nees_low, nees_high: where 95 % of such means lie when errors are normal, independent and of
            the covariances claimed.
        nees_dof: degrees of freedom of a pose: 6 less those that continuous symmetries take.
        coverage: share of right poses within the 95 % region of their covariances.
        coverage_all: the same of all poses.
    """

    poses: int
    right: int
    score_mean: float
    score_error: float
    reliability: tuple[tuple[float, float, int], ...]
    nees: float
    nees_low: float
    nees_high: float
    nees_dof: int
    coverage: float
    coverage_all: float


def judge(claims: Sequence[Claim], truth: Array, geometry: ObjectGeometry) -> list[Judged]:
    """Compares what was said of one object in one image with the truth.

    Args:
        claims: of that object, best score first.
        truth: (G, 4, 4) true poses, at least one.
        geometry: of the object.
    """
    if not claims:
        return []
    poses = np.stack([claim.T_camera_object for claim in claims])
    distance = adi if geometry.symmetric else add
    table = distance(poses[:, None], truth[None], geometry.points) / geometry.diameter
    matched = match(table, ADD_THRESHOLD)
    return [
        Judged(
            claim=claim,
            error=pose_error(
                claim.T_camera_object, truth[int(np.argmin(row))], geometry.symmetries
            ),
            right=bool(index >= 0),
        )
        for claim, row, index in zip(claims, table, matched, strict=True)
    ]


def pose_error(estimate: Array, truth: Array, symmetries: Array) -> Array:
    """The error (6,), dt (m) and w (rad), of T_true = (exp(w) R, t + dt).

    T_true is the symmetry-equivalent (S, 4, 4) of the truth whose rotation is nearest.
    """
    equivalents = truth @ symmetries
    agreement = np.einsum("nij,ij->n", equivalents[:, :3, :3], estimate[:3, :3])
    nearest = equivalents[int(np.argmax(agreement))]
    turn = log_so3(nearest[:3, :3] @ estimate[:3, :3].T)
    return np.concatenate([nearest[:3, 3] - estimate[:3, 3], turn])


def nees(covariances: Array, errors: Array) -> Array:
    """Normalised estimation errors squared (N,) of errors (N, 6) with covariances (N, 6, 6)."""
    white = np.linalg.solve(covariances, errors[:, :, None])[:, :, 0]
    return np.asarray(np.einsum("ni,ni->n", errors, white))


def normalised_squares(judged: Sequence[Judged]) -> Array:
    """The same of poses, (N,)."""
    return nees(
        np.stack([one.claim.covariance for one in judged]), np.stack([one.error for one in judged])
    )


def degrees_of_freedom(symmetries: Symmetries) -> int:
    """Degrees of freedom of a pose that an image can tell: one axis takes one, a ball's three."""
    axes = [axis / np.linalg.norm(axis) for axis, _ in symmetries.continuous]
    rank = int(np.linalg.matrix_rank(np.stack(axes), tol=1e-6)) if axes else 0
    return 6 - (rank if rank < 2 else 3)


def trust(judged: Sequence[Judged], dof: int = 6) -> Trust:
    """Sums up; `dof` as of `degrees_of_freedom`."""
    if not judged:
        nan = float("nan")
        return Trust(0, 0, nan, nan, (), nan, nan, nan, dof, nan, nan)
    scores = np.array([one.claim.score for one in judged])
    return summarise(
        scores, np.array([one.right for one in judged]), normalised_squares(judged), dof
    )


def summarise(scores: Array, right: NDArray[np.bool_], squares: Array, dof: int) -> Trust:
    """The figures of at least one pose; scores, which are right, and NEES: (N,) each."""
    nan = float("nan")
    parts = reliability(scores, right)
    inside = squares < chi2.ppf(COVERAGE, dof)
    count = int(right.sum())
    tails = (1 - COVERAGE) / 2, (1 + COVERAGE) / 2
    low, high = (float(chi2.ppf(q, dof * count) / count) if count else nan for q in tails)
    return Trust(
        poses=len(scores),
        right=count,
        score_mean=float(scores.mean()),
        score_error=sum(n * abs(score - share) for score, share, n in parts) / len(scores),
        reliability=parts,
        nees=float(squares[right].mean()) if count else nan,
        nees_low=low,
        nees_high=high,
        nees_dof=dof,
        coverage=float(inside[right].mean()) if count else nan,
        coverage_all=float(inside.mean()),
    )


def reliability(
    scores: Array, right: NDArray[np.bool_], parts: int = _BINS
) -> tuple[tuple[float, float, int], ...]:
    """(mean score, share that is right, count) of parts of equal count, by rising score."""
    order = np.argsort(scores, kind="stable")
    return tuple(
        (float(scores[part].mean()), float(right[part].mean()), len(part))
        for part in np.array_split(order, parts)
        if len(part)
    )


def describe(name: str, figures: Trust) -> str:
    """One line for people."""
    if not figures.poses:
        return f"{name}: no pose to hold scores and covariances against"
    return (
        f"{name}: {figures.right} of {figures.poses} poses right, mean score "
        f"{figures.score_mean:.3f}, calibration error {figures.score_error:.3f}; right poses: NEES "
        f"{figures.nees:.2f} ({figures.nees_low:.2f} to {figures.nees_high:.2f} for "
        f"{figures.nees_dof} degrees of freedom), {100 * figures.coverage:.1f} % in their 95 % "
        f"region ({100 * figures.coverage_all:.1f} % of all poses)"
    )
