# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.calibration import with_unseen_turns
from fpg_pose_ros.geometry import Symmetries, exp_so3, make_transform
from fpg_pose_ros.tracking.filter import MotionNoise, start
from fpg_pose_ros.tracking.unseen import hold, stop

AXIS, OFFSET = np.array([0.0, 2.0, 0.0]), np.array([0.03, 0.0, -0.02])
ROUND = Symmetries((), ((AXIS, OFFSET),))
T = make_transform(exp_so3([0.5, -1.0, 0.3]), [0.1, 0.0, 0.8])


def test_holding_takes_back_what_vagueness_of_the_turn_added():
    """Also the translation that it drags along where the axis misses the object's origin."""
    sharp = np.diag([1e-3, 1e-3, 4e-3, 0.02, 0.02, 0.02]) ** 2
    held = hold(with_unseen_turns(sharp, ROUND, T), ROUND, T)
    assert np.linalg.eigvalsh(held).min() > 0
    assert np.sqrt(np.diagonal(held)) == pytest.approx(np.sqrt(np.diagonal(sharp)), rel=0.3)
    np.testing.assert_array_equal(hold(sharp, Symmetries(), T), sharp)


def test_a_stopped_state_does_not_turn_about_the_axis_but_moves_as_the_axis_does():
    noise = MotionNoise(1.0, 1.0)
    state = start(T, np.eye(6) * 1e-4, noise)
    state.velocity[:] = [0.1, 0.2, 0.3, 1.0, -2.0, 0.5]
    stopped = stop(state, ROUND)
    axis = T[:3, :3] @ AXIS / 2
    assert stopped.velocity[3:] @ axis == pytest.approx(0)
    # A point on the axis keeps its velocity.
    for point in (OFFSET, OFFSET + AXIS):
        arm = T[:3, :3] @ point
        before, after = (v[:3] + np.cross(v[3:], arm) for v in (state.velocity, stopped.velocity))
        np.testing.assert_allclose(after, before, atol=1e-12)
    assert stop(state, Symmetries()) is state
