# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a pose, as one word: the first of the causes that explains it."""

from __future__ import annotations

from enum import Enum
from typing import Final

import numpy as np

from fpg_pose_ros.geometry import Array, transform
from offline_search.metrics.pose_error import add, adi, re
from offline_search.metrics.recall import ADD_THRESHOLD
from offline_search.metrics.scores import ObjectGeometry

#: Below this share in sight a failure is put down to what hides the object.
OCCLUDED_BELOW: Final = 0.5
#: Beside its true place by more than this many diameters, something else was taken for the object.
_ELSEWHERE: Final = 0.5
#: Turned by more, deg, and yet with nearly the same surface (ADI in diameters), it was mistaken
#: for its own flipped view.
FLIPPED_ABOVE_DEG: Final = 60.0
FLIPPED_SURFACE: Final = 0.06


class Cause(str, Enum):
    """Why a pose is not right."""

    RIGHT = "right"
    OCCLUDED = "occluded"
    NOT_LOCATED = "not located"
    WRONG_PLACE = "wrong place"
    FLIPPED = "flipped symmetry"
    ROTATION = "wrong rotation"
    DISTANCE = "wrong distance"


def cause(
    estimate: Array | None, truth: Array, geometry: ObjectGeometry, visible: float = float("nan")
) -> Cause:
    """The cause of a failure, or `RIGHT`.

    Args:
        estimate: (4, 4) T_camera_object, m; None where the object was not found.
        truth: (4, 4) the true one.
        geometry: of the object.
        visible: share of the object that is to be seen, 0 to 1; NaN where it is not known.
    """
    distance = adi if geometry.symmetric else add
    limit = ADD_THRESHOLD * geometry.diameter
    if estimate is not None and distance(estimate, truth, geometry.points) < limit:
        return Cause.RIGHT
    if visible < OCCLUDED_BELOW:
        return Cause.OCCLUDED
    if estimate is None:
        return Cause.NOT_LOCATED
    along, aside = _offsets(estimate, truth, geometry)
    if aside > _ELSEWHERE * geometry.diameter:
        return Cause.WRONG_PLACE
    moved = _at_the_place_of(truth, estimate, geometry)
    if distance(moved, truth, geometry.points) >= limit:
        angle = float(np.degrees(re(estimate, truth, geometry.symmetries)))
        apart = float(adi(moved, truth, geometry.points))
        looks_alike = apart < FLIPPED_SURFACE * geometry.diameter
        return Cause.FLIPPED if angle > FLIPPED_ABOVE_DEG and looks_alike else Cause.ROTATION
    return Cause.DISTANCE if along >= aside else Cause.WRONG_PLACE


def _middle(geometry: ObjectGeometry) -> Array:
    return np.asarray((geometry.points.min(axis=0) + geometry.points.max(axis=0)) / 2)


def _offsets(estimate: Array, truth: Array, geometry: ObjectGeometry) -> tuple[float, float]:
    """How far the middle is off along the line of sight and, at the true distance, aside, m."""
    there, here = (transform(T, _middle(geometry)[None])[0] for T in (truth, estimate))
    far = float(np.linalg.norm(there))
    seen_at = here * far / max(float(np.linalg.norm(here)), 1e-9)
    return abs(float(np.linalg.norm(here)) - far), float(np.linalg.norm(seen_at - there))


def _at_the_place_of(truth: Array, estimate: Array, geometry: ObjectGeometry) -> Array:
    """The estimate, moved so that the object's middle is where it truly is."""
    middle = _middle(geometry)
    moved = np.array(estimate, dtype=np.float64, copy=True)
    moved[:3, 3] = transform(truth, middle[None])[0] - estimate[:3, :3] @ middle
    return moved
