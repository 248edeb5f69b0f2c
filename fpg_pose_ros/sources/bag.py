# SPDX-License-Identifier: Apache-2.0
"""Frames from rosbags of ROS 1 and 2, read without ROS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import CameraError, DatasetError
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.sources.camera_info import camera_from_info
from fpg_pose_ros.sources.compressed_images import compressed_to_rgb
from fpg_pose_ros.sources.frame import Frame
from fpg_pose_ros.sources.images import ImageError, image_to_rgb

_BAG_SUFFIXES: Final = (".mcap", ".db3", ".bag")
_IMAGE: Final = "sensor_msgs/msg/Image"
_COMPRESSED: Final = "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO: Final = "sensor_msgs/msg/CameraInfo"
_log = logging.getLogger(__name__)


def is_bag(path: Path) -> bool:
    """Whether a path is a rosbag, by its name or, for a folder, by what lies in it."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file()
    return path.suffix.lower() in _BAG_SUFFIXES


def bag_frames(path: Path, camera: Camera | None, topic: str | None = None) -> Iterator[Frame]:
    """Yields the images of a rosbag with the CameraInfo that came last before each.

    An image that is damaged, or of an encoding that is not understood, is left out: its neighbours
    are as good as before. The first one is logged as it comes, and their number at the end.

    Args:
        path: a ROS 2 bag (folder, .mcap or .db3) or a ROS 1 bag (.bag).
        camera: of all images, instead of what the bag says.
        topic: of the images; needed when the bag has several image topics.

    Raises:
        DatasetError: the bag cannot be read, has no image topic, or several and none was named, or
            none of its images can be read.
        CameraError: its CameraInfo cannot be used.
    """
    # Imported here: a robot that reads no bags needs no reader.
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    try:
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
        reader.open()
    except Exception as error:  # each storage format has errors of its own
        raise DatasetError(f"{path} cannot be read as a rosbag ({error}); is it whole?") from None
    with closing(reader):
        images = _image_connections(path, reader.connections, topic)
        infos = [] if camera else _info_connections(reader.connections, images[0].topic)
        messages = _messages(path, reader, [*images, *infos])
        # A camera that comes after the first image still is that image's camera.
        first = next(_messages(path, reader, infos), None) if infos else None
        current = camera or (_camera(path, first[1]) if first else None)
        read, unreadable, why = 0, 0, ""
        for connection, message, received_ns in messages:
            if connection.msgtype == _CAMERA_INFO:
                current = _camera(path, message)
                continue
            stamp = message.header.stamp
            stamp_ns = int(stamp.sec) * 10**9 + int(stamp.nanosec) or int(received_ns)
            try:
                image = _image(message, connection.msgtype)
            except ImageError as error:
                unreadable, why = unreadable + 1, str(error)
                if unreadable == 1:
                    _log.warning("%s: the image of %d ns is left out: %s", path, stamp_ns, why)
                continue
            read += 1
            yield Frame(
                image,
                current,
                stamp_ns,
                name=f"{path.stem}_{stamp_ns}",
                frame_id=message.header.frame_id,
                received_ns=int(received_ns),
            )
        if unreadable and not read:
            raise DatasetError(f"{path}: none of its {unreadable} images can be read: {why}")
        if unreadable > 1:
            _log.warning("%s: %d images were left out, the last: %s", path, unreadable, why)


def _messages(path: Path, reader: Any, connections: list[Any]) -> Iterator[tuple[Any, Any, int]]:
    """Yields (connection, message, time of reception in ns)."""
    try:
        for connection, received_ns, data in reader.messages(connections=connections):
            yield connection, reader.deserialize(data, connection.msgtype), received_ns
    except (DatasetError, CameraError, GeneratorExit):
        raise
    except Exception as error:  # each storage format has errors of its own
        raise DatasetError(f"{path} is damaged ({error}); record it again") from None


def _image_connections(path: Path, connections: list[Any], topic: str | None) -> list[Any]:
    images = [c for c in connections if c.msgtype in (_IMAGE, _COMPRESSED)]
    topics = sorted({connection.topic for connection in images})
    if topic is None and len(topics) == 1:
        return images
    if topic in topics:
        return [connection for connection in images if connection.topic == topic]
    if not topics:
        raise DatasetError(f"{path} has no topic of type {_IMAGE} or {_COMPRESSED}")
    raise DatasetError(f"{path}: name the image topic, one of {', '.join(topics)}")


def _info_connections(connections: list[Any], image_topic: str) -> list[Any]:
    """CameraInfo of the image's camera by ROS's naming; else the only one there is."""
    infos = [c for c in connections if c.msgtype == _CAMERA_INFO]
    base = image_topic.removesuffix("/compressed").rsplit("/", 1)[0]
    own = [connection for connection in infos if connection.topic == f"{base}/camera_info"]
    return own or (infos if len({c.topic for c in infos}) == 1 else [])


def _camera(path: Path, info: Any) -> Camera:
    if not hasattr(info, "k"):  # ROS 1 writes the matrices' names in capitals
        info = SimpleNamespace(**{name.lower(): value for name, value in vars(info).items()})
    try:
        return camera_from_info(info)
    except CameraError as error:
        raise CameraError(f"{path}: {error}") from None


def _image(message: Any, kind: str) -> NDArray[np.uint8]:
    image = compressed_to_rgb(message) if kind == _COMPRESSED else image_to_rgb(message)
    # Not a view of the bag's bytes, which would keep a whole chunk of it.
    return np.require(image, requirements=["C", "O", "W"])
