# SPDX-License-Identifier: Apache-2.0
"""Random cameras and poses: what a camera at arm's length may see of an object."""

from __future__ import annotations

from typing import Final

import numpy as np

from fpg_pose_ros.geometry import (
    Array,
    Symmetries,
    exp_so3,
    invert,
    make_transform,
    rotation_from_quaternion_wxyz,
)
from offline_search.data import variety
from offline_search.data.objects import Views

#: The image that training imagines around its crops.
IMAGE_SIZE: Final = (640, 480)
_FOCAL: Final = (480.0, 760.0)  # px at 640 px width: fields of view of 67 to 46 degrees
# Views are compared with this one to choose among symmetric poses; no object's axis.
_REFERENCE: Final = np.array([0.48, 0.36, 0.80])
_VIEW_MARGIN_DEG: Final = 5.0
_DISTANCE_MARGIN: Final = 1.08


def random_camera(rng: np.random.Generator) -> Array:
    """Returns K (3, 3) of a 640x480 camera of some focal length and centre; pixels are square."""
    width, height = IMAGE_SIZE
    focal = rng.uniform(*_FOCAL)
    centre = np.array([(width - 1) / 2, (height - 1) / 2]) + rng.uniform(-12.0, 12.0, 2)
    return np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])


def random_rotation(rng: np.random.Generator) -> Array:
    """Returns a rotation (3, 3), evenly distributed over SO(3)."""
    return rotation_from_quaternion_wxyz(rng.normal(size=4))


def random_direction(rng: np.random.Generator) -> Array:
    """Returns a unit vector (3,), evenly distributed over the sphere."""
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def random_pose(rng: np.random.Generator, views: Views, K: Array, size: float) -> Array:
    """Returns T_camera_object (4, 4): a view that `views` allows, anywhere in the image.

    Args:
        rng: source of randomness.
        views: what occurs; limits get a margin: 5 degrees, and 8 % of the distance.
        K: intrinsics of a 640x480 camera.
        size: the object's diameter, m: it stays inside the image for the most part.
    """
    width, height = IMAGE_SIZE
    near, far = views.distance_m
    distance = rng.uniform(near / _DISTANCE_MARGIN, far * _DISTANCE_MARGIN)
    inset = np.minimum(0.4 * size * K[0, 0] / distance, [0.48 * width, 0.48 * height])
    pixel = rng.uniform(inset, [width - 1 - inset[0], height - 1 - inset[1]])
    ray = np.linalg.inv(K) @ np.array([pixel[0], pixel[1], 1.0])
    ray /= np.linalg.norm(ray)
    if views.elevation_deg is None and views.roll_deg is None:
        rotation = random_rotation(rng)
    else:
        rotation = _limited_rotation(rng, views, ray)
    return make_transform(rotation, ray * distance)


def _limited_rotation(rng: np.random.Generator, views: Views, ray: Array) -> Array:
    """Returns a rotation within the limits of `views`, even over what they leave of the sphere."""
    low, high = views.elevation_deg or (-90.0, 90.0)
    low, high = max(low - _VIEW_MARGIN_DEG, -90.0), min(high + _VIEW_MARGIN_DEG, 90.0)
    elevation = np.arcsin(rng.uniform(np.sin(np.radians(low)), np.sin(np.radians(high))))
    azimuth = rng.uniform(-np.pi, np.pi)
    roll = rng.uniform(*roll_range(views))
    return view_rotation(views, ray, azimuth, float(elevation), float(roll))


def view_rotation(views: Views, ray: Array, azimuth: float, elevation: float, roll: float) -> Array:
    """Returns the rotation (3, 3), object to camera, of an object seen from a given side.

    Args:
        views: says what points upwards.
        ray: (3,) unit line of sight, camera frame; elevation and roll are meant about it.
        azimuth: of the camera around the object's `up`, rad.
        elevation: of the camera over the object's horizon, rad.
        roll: of the camera, rad; 0 = the object is upright in the image.
    """
    up = np.asarray(views.up) / np.linalg.norm(views.up)
    side = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    side /= np.linalg.norm(side)
    R_upright_object = np.stack([side, np.cross(up, side), up])
    level = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    forward = -(np.cos(elevation) * level + np.array([0.0, 0.0, np.sin(elevation)]))
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    R_view_upright = np.stack([right, np.cross(forward, right), forward])
    turned = exp_so3([0.0, 0.0, roll]) @ R_view_upright @ R_upright_object
    return np.asarray(look_along(ray) @ turned, dtype=np.float64)


def look_along(ray: Array) -> Array:
    """Returns the smallest rotation (3, 3) that takes +z to a unit ray (3,)."""
    x, y, z = ray
    factor = 1.0 / (1.0 + z)
    return np.array(
        [
            [1.0 - factor * x * x, -factor * x * y, x],
            [-factor * x * y, 1.0 - factor * y * y, y],
            [-x, -y, z],
        ]
    )


def roll_range(views: Views) -> tuple[float, float]:
    """Returns the rolls (rad) that are trained: those that occur, with the margin."""
    low, high = views.roll_deg or (-180.0, 180.0)
    low, high = max(low - _VIEW_MARGIN_DEG, -180.0), min(high + _VIEW_MARGIN_DEG, 180.0)
    return float(np.radians(low)), float(np.radians(high))


def roll_of(T_camera_object: Array, views: Views) -> float:
    """Returns the camera's roll (rad, 0 = the object's `up` is upwards) about the line of sight."""
    ray = T_camera_object[:3, 3] / np.linalg.norm(T_camera_object[:3, 3])
    up = look_along(ray).T @ T_camera_object[:3, :3] @ np.asarray(views.up)
    return float(np.arctan2(up[0], -up[1]))


def canonical_pose(T_camera_object: Array, symmetries: Symmetries) -> Array:
    """Returns the one among symmetric poses that a network is taught.

    Which one depends on the direction of view in the object's frame alone, so turning the
    picture turns the labels along with it.
    """
    if not symmetries:
        return T_camera_object
    poses = T_camera_object @ symmetries.transforms(steps=360)
    eyes = invert(poses)[:, :3, 3]
    return np.asarray(poses[int(np.argmax(eyes @ _REFERENCE))], dtype=np.float64)


def random_up(rng: np.random.Generator, views: Views, T_camera_object: Array) -> Array:
    """Returns a unit vector (3,) upwards, camera frame: the object's where its views are limited.

    Else the camera looks down on a table on which the object lies in whatever way it does.
    """
    if views.elevation_deg is not None or views.roll_deg is not None:
        up = T_camera_object[:3, :3] @ np.asarray(views.up)
        return np.asarray(up / np.linalg.norm(up), dtype=np.float64)
    ray = T_camera_object[:3, 3] / np.linalg.norm(T_camera_object[:3, 3])
    height = np.sin(np.radians(rng.uniform(*variety.TABLE_ELEVATION_DEG)))
    aside = np.cross(ray, random_direction(rng))
    aside /= np.linalg.norm(aside)
    return np.asarray(np.sqrt(1.0 - height**2) * aside - height * ray, dtype=np.float64)
