# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image to arrays; pure functions that take the message of any library."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import FpgPoseError, quoted

# Nothing larger is looked at: a message that claims more is broken or hostile.
MAX_PIXELS: Final = 64_000_000
# OpenCV warps no larger ones.
MAX_SIDE: Final = 2**15 - 2


class ImageError(FpgPoseError):
    """An image message that cannot be read; the message names the field."""


class ImageMessage(Protocol):
    """The fields of a sensor_msgs/Image, as rclpy and rosbags have them."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any  # a buffer of bytes with a length


class _Layout(NamedTuple):
    channels: int
    bytes_per_channel: int
    to_rgb: int | None  # OpenCV's colour conversion; None where the bytes are RGB already
    # Width and height must be multiples of these, since pixels share their colour.
    shared: tuple[int, int] = (1, 1)
    # A plane of colour follows the plane of brightness, half as many rows of the same step.
    colour_plane: bool = False


# OpenCV names a Bayer pattern by the two pixels that follow the upper left one diagonally, so its
# BG is ROS's rggb. YUV is that of ITU-R BT.601, from 16 to 235, as cv_bridge takes it.
_LAYOUTS: Final[dict[str, _Layout]] = {
    "rgb8": _Layout(3, 1, None),
    "bgr8": _Layout(3, 1, cv2.COLOR_BGR2RGB),
    "rgba8": _Layout(4, 1, cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, 1, cv2.COLOR_BGRA2RGB),
    "mono8": _Layout(1, 1, cv2.COLOR_GRAY2RGB),
    "mono16": _Layout(1, 2, cv2.COLOR_GRAY2RGB),
    "bayer_rggb8": _Layout(1, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _Layout(1, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _Layout(1, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _Layout(1, 1, cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": _Layout(1, 2, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": _Layout(1, 2, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": _Layout(1, 2, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": _Layout(1, 2, cv2.COLOR_BayerGB2RGB),
    "yuv422": _Layout(2, 1, cv2.COLOR_YUV2RGB_UYVY, shared=(2, 1)),
    "yuv422_yuy2": _Layout(2, 1, cv2.COLOR_YUV2RGB_YUY2, shared=(2, 1)),
    "nv12": _Layout(1, 1, cv2.COLOR_YUV2RGB_NV12, shared=(2, 2), colour_plane=True),
    "nv21": _Layout(1, 1, cv2.COLOR_YUV2RGB_NV21, shared=(2, 2), colour_plane=True),
}
# Newer names, and OpenCV type names, which some cameras use, for the layouts they can only mean.
_ALIASES: Final[dict[str, str]] = {
    "uyvy": "yuv422",
    "yuyv": "yuv422_yuy2",
    "8UC3": "bgr8",
    "8UC4": "bgra8",
    "8UC1": "mono8",
}


def check_size(columns: int, rows: int) -> None:
    """Refuses the size (px) of an image that is empty or too large to be looked at.

    Raises:
        ImageError: it is.
    """
    if rows <= 0 or columns <= 0:
        raise ImageError(f"image is {columns}x{rows} pixels; it must not be empty")
    if rows * columns > MAX_PIXELS:
        raise ImageError(f"image is {columns}x{rows} pixels; more than {MAX_PIXELS} is refused")
    if max(rows, columns) > MAX_SIDE:
        raise ImageError(f"image is {columns}x{rows} pixels; a side above {MAX_SIDE} is refused")


def image_to_rgb(message: ImageMessage) -> NDArray[np.uint8]:
    """Reads an Image as RGB (H, W, 3) uint8.

    rgb8 is not copied: the array is a read-only view of the message's bytes, row padding skipped.
    Of 16 bits the more significant byte is taken.

    Raises:
        ImageError: the encoding is not known, or the fields contradict each other.
    """
    encoding = _ALIASES.get(message.encoding, message.encoding)
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise ImageError(
            f"image encoding {quoted(message.encoding)} is not supported; "
            f"convert to one of: {', '.join(_LAYOUTS)}"
        )
    check_size(message.width, message.height)
    pixels = _pixels(message, encoding, layout)
    if layout.to_rgb is None:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, layout.to_rgb), dtype=np.uint8)


def _pixels(message: ImageMessage, encoding: str, layout: _Layout) -> NDArray[np.uint8]:
    """Returns the message's bytes as (rows, columns, channels), without a copy."""
    rows, columns, step = message.height, message.width, message.step
    if columns % layout.shared[0] or rows % layout.shared[1]:
        raise ImageError(f"image is {columns}x{rows} pixels; {encoding} takes even sizes only")
    if layout.colour_plane:
        rows += rows // 2
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
    if layout.bytes_per_channel == 2 and not message.is_bigendian:
        data = data[1:]
    return np.lib.stride_tricks.as_strided(
        data,
        (rows, columns, layout.channels),
        (step, layout.channels * layout.bytes_per_channel, layout.bytes_per_channel),
        writeable=False,
    )
