# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CompressedImage (JPEG, PNG) to arrays; pure functions.

What a file claims is looked at before anything is decoded, so that a small message cannot ask for
much memory or time.
"""

from __future__ import annotations

import struct
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import quoted
from fpg_pose_ros.sources.images import ImageError, check_size

_JPEG: Final = b"\xff\xd8\xff"
_JPEG_END: Final = b"\xff\xd9"
_JPEG_SCAN: Final = b"\xff\xda"
# Markers of a JPEG frame, which hold its size: all of 0xC0..0xCF but those of tables.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length after them.
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
# A progressive JPEG has about ten; each one passes over the whole image.
_MAX_SCANS: Final = 64
_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
_PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"
# Orientations in a file's metadata are a viewer's matter: camera_info describes what the lens saw.
_DECODING: Final = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


class CompressedMessage(Protocol):
    """The fields of a sensor_msgs/CompressedImage, as rclpy and rosbags have them."""

    format: str
    data: Any  # a buffer of bytes with `tobytes`


def compressed_size(message: CompressedMessage) -> tuple[int, int]:
    """Reads width and height (px) from a compressed image's header.

    Raises:
        ImageError: neither JPEG nor PNG, an empty or too large image, a damaged header, data that
            ends too early, or a JPEG with so many scans that it is meant to take long.
    """
    data: bytes = message.data.tobytes()
    if data.startswith(_JPEG):
        size = _jpeg_size(data)
    elif data.startswith(_PNG) and len(data) >= len(_PNG) + 8:
        size = struct.unpack_from(">II", data, len(_PNG))
    else:
        raise ImageError(
            f"compressed image of format {quoted(message.format)} is neither JPEG nor PNG: "
            "set the camera to one of these, or image_transport to raw"
        )
    check_size(*size)
    # Some cameras fill up a JPEG with zeros.
    complete = data.rstrip(b"\x00").endswith(_JPEG_END) or data.endswith(_PNG_END)
    if not complete:
        raise ImageError(f"compressed image of {len(data)} bytes ends too early")
    if data.startswith(_JPEG) and data.count(_JPEG_SCAN) > _MAX_SCANS:
        raise ImageError(f"compressed image has more than {_MAX_SCANS} JPEG scans")
    return size


def compressed_to_rgb(message: CompressedMessage) -> NDArray[np.uint8]:
    """Decodes a compressed image as RGB (H, W, 3) uint8.

    Raises:
        ImageError: as `compressed_size`, or damaged data.
    """
    width, height = compressed_size(message)
    try:
        image = cv2.imdecode(np.frombuffer(message.data, dtype=np.uint8), _DECODING)
    except cv2.error as error:
        raise ImageError(f"compressed image is damaged: {error.err}") from None
    if image is None or image.shape != (height, width, 3):
        raise ImageError("compressed image is damaged")
    # OpenCV gives what the file calls blue, green, red. image_transport notes in the format, after
    # "compressed", when an encoder was given RGB in their place.
    if "compressed rgb" in message.format:
        return np.asarray(image, dtype=np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walks over a JPEG's segments to that of its frame."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # a filler
            place += 1
        elif marker in _JPEG_BARE:
            place += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        else:
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    raise ImageError("compressed image is a JPEG without a size")
