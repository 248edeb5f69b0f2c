# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from cube_world import SIDE, cube_model

from fpg_pose_ros.estimates import PoseEstimate
from fpg_pose_ros.geometry import make_transform
from fpg_pose_ros.instances import rank, same_place

CUBE = cube_model()


def at(x: float, y: float = 0.0, z: float = 1.0) -> np.ndarray:
    return make_transform(np.eye(3), [x, y, z])


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (at(0.4 * SIDE), True),
        (at(0.6 * SIDE), False),
        (at(0.0, 0.0, 1.0 + 0.8 * SIDE), True),
        (at(0.0, 0.0, 1.0 + SIDE), False),
    ],
)
def test_one_thing_is_told_from_two_sharply_across_the_view_and_vaguely_along_it(other, same):
    assert same_place(CUBE, at(0.0), other) is same
    assert same_place(CUBE, other, at(0.0)) is same


def test_of_estimates_of_one_thing_the_best_is_kept_and_the_rest_numbered():
    def estimate(x: float, score: float) -> PoseEstimate:
        return PoseEstimate("cube", 0, at(x), np.eye(6), score, 1.0, (0, 0, 1, 1))

    found = rank([estimate(0.02, 0.5), estimate(0.3, 0.6), estimate(0.0, 0.9)], {"cube": CUBE})
    assert [(item.score, item.instance_id) for item in found] == [(0.9, 0), (0.6, 1)]
