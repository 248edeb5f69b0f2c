# SPDX-License-Identifier: Apache-2.0
"""One object to be found in one image: the truth, what was said, and what was wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import Array, Camera, invert
from offline_search.metrics.causes import Cause, cause
from offline_search.metrics.pose_error import add, adi, re, te
from offline_search.metrics.scores import ObjectGeometry, match, stack_poses

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """From where an object is seen.

    Attributes:
        elevation_deg: of the camera over the object's horizon.
        azimuth_deg: of the camera about what is upwards, -180 to 180.
        distance_m: of the object's origin.
    """

    elevation_deg: float
    azimuth_deg: float
    distance_m: float


@dataclass(frozen=True, eq=False)
class Case:
    """See the module.

    Attributes:
        label: of the image, for people.
        object_name: what had to be found.
        camera: of the image.
        read: the image (H, W, 3), RGB.
        truth: (4, 4) T_camera_object, m.
        visible: share of the object that is to be seen, 0 to 1; NaN where it is not known.
        viewpoint: from where the object is seen.
        estimate: what was said of it; None for a miss.
        add_d: ADD(-S) over the diameter; infinity for a miss.
        rotation_deg, translation_mm: errors; NaN for a miss.
        along_mm: the part of the translation that lies along the line of sight, signed; positive
            is too far.
        cause: what is wrong.
    """

    label: str
    object_name: str
    camera: Camera
    read: Callable[[], Image]
    truth: Array
    visible: float
    viewpoint: Viewpoint
    estimate: PoseEstimate | None
    add_d: float
    rotation_deg: float
    translation_mm: float
    along_mm: float
    cause: Cause

    @property
    def right(self) -> bool:
        """Whether ADD(-S) is below a tenth of the diameter."""
        return self.cause is Cause.RIGHT


def viewpoint(T_camera_object: Array, up: Array) -> Viewpoint:
    """From where an object is seen.

    Args:
        T_camera_object: (4, 4), m.
        up: (3,) what points upwards in the object's frame.
    """
    eye = invert(T_camera_object)[:3, 3]
    upwards = up / np.linalg.norm(up)
    side = np.cross(upwards, np.eye(3)[np.argmin(np.abs(upwards))])
    side /= np.linalg.norm(side)
    height = float(upwards @ eye)
    x, y = float(side @ eye), float(np.cross(upwards, side) @ eye)
    return Viewpoint(
        elevation_deg=float(np.degrees(np.arctan2(height, np.hypot(x, y)))),
        azimuth_deg=float(np.degrees(np.arctan2(y, x))),
        distance_m=float(np.linalg.norm(eye)),
    )


def cases_of(
    label: str,
    camera: Camera,
    read: Callable[[], Image],
    found: Sequence[PoseEstimate],
    truth: Array,
    visible: Array,
    geometry: ObjectGeometry,
    *,
    name: str,
    up: Array,
) -> list[Case]:
    """One case for each instance of an object in an image.

    Args:
        label: of the image.
        camera: of the image.
        read: reads the image.
        found: estimates of the object, best score first; as many as there are instances count.
        truth: (G, 4, 4) the instances.
        visible: (G,) shares that are to be seen; NaN where they are not known.
        geometry: of the object.
        name: of the object.
        up: (3,) what points upwards in the object's frame.
    """
    kept = found[: len(truth)]
    poses = stack_poses([one.T_camera_object for one in kept])
    distance = adi if geometry.symmetric else add
    table = distance(poses[:, None], truth[None], geometry.points) / geometry.diameter
    said = {int(column): row for row, column in enumerate(match(table))}
    cases = []
    for column, T in enumerate(truth):
        estimate = kept[said[column]] if column in said else None
        pose = None if estimate is None else estimate.T_camera_object
        errors = _errors(pose, T, geometry)
        cases.append(
            Case(
                label=label,
                object_name=name,
                camera=camera,
                read=read,
                truth=T,
                visible=float(visible[column]),
                viewpoint=viewpoint(T, up),
                estimate=estimate,
                add_d=float(table[said[column], column]) if column in said else float("inf"),
                rotation_deg=errors[0],
                translation_mm=errors[1],
                along_mm=errors[2],
                cause=cause(pose, T, geometry, float(visible[column])),
            )
        )
    return cases


def _errors(
    pose: Array | None, truth: Array, geometry: ObjectGeometry
) -> tuple[float, float, float]:
    if pose is None:
        return float("nan"), float("nan"), float("nan")
    ray = truth[:3, 3] / np.linalg.norm(truth[:3, 3])
    return (
        float(np.degrees(re(pose, truth, geometry.symmetries))),
        1e3 * float(te(pose, truth)),
        1e3 * float(ray @ (pose[:3, 3] - truth[:3, 3])),
    )
