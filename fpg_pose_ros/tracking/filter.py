# SPDX-License-Identifier: Apache-2.0
"""A Kalman filter for a thing that moves with almost constant linear and angular velocity.

The state is a pose and its velocity; its uncertainty lives in the tangent space, where a Gaussian
makes sense (an error-state filter: Sola, Deray and Atchuthan, arXiv 1812.01537). Everything is
about the camera's axes. The error is, in this order, of

    translation dt (m):            t_true = t + dt
    rotation w (rad):              R_true = exp(w) R
    velocity dv (m/s):             v_true = v + dv
    angular velocity do (rad/s):   o_true = o + do
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from fpg_pose_ros.geometry import Array, exp_so3, log_so3

_IDENTITY: Final = np.eye(12)
_EYE: Final = np.eye(3)
_POSE: Final = np.arange(6)
_SPEED: Final = np.arange(6, 12)


@dataclass(frozen=True, eq=False)
class MotionState:
    """A pose in motion, and how sure it is.

    Attributes:
        T_camera_object: (4, 4), m.
        velocity: (6,) of the object's origin, m/s, then angular, rad/s; camera axes.
        covariance: (12, 12) of the error described above.
    """

    T_camera_object: Array
    velocity: Array
    covariance: Array

    @property
    def pose_covariance(self) -> Array:
        """(6, 6) of translation (m), then rotation vector (rad), as a `PoseEstimate` has it."""
        return self.covariance[:6, :6]


@dataclass(frozen=True)
class MotionNoise:
    """White acceleration: standard deviation of the change of velocity within a second.

    Attributes:
        linear: m/s after 1 s.
        angular: rad/s after 1 s.
    """

    linear: float
    angular: float


def start(T_camera_object: Array, covariance: Array, noise: MotionNoise) -> MotionState:
    """Returns the state after a first measurement: at rest, but for what a second can change."""
    full = np.zeros((12, 12))
    full[:6, :6] = covariance
    full[6:9, 6:9], full[9:, 9:] = np.eye(3) * noise.linear**2, np.eye(3) * noise.angular**2
    return MotionState(T_camera_object, np.zeros(6), full)


def predict(state: MotionState, seconds: float, noise: MotionNoise) -> MotionState:
    """Returns the state some time later, which must not be negative."""
    if seconds == 0.0:
        return state
    turn = state.velocity[3:] * seconds
    rotation = exp_so3(turn)
    T = state.T_camera_object.copy()
    T[:3, :3] = rotation @ T[:3, :3]
    T[:3, 3] += state.velocity[:3] * seconds
    F = _IDENTITY.copy()
    F[:3, 6:9] = _EYE * seconds
    F[3:6, 3:6] = rotation
    F[3:6, 9:] = _left_jacobian(turn) * seconds
    covariance = F @ state.covariance @ F.T
    _add_noise(covariance, seconds, noise)
    return MotionState(T, state.velocity, covariance)


@dataclass(frozen=True, eq=False)
class Innovation:
    """A measured pose compared with the state.

    Attributes:
        difference: (6,) measured less predicted, m and rad.
        measured: (6, 6) covariance of the measurement.
        information: (6, 6) inverse of the covariance that the difference should have.
        normalised_squared: the difference by what it should be: the squared Mahalanobis distance;
            of an honest measurement chi-square with 6 degrees of freedom.
    """

    difference: Array
    measured: Array
    information: Array
    normalised_squared: float

    @property
    def surprise(self) -> float:
        """Twice the negative log likelihood but for a constant.

        Unlike the distance it does not favour a state that is unsure of everything.
        """
        return self.normalised_squared - float(np.linalg.slogdet(self.information)[1])


def compare(state: MotionState, T_camera_object: Array, covariance: Array) -> Innovation:
    """Compares a measured pose with the state.

    Args:
        state: predicted to the measurement's time.
        T_camera_object: (4, 4) measured pose, m.
        covariance: (6, 6) of it, in the order of `PoseEstimate.covariance`.
    """
    difference = np.empty(6)
    difference[:3] = T_camera_object[:3, 3] - state.T_camera_object[:3, 3]
    difference[3:] = _log(T_camera_object[:3, :3] @ state.T_camera_object[:3, :3].T)
    expected = state.pose_covariance + covariance
    # OpenCV's takes a third of the time, and gives up on variances below 2e-16.
    inverted, information = cv2.invert(expected, flags=cv2.DECOMP_CHOLESKY)
    if not inverted:
        information = np.linalg.inv(expected)
    squared = float(difference @ information @ difference)
    return Innovation(difference, covariance, np.asarray(information), squared)


def update(state: MotionState, seen: Innovation) -> MotionState:
    """Returns the state after it has taken in what was compared with it."""
    P = state.covariance
    gain = P[:, :6] @ seen.information
    step = gain @ seen.difference
    # Joseph's form: it stays positive definite whatever rounding does.
    keep = _IDENTITY.copy()
    keep[:, :6] -= gain
    # The errors are about the new rotation from here on.
    turned = _left_jacobian(step[3:6])
    keep[3:6], gain[3:6] = turned @ keep[3:6], turned @ gain[3:6]
    after = keep @ P @ keep.T + gain @ seen.measured @ gain.T
    T = state.T_camera_object.copy()
    T[:3, :3] = _orthonormal(exp_so3(step[3:6]) @ T[:3, :3])
    T[:3, 3] += step[:3]
    return MotionState(T, state.velocity + step[6:], 0.5 * (after + after.T))


@lru_cache(maxsize=16)
def gate_distance(probability: float) -> float:
    """Returns the squared Mahalanobis distance (6 degrees of freedom) of a probability, 0..1.

    The distribution function has a closed form, 1 - exp(-x/2) (1 + x/2 + x^2/8); it is inverted by
    bisection.
    """
    low, high = 0.0, 1e3
    for _ in range(60):
        x = 0.5 * (low + high)
        below = 1.0 - float(np.exp(-0.5 * x)) * (1.0 + 0.5 * x + 0.125 * x * x) < probability
        low, high = (x, high) if below else (low, x)
    return 0.5 * (low + high)


def _add_noise(covariance: Array, seconds: float, noise: MotionNoise) -> None:
    """Adds what white acceleration does to a covariance (12, 12), in place."""
    density = np.array([noise.linear] * 3 + [noise.angular] * 3) ** 2
    covariance[_POSE, _POSE] += density * (seconds**3 / 3.0)
    covariance[_POSE, _SPEED] += density * (seconds**2 / 2.0)
    covariance[_SPEED, _POSE] += density * (seconds**2 / 2.0)
    covariance[_SPEED, _SPEED] += density * seconds


def _left_jacobian(vector: Array) -> Array:
    """How exp(vector) turns on when the vector (3,) grows: exp(v + d) = exp(J d) exp(v)."""
    x, y, z = vector.tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    a, b = 0.5, 1.0 / 6.0  # the series; its next term is below 1e-13
    if not angle < 1e-4:
        a = 2.0 * (math.sin(0.5 * angle) / angle) ** 2
        b = (angle - math.sin(angle)) / angle**3
    return np.array(
        [
            [1.0 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y],
            [b * x * y + a * z, 1.0 - b * (x * x + z * z), b * y * z - a * x],
            [b * x * z - a * y, b * y * z + a * x, 1.0 - b * (x * x + y * y)],
        ]
    )


def _log(rotation: Array) -> Array:
    """As `log_so3`, and faster where the angle is below a right one."""
    cosine = 0.5 * (float(np.trace(rotation)) - 1.0)
    if cosine < 0.0:
        return log_so3(rotation)
    (_, r01, r02), (r10, _, r12), (r20, r21, _) = rotation.tolist()
    x, y, z = 0.5 * (r21 - r12), 0.5 * (r02 - r20), 0.5 * (r10 - r01)
    sine = math.sqrt(x * x + y * y + z * z)
    stretch = math.atan2(sine, cosine) / sine if sine > 1e-9 else 1.0
    return np.array([x * stretch, y * stretch, z * stretch])


def _orthonormal(rotation: Array) -> Array:
    """Takes the rounding off an almost orthonormal matrix: one step of Newton's method."""
    return np.asarray(rotation @ (1.5 * _EYE - 0.5 * rotation.T @ rotation))
