# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CameraInfo to `Camera`; a pure function that takes the message of any library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, cast, get_args

import numpy as np

from fpg_pose_ros.errors import CameraError, quoted
from fpg_pose_ros.geometry import Array, Camera, CameraModel

# Of the lens models that there are, rational_polynomial takes the most.
_MOST_COEFFICIENTS: Final = 14


class CameraInfoMessage(Protocol):
    """The fields of a sensor_msgs/CameraInfo that are read, as rclpy and rosbags have them."""

    height: int
    width: int
    distortion_model: str
    d: Sequence[float]
    k: Sequence[float]
    p: Sequence[float]
    binning_x: int
    binning_y: int
    roi: Any  # sensor_msgs/RegionOfInterest


def camera_from_info(info: CameraInfoMessage, *, rectified: bool = False) -> Camera:
    """Reads a CameraInfo as the camera of the images that come with it.

    Args:
        info: `k` with `d` describe the whole, raw image; its region of interest and binning are
            applied to them.
        rectified: the images are rectified, so that `p` describes them, without distortion.

    Raises:
        CameraError: not calibrated, or fields that contradict each other; the message names the
            field.
    """
    name = "p" if rectified else "k"
    K = (
        np.array(info.p, dtype=np.float64).reshape(3, 4)[:, :3]
        if rectified
        else np.array(info.k, dtype=np.float64).reshape(3, 3)
    )
    if not K.any():
        raise CameraError(
            f"camera_info is uncalibrated ({name} is all zeros): calibrate the camera"
        )
    K, width, height = _region_and_binning(info, K)
    if len(info.d) > _MOST_COEFFICIENTS:
        raise CameraError(
            f"camera_info d holds {len(info.d)} coefficients; no lens model takes more than "
            f"{_MOST_COEFFICIENTS}"
        )
    distortion = np.zeros(0) if rectified else np.array(info.d, dtype=np.float64)
    if not distortion.any() and info.distortion_model != "equidistant":
        return Camera(width, height, K)
    if info.distortion_model not in get_args(CameraModel):
        known = ", ".join(model for model in get_args(CameraModel) if model != "pinhole")
        raise CameraError(
            f"camera_info distortion_model {quoted(info.distortion_model)} is not supported; "
            f"known: {known}"
        )
    return Camera(width, height, K, distortion, cast(CameraModel, info.distortion_model))


def _region_and_binning(info: CameraInfoMessage, K: Array) -> tuple[Array, int, int]:
    """Intrinsics and size of the delivered image, from those of the whole sensor."""
    roi = info.roi
    x, y, width, height = roi.x_offset, roi.y_offset, roi.width, roi.height
    if width == 0 and height == 0 and x == 0 and y == 0:
        width, height = info.width, info.height
    elif width == 0 or height == 0 or x + width > info.width or y + height > info.height:
        raise CameraError(
            f"camera_info roi {width}x{height} at ({x}, {y}) is not inside "
            f"{info.width}x{info.height}"
        )
    bin_x, bin_y = max(1, info.binning_x), max(1, info.binning_y)
    scale = np.diag([1.0 / bin_x, 1.0 / bin_y, 1.0])
    # Pixels count from their centres: a binned pixel's centre lies in the middle of the pixels it
    # combines.
    scale[:2, 2] = 0.5 / bin_x - 0.5, 0.5 / bin_y - 0.5
    shift = np.eye(3)
    shift[:2, 2] = -x, -y
    return scale @ shift @ K, width // bin_x, height // bin_y
