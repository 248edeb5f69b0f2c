# SPDX-License-Identifier: Apache-2.0
"""Why a pose is not right."""

from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.geometry import Array, exp_so3, make_transform
from offline_search.metrics.causes import Cause, cause
from offline_search.metrics.scores import ObjectGeometry

HALF_TURN = make_transform(exp_so3([0, 0, np.pi]), np.zeros(3))
# A brick with a nose: turned by half about z, only the nose tells.
_BRICK = np.stack(
    np.meshgrid(*(np.linspace(-s, s, 9) for s in (0.06, 0.04, 0.02))), axis=-1
).reshape(-1, 3)
_NOSE = np.random.default_rng(0).uniform([0.06, -0.01, -0.01], [0.075, 0.01, 0.01], (20, 3))
BRICK = ObjectGeometry(np.vstack([_BRICK, _NOSE]), np.eye(4)[None], 0.16)
TRUTH = make_transform(exp_so3([0.4, 0.2, -1.0]), [0.05, -0.02, 0.8])


def _moved(T: Array, x: float = 0.0, along: float = 0.0) -> Array:
    """A pose, shifted to the side and along its line of sight, m."""
    moved = T.copy()
    moved[:3, 3] += [x, 0, 0]
    moved[:3, 3] *= 1 + along / float(np.linalg.norm(T[:3, 3]))
    return moved


@pytest.mark.parametrize(
    ("estimate", "visible", "expected"),
    [
        (TRUTH, 1.0, Cause.RIGHT),
        (_moved(TRUTH, along=0.01), 0.2, Cause.RIGHT),
        (None, 1.0, Cause.NOT_LOCATED),
        (None, float("nan"), Cause.NOT_LOCATED),
        (None, 0.49, Cause.OCCLUDED),
        (_moved(TRUTH, along=0.1), 0.3, Cause.OCCLUDED),
        (_moved(TRUTH, along=0.1), 0.9, Cause.DISTANCE),
        (_moved(TRUTH, along=-0.1), float("nan"), Cause.DISTANCE),
        (_moved(TRUTH, x=0.3), 1.0, Cause.WRONG_PLACE),
        (_moved(TRUTH, x=0.03), 1.0, Cause.WRONG_PLACE),
        (TRUTH @ make_transform(exp_so3([0.6, 0, 0.6]), np.zeros(3)), 1.0, Cause.ROTATION),
        (TRUTH @ make_transform(exp_so3([0, np.pi / 2, 0]), np.zeros(3)), 1.0, Cause.ROTATION),
        (TRUTH @ HALF_TURN, 1.0, Cause.FLIPPED),
        (_moved(TRUTH @ HALF_TURN, along=0.1), 1.0, Cause.FLIPPED),
    ],
)
def test_a_failure_has_the_first_cause_that_explains_it(
    estimate: Array | None, visible: float, expected: Cause
) -> None:
    assert cause(estimate, TRUTH, BRICK, visible) is expected


def test_a_declared_symmetry_is_no_failure() -> None:
    declared = ObjectGeometry(_BRICK, np.stack([np.eye(4), HALF_TURN]), 0.15)
    assert cause(TRUTH @ HALF_TURN, TRUTH, declared) is Cause.RIGHT
