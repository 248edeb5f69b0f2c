# SPDX-License-Identifier: Apache-2.0
"""Turns about an axis of symmetry: they cannot be seen, so a filter must not believe in them.

Of the poses that look alike the measured one is the one nearest to the expected, so it says nothing
of such a turn. Its covariance says so too, but a filter given it would let the angle drift and its
speed grow with every rounding of the axis. Instead the angle is held to be the expected one and at
rest while filtering, and only what is reported says that it is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from fpg_pose_ros.geometry import Array, Symmetries
from fpg_pose_ros.tracking.filter import MotionState

# How firmly the angle is held, rad^2: about as firmly as a good measurement would.
_HELD_VARIANCE: Final = 0.02**2


def hold(covariance: Array, symmetries: Symmetries, T_camera_object: Array) -> Array:
    """Returns the covariance (6, 6) of a measured pose whose unseen turns are held."""
    if not symmetries.continuous:
        return covariance
    for turn in symmetries.unseen_turns(T_camera_object):
        about = covariance[:, 3:] @ turn[3:]
        spread = float(about[3:] @ turn[3:]) + _HELD_VARIANCE
        covariance = covariance - np.outer(about, about) / spread
    return covariance


def stop(state: MotionState, symmetries: Symmetries) -> MotionState:
    """Returns the state without speed about axes of symmetry."""
    if not symmetries.continuous:
        return state
    velocity = state.velocity.copy()
    for turn in symmetries.unseen_turns(state.T_camera_object):
        velocity -= (velocity[3:] @ turn[3:]) * turn
    return replace(state, velocity=velocity)
