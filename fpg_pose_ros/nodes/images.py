# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image to arrays and back; pure functions."""

from __future__ import annotations

import sys
from array import array
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fpg_pose_ros.errors import FpgPoseError

# Nothing larger is looked at: a message that claims more is broken or hostile.
MAX_PIXELS: Final = 64_000_000


class ImageError(FpgPoseError):
    """An image message that cannot be read; the message names the field."""


class _Layout(NamedTuple):
    channels: int
    bytes_per_channel: int
    to_rgb: int | None  # OpenCV's colour conversion; None where the bytes are RGB already
    from_rgb: int | None


_LAYOUTS: Final[dict[str, _Layout]] = {
    "rgb8": _Layout(3, 1, None, None),
    "bgr8": _Layout(3, 1, cv2.COLOR_BGR2RGB, cv2.COLOR_RGB2BGR),
    "rgba8": _Layout(4, 1, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGB2RGBA),
    "bgra8": _Layout(4, 1, cv2.COLOR_BGRA2RGB, cv2.COLOR_RGB2BGRA),
    "mono8": _Layout(1, 1, cv2.COLOR_GRAY2RGB, cv2.COLOR_RGB2GRAY),
    "mono16": _Layout(1, 2, cv2.COLOR_GRAY2RGB, cv2.COLOR_RGB2GRAY),
}
# OpenCV type names, which some cameras use, for the layouts they can only mean.
_ALIASES: Final[dict[str, str]] = {"8UC3": "bgr8", "8UC4": "bgra8", "8UC1": "mono8"}


def image_to_rgb(message: Image) -> NDArray[np.uint8]:
    """Reads an Image as RGB (H, W, 3) uint8.

    rgb8 is not copied: the array is a read-only view of the message's bytes, row padding skipped.

    Raises:
        ImageError: the encoding is not known, or the fields contradict each other.
    """
    encoding = _ALIASES.get(message.encoding, message.encoding)
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise ImageError(
            f"image encoding {message.encoding!r} is not supported; "
            f"convert to one of: {', '.join(_LAYOUTS)}"
        )
    rows, columns, step = message.height, message.width, message.step
    if rows == 0 or columns == 0:
        raise ImageError(f"image is {columns}x{rows} pixels; it must not be empty")
    if rows * columns > MAX_PIXELS:
        raise ImageError(f"image is {columns}x{rows} pixels; more than {MAX_PIXELS} is refused")
    row_bytes = columns * layout.channels * layout.bytes_per_channel
    if step < row_bytes:
        raise ImageError(
            f"image step is {step}; {columns} {encoding} pixels take at least {row_bytes} bytes"
        )
    # The padding of the last row may be missing.
    needed = step * (rows - 1) + row_bytes
    if len(message.data) < needed:
        raise ImageError(
            f"image data holds {len(message.data)} bytes; {rows} rows of step {step} take {needed}"
        )
    data = np.frombuffer(message.data, dtype=np.uint8, count=needed)
    pixels = np.lib.stride_tricks.as_strided(data, (rows, row_bytes), (step, 1), writeable=False)
    if layout.bytes_per_channel == 2:
        # The more significant byte of each pixel is the 8-bit image.
        pixels = pixels[:, 0::2] if message.is_bigendian else pixels[:, 1::2]
    if layout.channels > 1:
        shape, strides = (rows, columns, layout.channels), (step, layout.channels, 1)
        pixels = np.lib.stride_tricks.as_strided(data, shape, strides, writeable=False)
    if layout.to_rgb is None:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, layout.to_rgb), dtype=np.uint8)


def rgb_to_image(image: NDArray[np.uint8], header: Header, encoding: str = "rgb8") -> Image:
    """Makes an Image from RGB (H, W, 3) uint8.

    Raises:
        ImageError: the encoding is not known.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None or layout.bytes_per_channel != 1:
        raise ImageError(f"image encoding {encoding!r} cannot be written")
    if layout.from_rgb is not None:
        image = np.asarray(cv2.cvtColor(image, layout.from_rgb), dtype=np.uint8)
    message = Image(
        header=header,
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=sys.byteorder == "big",
        step=image.shape[1] * layout.channels,
    )
    # The setter takes over an array('B') as it is; from a list or an ndarray it would look at every
    # byte.
    message.data = array("B", image.tobytes())
    return message
