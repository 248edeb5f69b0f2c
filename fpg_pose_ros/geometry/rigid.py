# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms and rotations: arrays in, arrays out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from transforms3d.quaternions import quat2mat

from fpg_pose_ros.geometry.types import Array


def make_transform(rotation: ArrayLike, translation: ArrayLike) -> Array:
    """Builds a 4x4 transform from a 3x3 rotation and a translation of 3 values (m)."""
    result = np.zeros((4, 4))
    result[:3, :3] = rotation
    result[:3, 3] = np.asarray(translation, dtype=np.float64).reshape(3)
    result[3, 3] = 1.0
    return result


def transform(T_a_b: ArrayLike, points_b: ArrayLike) -> Array:
    """Maps points (N, 3) of frame b into frame a; transforms (..., 4, 4) give (..., N, 3)."""
    matrix = np.asarray(T_a_b, dtype=np.float64)
    points = np.asarray(points_b, dtype=np.float64)
    mapped: Array = points @ np.swapaxes(matrix[..., :3, :3], -1, -2) + matrix[..., None, :3, 3]
    return mapped


def invert(T_a_b: ArrayLike) -> Array:
    """Returns T_b_a of rigid transforms (..., 4, 4)."""
    matrix = np.asarray(T_a_b, dtype=np.float64)
    rotation = np.swapaxes(matrix[..., :3, :3], -1, -2)
    result = np.zeros_like(matrix)
    result[..., :3, :3] = rotation
    result[..., :3, 3] = -(rotation @ matrix[..., :3, 3:])[..., 0]
    result[..., 3, 3] = 1.0
    return result


def compose(*transforms: ArrayLike) -> Array:
    """Chains transforms: T_a_b and T_b_c give T_a_c; none give the identity."""
    result = np.eye(4)
    for matrix in transforms:
        result = result @ np.asarray(matrix, dtype=np.float64)
    return result


def skew(vector: ArrayLike) -> Array:
    """Returns the matrices (..., 3, 3) that take the cross product with vectors (..., 3)."""
    v = np.asarray(vector, dtype=np.float64)
    result = np.zeros((*v.shape, 3))
    result[..., 0, 1], result[..., 0, 2], result[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    result[..., 1, 0], result[..., 2, 0], result[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return result


def exp_so3(rotation_vector: ArrayLike) -> Array:
    """Returns the 3x3 rotation about a vector of 3 by its length (rad): Rodrigues' formula."""
    # Plain numbers: NumPy takes longer for each call than for all the arithmetic.
    x, y, z = np.asarray(rotation_vector, dtype=np.float64).reshape(3).tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    sine, versine = 1.0, 0.5  # the series; its next term is below double precision
    if not angle < 1e-6:
        sine = math.sin(angle) / angle
        versine = 2.0 * (math.sin(0.5 * angle) / angle) ** 2
    xy, xz, yz = versine * x * y, versine * x * z, versine * y * z
    return np.array(
        [
            [1.0 - versine * (y * y + z * z), xy - sine * z, xz + sine * y],
            [xy + sine * z, 1.0 - versine * (x * x + z * z), yz - sine * x],
            [xz - sine * y, yz + sine * x, 1.0 - versine * (x * x + y * y)],
        ]
    )


def log_so3(rotation: ArrayLike) -> Array:
    """Returns the rotation vector (3,), 0 to pi long, of a 3x3 rotation: undoes `exp_so3`."""
    w, *xyz = quaternion_wxyz(rotation)
    vector = np.array(xyz)
    length = float(np.linalg.norm(vector))
    if length < 1e-12:
        return 2.0 * vector
    return np.asarray(vector * (2.0 * np.arctan2(length, w) / length), dtype=np.float64)


def rotation_angle(R_a: ArrayLike, R_b: ArrayLike) -> float:
    """Returns the angle (rad, 0 to pi) between two 3x3 rotations, exact for small angles too."""
    squared = float(np.sum((np.asarray(R_a, np.float64) - np.asarray(R_b, np.float64)) ** 2))
    return float(2.0 * np.arctan2(np.sqrt(squared), np.sqrt(max(8.0 - squared, 0.0))))


def quaternion_wxyz(rotation: ArrayLike) -> Array:
    """Returns the unit quaternion (4,), scalar first and not negative, of a 3x3 rotation."""
    # Shepperd's method (J. Guidance and Control 1, 1978): the largest of the four is a root, the
    # others are quotients by it. In plain numbers, since there are few.
    (a, b, c), (d, e, f), (g, h, i) = np.asarray(rotation, dtype=np.float64).tolist()
    squares = 1.0 + a + e + i, 1.0 + a - e - i, 1.0 - a + e - i, 1.0 - a - e + i
    largest = max(squares)
    if largest == squares[0]:
        parts = largest, h - f, c - g, d - b
    elif largest == squares[1]:
        parts = h - f, largest, d + b, c + g
    elif largest == squares[2]:
        parts = c - g, d + b, largest, h + f
    else:
        parts = d - b, c + g, h + f, largest
    w, x, y, z = parts
    length = math.copysign(math.sqrt(w * w + x * x + y * y + z * z), w)
    return np.array([w / length, x / length, y / length, z / length])


def rotation_from_quaternion_wxyz(quaternion: ArrayLike) -> Array:
    """Returns the 3x3 rotation of a quaternion (4,), scalar first, of any non-zero length."""
    return np.asarray(quat2mat(np.asarray(quaternion, dtype=np.float64).reshape(4)), np.float64)


def nearest_rotation(matrix: ArrayLike) -> Array:
    """Returns the rotation nearest (Frobenius) to a 3x3 matrix, by SVD."""
    u, _, vt = np.linalg.svd(np.asarray(matrix, dtype=np.float64))
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt, dtype=np.float64)
