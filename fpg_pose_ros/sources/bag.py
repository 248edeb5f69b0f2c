# SPDX-License-Identifier: Apache-2.0
"""Frames from rosbags of ROS 1 and 2, read without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import CameraError, DatasetError
from fpg_pose_ros.geometry import Camera, CameraModel
from fpg_pose_ros.sources.frame import Frame

_BAG_SUFFIXES: Final = (".mcap", ".db3", ".bag")
_IMAGE: Final = "sensor_msgs/msg/Image"
_COMPRESSED: Final = "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO: Final = "sensor_msgs/msg/CameraInfo"
# Channels and OpenCV's conversion to RGB of the encodings that are read.
_ENCODINGS: Final[dict[str, tuple[int, int | None]]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
}


def is_bag(path: Path) -> bool:
    """Whether a path is a rosbag, by its name or, for a folder, by what lies in it."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file()
    return path.suffix.lower() in _BAG_SUFFIXES


def bag_frames(path: Path, camera: Camera | None, topic: str | None = None) -> Iterator[Frame]:
    """Yields the images of a rosbag with the CameraInfo that came last before each.

    Args:
        path: a ROS 2 bag (folder, .mcap or .db3) or a ROS 1 bag (.bag).
        camera: of all images, instead of what the bag says.
        topic: of the images; needed when the bag has several image topics.

    Raises:
        DatasetError: the bag cannot be read, has no image topic, or several and none was named.
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
        for connection, message, received_ns in messages:
            if connection.msgtype == _CAMERA_INFO:
                current = _camera(path, message)
                continue
            image = _image(path, message, connection.msgtype)
            stamp = message.header.stamp
            stamp_ns = int(stamp.sec) * 10**9 + int(stamp.nanosec) or int(received_ns)
            yield Frame(
                image,
                current,
                stamp_ns,
                name=f"{path.stem}_{stamp_ns}",
                frame_id=message.header.frame_id,
                received_ns=int(received_ns),
            )


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
    # ROS 1 writes the matrices' names in capitals.
    K = np.asarray(info.k if hasattr(info, "k") else info.K, dtype=np.float64).reshape(3, 3)
    distortion = np.asarray(info.d if hasattr(info, "d") else info.D, dtype=np.float64)
    model = info.distortion_model
    if not distortion.any() and model != "equidistant":
        model, distortion = "pinhole", np.zeros(0)
    if model not in get_args(CameraModel):
        raise CameraError(f"{path}: distortion model {model!r} is not known")
    if info.binning_x > 1 or info.binning_y > 1 or info.roi.width or info.roi.x_offset:
        raise CameraError(f"{path}: CameraInfo has binning or a region of interest; give a camera")
    try:
        return Camera(int(info.width), int(info.height), K, distortion, cast(CameraModel, model))
    except CameraError as error:
        raise CameraError(f"{path}: {error}") from None


def _image(path: Path, message: Any, kind: str) -> NDArray[np.uint8]:
    if kind == _COMPRESSED:
        data = np.frombuffer(message.data, dtype=np.uint8)
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if bgr is None:
            raise DatasetError(f"{path}: a compressed image ({message.format!r}) cannot be decoded")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    if message.encoding not in _ENCODINGS:
        known = ", ".join(_ENCODINGS)
        raise DatasetError(f"{path}: encoding {message.encoding!r} is not known; known are {known}")
    channels, conversion = _ENCODINGS[message.encoding]
    rows, step, used = int(message.height), int(message.step), int(message.width) * channels
    if rows == 0 or not 0 < used <= step or len(message.data) < rows * step:
        raise DatasetError(f"{path}: an image message contradicts itself; record it again")
    pixels = np.frombuffer(message.data, dtype=np.uint8, count=rows * step).reshape(rows, step)
    image = pixels[:, :used].reshape(rows, -1, channels)
    if conversion is None:
        return image.copy()
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), conversion), dtype=np.uint8)
