# SPDX-License-Identifier: Apache-2.0
"""Frames from wherever images are kept: a file, a folder, a video, a BOP scene, a rosbag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.sources.bag import bag_frames, is_bag
from fpg_pose_ros.sources.calibration import camera_from_mapping, camera_to_mapping, read_camera
from fpg_pose_ros.sources.frame import Frame
from fpg_pose_ros.sources.pictures import (
    BOP_CAMERAS,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    bop_frames,
    folder_frames,
    image_frames,
    read_image,
    video_frames,
)

__all__ = [
    "Frame",
    "camera_from_mapping",
    "camera_to_mapping",
    "open_source",
    "read_camera",
    "read_image",
]


def open_source(
    path: str | Path,
    camera: Camera | None = None,
    *,
    topic: str | None = None,
    names: Mapping[int, str] | None = None,
) -> Iterator[Frame]:
    """Opens whatever holds images and yields them one by one.

    Args:
        path: an image, a folder of images, a video, a BOP scene folder, or a rosbag (a folder with
            metadata.yaml, or a .mcap, .db3 or .bag file).
        camera: of all images, instead of what the source says. Without it a camera.json or
            camera.yaml beside the images is used.
        topic: image topic of a bag that holds several.
        names: object names by number, for BOP scenes.

    Raises:
        DatasetError: the source cannot be read; the message names the file and the remedy.
        CameraError: a calibration cannot be used, or is for another image size.
    """
    place = Path(path)
    if not place.exists():
        raise DatasetError(f"{place}: there is no such file or folder")
    if is_bag(place):
        return bag_frames(place, camera, topic)
    if place.is_dir():
        if (place / BOP_CAMERAS).is_file():
            return bop_frames(place, names)
        return folder_frames(place, camera)
    suffix = place.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return image_frames(place, camera)
    if suffix in VIDEO_SUFFIXES:
        return video_frames(place, camera)
    known = ", ".join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, ".mcap", ".db3", ".bag"))
    raise DatasetError(f"{place}: {suffix or 'no suffix'} is not a known kind; give one of {known}")
