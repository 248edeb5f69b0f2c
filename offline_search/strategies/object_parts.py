# SPDX-License-Identifier: Apache-2.0
"""Which keypoints of an object belong together."""

from __future__ import annotations

import numpy as np

from fpg_pose_ros.objects import ObjectModel
from offline_search.data.create import cluster_parts
from offline_search.space.fabric_space import Parts
from offline_search.strategies.problem import SearchError

_UNNAMED = 4
"""Parts that are found where an object's file names none."""


def parts_of(model: ObjectModel, count: int) -> Parts:
    """The object's parts, each keypoint in one at least; a part may share keypoints with others.

    Args:
        model: The object.
        count: So many, found by clustering the keypoints (k-means from the farthest points: the
            same each time); 1: one of all; 0: those of the object's file, where it names some. A
            keypoint that is in none of these joins the part whose middle is nearest.

    Raises:
        SearchError: The object has fewer keypoints.
    """
    points = model.keypoints
    if count > len(points):
        raise SearchError(f"{count} parts of {len(points)} keypoints: use 0 to {len(points)}")
    if count == 1:
        return (("whole", tuple(range(len(points)))),)
    if count or not model.parts:
        found = cluster_parts(points, count or min(_UNNAMED, len(points)))
        return tuple((name, tuple(indices)) for name, indices in found.items())
    groups = {name: sorted(set(indices)) for name, indices in model.parts.items()}
    middles = {name: points[indices].mean(axis=0) for name, indices in groups.items()}
    left = set(range(len(points))) - {index for indices in groups.values() for index in indices}
    for index in sorted(left):
        nearest = min(
            middles, key=lambda name: float(np.linalg.norm(points[index] - middles[name]))
        )
        groups[nearest].append(index)
    return tuple((name, tuple(sorted(indices))) for name, indices in groups.items())
