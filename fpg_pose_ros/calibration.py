# SPDX-License-Identifier: Apache-2.0
"""What a pose's score and covariance mean, as measured on held-out images.

Networks are wrong in two ways. Most poses are right and off by a little; a few are wrong
altogether (a flip, the wrong thing). No one covariance describes both, so two numbers do: the
score is the probability that the pose is right, and the covariance is that of right poses.

The measurements are settings in the `extra` of the pose network's `NetworkSpec`:

- `score_raw_0`, `score_probability_0`, `score_raw_1`, ...: knots of a piecewise linear map;
- `covariance_across`, `covariance_depth`, `covariance_rotation`: factors on variances;
- `covariance_misfit`, `covariance_misfit_power`: variances also grow with this power of the
  keypoints' reprojection error over its usual value, since keypoints that miss the pose by more
  than they claim are worse than they claim.

Without them scores and covariances are handed on as they are.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from fpg_pose_ros.geometry import Array, Symmetries

MAX_KNOTS: Final = 32
SCALES: Final = ("covariance_across", "covariance_depth", "covariance_rotation")
_MISFIT: Final = "covariance_misfit"
_MISFIT_POWER: Final = "covariance_misfit_power"
# What a misfit may do to variances, however strange it is.
_LEAST_FACTOR: Final = 0.25
_MOST_FACTOR: Final = 25.0
_RAW: Final = "score_raw_"
_PROBABILITY: Final = "score_probability_"
#: Of an angle of which nothing is known: uniform over a whole turn, rad^2.
TURN_VARIANCE: Final = float(np.pi**2 / 3.0)


def calibrated_score(raw: float, extra: Mapping[str, float]) -> float:
    """Returns the probability (0..1) that a pose is right: ADD(-S) below 0.1 diameter.

    Args:
        raw: score of `estimator.pose_score`, 0..1.
        extra: of the pose network; without knots the score is returned as it is.
    """
    return score_at(raw, score_knots(extra))


def score_knots(extra: Mapping[str, float]) -> list[tuple[float, float]]:
    """Returns the knots (raw score, probability) of a pose network's `extra`."""
    return [(extra[f"{_RAW}{i}"], extra[f"{_PROBABILITY}{i}"]) for i in range(_count(extra))]


def score_at(raw: float, knots: list[tuple[float, float]]) -> float:
    """Returns `calibrated_score` from the `score_knots`."""
    if not knots:
        return raw
    place = bisect.bisect_right(knots, raw, key=lambda knot: knot[0])
    if place in (0, len(knots)):
        return knots[min(place, len(knots) - 1)][1]
    (before, low), (after, high) = knots[place - 1 : place + 1]
    return low + (high - low) * (raw - before) / (after - before)


def calibrated_covariance(
    covariance: Array,
    extra: Mapping[str, float],
    symmetries: Symmetries,
    T_camera_object: Array,
    misfit: float,
) -> Array:
    """Returns the covariance (6, 6) of the pose's error where the pose is right.

    Args:
        covariance: (6, 6) of translation x, y, z (m), then rotation vector (rad), about the
            camera's axes: T_true = (exp(w) R, t + dt).
        extra: of the pose network: factors on the variances along the ray to the object
            (`covariance_depth`), across it and of the rotation; 1 where one is missing.
        symmetries: of the object. A turn about a continuous one cannot be seen: its angle gets the
            variance of a uniform one.
        T_camera_object: (4, 4) the pose, m.
        misfit: the pose's reprojection error, in sides of the object's box.
    """
    factor = misfit_factor(misfit, extra)
    across, depth, rotation = (math.sqrt(factor * extra.get(name, 1.0)) for name in SCALES)
    t = T_camera_object[:3, 3]
    ray = t / math.sqrt(t @ t)
    S = np.zeros((6, 6))
    S.ravel()[::7] = across, across, across, rotation, rotation, rotation
    S[:3, :3] += ray[:, None] * (ray * (depth - across))
    scaled: Array = S @ covariance @ S
    return with_unseen_turns(scaled, symmetries, T_camera_object)


def with_unseen_turns(covariance: Array, symmetries: Symmetries, T_camera_object: Array) -> Array:
    """Returns a pose's covariance (6, 6) with turns about axes of symmetry as vague as can be."""
    if not symmetries.continuous:
        return covariance
    for turn in symmetries.unseen_turns(T_camera_object):
        covariance = covariance + TURN_VARIANCE * np.outer(turn, turn)
    return covariance


def misfit_factor(misfit: float, extra: Mapping[str, float]) -> float:
    """Returns the factor on variances for a reprojection error, in sides of the object's box."""
    if _MISFIT not in extra:
        return 1.0
    factor = float((misfit / extra[_MISFIT]) ** extra.get(_MISFIT_POWER, 0.0))
    return min(max(factor, _LEAST_FACTOR), _MOST_FACTOR)


def misfit_settings(usual: float, power: float) -> dict[str, float]:
    """Returns the usual misfit and the power as settings of `extra`."""
    return {_MISFIT: usual, _MISFIT_POWER: power}


def score_settings(knots: list[tuple[float, float]]) -> dict[str, float]:
    """Returns knots (raw score, probability) as settings of `extra`."""
    settings = {}
    for i, (raw, probability) in enumerate(knots):
        settings[f"{_RAW}{i}"] = raw
        settings[f"{_PROBABILITY}{i}"] = probability
    return settings


def without_calibration(extra: Mapping[str, float]) -> dict[str, float]:
    """Returns the settings that are no part of a calibration."""
    return {key: value for key, value in extra.items() if not _is_ours(key)}


def check_calibration(extra: Mapping[str, float]) -> None:
    """Checks the settings of this module among others.

    Raises:
        ValueError: one is missing or out of range; the message names it.
    """
    for name in SCALES:
        if not 1e-6 <= extra.get(name, 1.0) <= 1e6:
            raise ValueError(f"{name} must be a number in 1e-6..1e6")
    if not 1e-6 <= extra.get(_MISFIT, 1.0) <= 1.0 or not 0.0 <= extra.get(_MISFIT_POWER, 0.0) <= 4:
        raise ValueError(f"{_MISFIT} must be in 1e-6..1, {_MISFIT_POWER} in 0..4")
    count = _count(extra)
    wanted = {f"{kind}{i}" for kind in (_RAW, _PROBABILITY) for i in range(count)}
    found = {key for key in extra if key.startswith((_RAW, _PROBABILITY))}
    if found != wanted:
        raise ValueError(f"{min(found ^ wanted)} must be one of pairs that count from 0")
    if count == 1 or count > MAX_KNOTS:
        raise ValueError(f"{_RAW}0 must be the first of 2 to {MAX_KNOTS} knots")
    before = -1.0, 0.0
    for i in range(count):
        knot = extra[f"{_RAW}{i}"], extra[f"{_PROBABILITY}{i}"]
        if not before[0] < knot[0] <= 1.0 or not before[1] <= knot[1] <= 1.0:
            raise ValueError(
                f"{_RAW}{i} must be above the one before, {_PROBABILITY}{i} not below it, both "
                "in 0..1"
            )
        before = knot


def _count(extra: Mapping[str, float]) -> int:
    count = 0
    while f"{_RAW}{count}" in extra:
        count += 1
    return count


def _is_ours(key: str) -> bool:
    return key in (*SCALES, _MISFIT, _MISFIT_POWER) or key.startswith((_RAW, _PROBABILITY))
