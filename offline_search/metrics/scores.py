# SPDX-License-Identifier: Apache-2.0
"""Scores of an estimator on one object over many images, by BOP's rules for localisation.

Each target says how many instances of the object an image holds. As many estimates, the best ones
by score, are matched to the true poses greedily, best score first, each to the nearest true pose
that is still free and nearer than the threshold. Instances left over are failures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array
from offline_search.metrics.pose_error import add, adi, mspd, mssd, re, te
from offline_search.metrics.recall import (
    ADD_THRESHOLD,
    MSPD_THRESHOLDS_PX,
    MSSD_THRESHOLDS,
    area_under_recall,
    recall,
)
from offline_search.metrics.vsd import VSD_TAUS, VSD_THRESHOLDS


@dataclass(frozen=True)
class ObjectGeometry:
    """What of an object the errors depend on.

    Attributes:
        points: (V, 3) vertices in the object's frame, metres.
        symmetries: (S, 4, 4) transforms, the identity among them.
        diameter: largest distance between two of its points, metres.
    """

    points: Array
    symmetries: Array
    diameter: float

    @property
    def symmetric(self) -> bool:
        """Whether ADD-S rather than ADD judges it."""
        return len(self.symmetries) > 1


@dataclass(frozen=True)
class Target:
    """The instances of one object to be found in one image, and what was found.

    Attributes:
        truth: (G, 4, 4) true poses `T_camera_object`, metres: all that have to be found.
        estimates: (E, 4, 4) estimated poses, best score first.
        K: (3, 3) pinhole camera.
        image_width: pixels; MSPD's thresholds scale with it.
        surfaces: (N, G, T) VSD of the first N = min(E, G) estimates against each true pose, for
            each of VSD's tolerances; None where there is no depth image.
    """

    truth: Array
    estimates: Array
    K: Array
    image_width: int
    surfaces: Array | None = None


@dataclass(frozen=True)
class Scores:
    """Scores of one object.

    Attributes:
        targets: instances that had to be found.
        misses: instances without any estimate at all.
        add01: recall of ADD(-S) at 0.1 diameter.
        add_auc: area under the recall of ADD(-S) from 0 to 0.1 diameter.
        mssd_ar: average recall of MSSD over .05 to .5 diameter.
        mspd_ar: average recall of MSPD over 5 to 50 px at 640 px width.
        vsd_ar: average recall of VSD over tolerances and thresholds of .05 to .5; NaN unless there
            is depth for every target.
        ar: BOP's average recall, the mean of those of VSD, MSSD and MSPD; NaN without VSD.
        rotation_deg_median: median angle to the true pose (over the nearest symmetry) where
            there was an estimate, degrees; NaN without any.
        translation_mm_median: median distance to the true pose, likewise, millimetres.
    """

    targets: int
    misses: int
    add01: float
    add_auc: float
    mssd_ar: float
    mspd_ar: float
    vsd_ar: float
    ar: float
    rotation_deg_median: float
    translation_mm_median: float


def score(targets: Sequence[Target], geometry: ObjectGeometry) -> Scores:
    """Score the estimates of one object over all of its targets."""
    d, points, symmetries = geometry.diameter, geometry.points, geometry.symmetries
    distance = adi if geometry.symmetric else add
    averages, surfaces, projections = [], [], []
    rotations, translations, misses = [], [], 0
    for target in targets:
        estimates = target.estimates[: len(target.truth)]
        misses += len(target.truth) - len(estimates)
        e, g = estimates[:, None], target.truth[None]
        averages.append(distance(e, g, points) / d)
        surfaces.append(mssd(e, g, points, symmetries) / d)
        scale = 640.0 / target.image_width
        projections.append(mspd(e, g, points, symmetries, target.K) * scale)
        matched = match(averages[-1])
        pairs = matched >= 0
        nearest = target.truth[matched[pairs]]
        rotations.append(re(estimates[pairs], nearest, symmetries))
        translations.append(te(estimates[pairs], nearest))

    mssd_ar = _average_recall(surfaces, MSSD_THRESHOLDS)
    mspd_ar = _average_recall(projections, MSPD_THRESHOLDS_PX)
    vsd_ar = _vsd_recall([target.surfaces for target in targets])
    return Scores(
        targets=sum(len(target.truth) for target in targets),
        misses=misses,
        add01=recall(_matched_errors(averages, ADD_THRESHOLD), ADD_THRESHOLD),
        add_auc=area_under_recall(_matched_errors(averages), ADD_THRESHOLD),
        mssd_ar=mssd_ar,
        mspd_ar=mspd_ar,
        vsd_ar=vsd_ar,
        ar=(vsd_ar + mssd_ar + mspd_ar) / 3,
        rotation_deg_median=float(np.rad2deg(_median(rotations))),
        translation_mm_median=_median(translations) * 1e3,
    )


def stack_poses(poses: Sequence[Array]) -> Array:
    """Poses (4, 4) as one array (N, 4, 4), of the right shape for none as well."""
    return np.array(poses, dtype=np.float64).reshape(-1, 4, 4)


def match(errors: Array, threshold: float = np.inf) -> NDArray[np.intp]:
    """Match estimates to true poses greedily, in the order of the rows.

    Args:
        errors: (E, G) error of each estimate, best score first, against each true pose.
        threshold: an estimate is matched only where its error is below this.

    Returns:
        (E,) index of the true pose of each estimate, -1 where it has none.
    """
    free = np.array(errors, dtype=np.float64, copy=True)
    matched = np.full(len(free), -1, dtype=np.intp)
    for row in range(len(free)):
        best = int(np.argmin(free[row]))
        if free[row, best] < threshold:
            matched[row] = best
            free[:, best] = np.inf
    return matched


def _matched_errors(errors: Sequence[Array], threshold: float = np.inf) -> Array:
    """One error for each instance to be found; infinity for those that no estimate matched."""
    found = []
    for table in errors:
        matched = match(table, threshold)
        of_truth = np.full(table.shape[1], np.inf)
        rows = matched >= 0
        of_truth[matched[rows]] = table[rows, matched[rows]]
        found.append(of_truth)
    return np.concatenate(found) if found else np.zeros(0)


def _average_recall(errors: Sequence[Array], thresholds: Array) -> float:
    # The matching depends on the threshold, hence one of its own for each.
    return float(np.mean([recall(_matched_errors(errors, float(t)), float(t)) for t in thresholds]))


def _vsd_recall(errors: Sequence[Array | None]) -> float:
    known = [table for table in errors if table is not None]
    if not known or len(known) < len(errors):
        return float("nan")
    return float(
        np.mean(
            [
                _average_recall([table[..., tau] for table in known], VSD_THRESHOLDS)
                for tau in range(len(VSD_TAUS))
            ]
        )
    )


def _median(values: Sequence[Array]) -> float:
    together = np.concatenate(values) if values else np.zeros(0)
    return float(np.median(together)) if together.size else float("nan")
