# SPDX-License-Identifier: Apache-2.0
"""Arrays to sensor_msgs/Image, a pure function; `fpg_pose_ros.sources.images` is the way back."""

from __future__ import annotations

import math
import sys
from array import array
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fpg_pose_ros.sources.images import ImageError

_FROM_RGB: Final[dict[str, int | None]] = {
    "rgb8": None,
    "bgr8": cv2.COLOR_RGB2BGR,
    "rgba8": cv2.COLOR_RGB2RGBA,
    "bgra8": cv2.COLOR_RGB2BGRA,
    "mono8": cv2.COLOR_RGB2GRAY,
}


def rgb_to_image(image: NDArray[np.uint8], header: Header, encoding: str = "rgb8") -> Image:
    """Makes an Image from RGB (H, W, 3) uint8.

    Raises:
        ImageError: the encoding cannot be written.
    """
    if encoding not in _FROM_RGB:
        raise ImageError(
            f"image encoding {encoding!r} cannot be written; use one of: {', '.join(_FROM_RGB)}"
        )
    conversion = _FROM_RGB[encoding]
    if conversion is not None:
        image = np.asarray(cv2.cvtColor(image, conversion), dtype=np.uint8)
    message = Image(
        header=header,
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=sys.byteorder == "big",
        step=math.prod(image.shape[1:]),
    )
    # The setter takes over an array('B') as it is; from a list or an ndarray it would look at every
    # byte.
    message.data = array("B", image.tobytes())
    return message
