# SPDX-License-Identifier: Apache-2.0
"""Telling the instances of an object apart: what is one thing seen twice, and what are two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from fpg_pose_ros.estimates import PoseEstimate
from fpg_pose_ros.geometry import Array
from fpg_pose_ros.objects import ObjectModel

# Two poses across the line of sight no further apart than this many of the object's diameters are
# one thing's, however thin it is.
_LEAST_LATERAL: Final = 0.05


def same_place(model: ObjectModel, T_a: Array, T_b: Array) -> bool:
    """Whether two poses T_camera_object (4, 4) of an object are so close that they are one thing.

    Two solid things do not share a place. Across the line of sight, where a pose is sharp, half
    the object's thickness parts them; along it, where a pose is vague, and where the nearer one
    would hide the other, half its diameter.
    """
    low, high = model.bounds_min, model.bounds_max
    middle = 0.5 * (low + high)
    a = T_a[:3, :3] @ middle + T_a[:3, 3]
    apart = T_b[:3, :3] @ middle + T_b[:3, 3] - a
    along = float(apart @ a) / float(np.linalg.norm(a))
    lateral = float(np.sqrt(max(float(apart @ apart) - along * along, 0.0)))
    thickness = float(np.min(high - low))
    return (
        lateral < max(0.5 * thickness, _LEAST_LATERAL * model.diameter)
        and abs(along) < 0.5 * model.diameter
    )


def rank(
    estimates: Iterable[PoseEstimate], models: Mapping[str, ObjectModel]
) -> list[PoseEstimate]:
    """Returns the estimates, the best first, without those of a thing that a better one tells of.

    The instances of an object are numbered from 0 by rank.
    """
    kept: list[PoseEstimate] = []
    for estimate in sorted(estimates, key=lambda item: -item.score):
        others = [item for item in kept if item.object_name == estimate.object_name]
        model, T = models[estimate.object_name], estimate.T_camera_object
        if not any(same_place(model, other.T_camera_object, T) for other in others):
            kept.append(replace(estimate, instance_id=len(others)) if others else estimate)
    return kept
