# SPDX-License-Identifier: Apache-2.0
"""`Camera` to sensor_msgs/CameraInfo, and which one belongs to an image; no node here."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from fpg_pose_ros.errors import CameraError, FpgPoseError, quoted
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.nodes.stamps import stamp_ns
from fpg_pose_ros.sources.camera_info import camera_from_info

# How many CameraInfo messages are kept for images that come later than theirs.
_KEPT: Final = 64


def camera_to_info(camera: Camera, header: Header) -> CameraInfo:
    """Makes the CameraInfo of raw images, with a rectification that keeps the camera matrix."""
    projection = np.zeros((3, 4))
    projection[:, :3] = camera.K
    plain = camera.model == "pinhole"
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob" if plain else camera.model,
        d=[0.0] * 5 if plain else camera.distortion.tolist(),
        k=camera.K.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=projection.ravel().tolist(),
    )


class NoCamera(FpgPoseError):
    """No CameraInfo fits an image (yet); the message says why."""


class CameraMatcher:
    """Finds the camera of an image among the CameraInfo messages that came.

    Args:
        match: "exact" accepts only the CameraInfo with the image's stamp; "latest" prefers it, and
            else takes the last one of the same frame and size.
        rectified: as `camera_from_info` takes it.
    """

    def __init__(self, match: Literal["latest", "exact"], *, rectified: bool = False) -> None:
        """Begins with no CameraInfo."""
        self._exact_only = match == "exact"
        self._rectified = rectified
        self._by_stamp: OrderedDict[int, CameraInfo] = OrderedDict()
        self._latest: CameraInfo | None = None
        self._converted: tuple[tuple[object, ...], Camera] | None = None

    def add(self, info: CameraInfo) -> None:
        """Takes a CameraInfo that arrived."""
        self._latest = info
        stamp = stamp_ns(info.header.stamp)
        self._by_stamp[stamp] = info
        # A recording that is played again brings stamps that are known already.
        self._by_stamp.move_to_end(stamp)
        if len(self._by_stamp) > _KEPT:
            self._by_stamp.popitem(last=False)

    def camera(self, header: Header, width: int, height: int) -> Camera:
        """Returns the camera of an image with this header and size (px).

        Raises:
            NoCamera: none fits, but one may come.
            CameraError: the one that fits cannot be used.
        """
        info = self._by_stamp.get(stamp_ns(header.stamp))
        if info is None or info.header.frame_id != header.frame_id:
            info = None if self._exact_only else self._latest
        if info is None:
            wanted = " with the image's stamp" if self._exact_only and self._latest else ""
            raise NoCamera(f"no camera_info{wanted} has come")
        if info.header.frame_id != header.frame_id:
            raise NoCamera(
                f"camera_info is of frame {quoted(info.header.frame_id)}, "
                f"the image of {quoted(header.frame_id)}"
            )
        camera = self._convert(info)
        if (camera.width, camera.height) != (width, height):
            raise CameraError(
                f"camera_info describes images of {camera.width}x{camera.height} pixels, "
                f"the image has {width}x{height}"
            )
        return camera

    def _convert(self, info: CameraInfo) -> Camera:
        """Converts, or returns the last result when nothing but the stamp has changed."""
        key = (
            info.width,
            info.height,
            info.distortion_model,
            info.binning_x,
            info.binning_y,
            info.roi,
            *info.d,
            *info.k,
            *info.p,
        )
        if self._converted is None or self._converted[0] != key:
            self._converted = key, camera_from_info(info, rectified=self._rectified)
        return self._converted[1]
