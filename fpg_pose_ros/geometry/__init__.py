# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms, cameras, crops and symmetries: arrays in, arrays out.

Conventions, here and everywhere: `T_a_b` is the 4x4 matrix that maps points of frame b into
frame a; the camera looks along +z, x to the right, y down; pixel (0, 0) is the *centre* of the
top-left pixel; metres and radians.
"""

from __future__ import annotations

from fpg_pose_ros.geometry.camera import Camera, CameraModel
from fpg_pose_ros.geometry.crop import CropBox, apply_affine, invert_affine
from fpg_pose_ros.geometry.rigid import (
    compose,
    exp_so3,
    invert,
    log_so3,
    make_transform,
    nearest_rotation,
    quaternion_wxyz,
    rotation_angle,
    rotation_from_quaternion_wxyz,
    skew,
    transform,
)
from fpg_pose_ros.geometry.symmetries import Symmetries
from fpg_pose_ros.geometry.types import Array

__all__ = [
    "Array",
    "Camera",
    "CameraModel",
    "CropBox",
    "Symmetries",
    "apply_affine",
    "compose",
    "exp_so3",
    "invert",
    "invert_affine",
    "log_so3",
    "make_transform",
    "nearest_rotation",
    "quaternion_wxyz",
    "rotation_angle",
    "rotation_from_quaternion_wxyz",
    "skew",
    "transform",
]
