# SPDX-License-Identifier: Apache-2.0
"""The kinds of image messages that a camera may publish, and how each is read; pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from fpg_pose_ros.sources.compressed_images import compressed_size, compressed_to_rgb
from fpg_pose_ros.sources.images import check_size, image_to_rgb


class ImageTransport(NamedTuple):
    """How images come.

    Attributes:
        message_type: of the topic.
        suffix: what image_transport adds to the name of the raw images' topic.
        size: width and height (px) of a message, before it is decoded.
        to_rgb: decodes a message to RGB (H, W, 3) uint8.

    `size` and `to_rgb` raise ImageError for a message that cannot be read.
    """

    message_type: type[Any]
    suffix: str
    size: Callable[[Any], tuple[int, int]]
    to_rgb: Callable[[Any], NDArray[np.uint8]]


def _size(message: Image) -> tuple[int, int]:
    check_size(message.width, message.height)
    return message.width, message.height


TRANSPORTS: Final = {
    "raw": ImageTransport(Image, "", _size, image_to_rgb),
    "compressed": ImageTransport(
        CompressedImage, "/compressed", compressed_size, compressed_to_rgb
    ),
}
