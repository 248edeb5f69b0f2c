# SPDX-License-Identifier: Apache-2.0
"""Images to messages and back."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import sys
from array import array

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fpg_pose_ros.nodes.images import rgb_to_image
from fpg_pose_ros.sources.images import ImageError, image_to_rgb

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7, 1), dtype=np.uint8)


def message(pixels: np.ndarray, encoding: str, padding: int = 0, **more: object) -> Image:
    """An Image whose rows are followed by some bytes of padding."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=padded.shape[1],
        data=array("B", padded.tobytes()),
        **more,
    )


CASES = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[..., ::-1], RGB),
    "8UC3": (RGB[..., ::-1], RGB),
    "rgba8": (np.concatenate([RGB, ALPHA], axis=2), RGB),
    "bgra8": (np.concatenate([RGB[..., ::-1], ALPHA], axis=2), RGB),
    "mono8": (GRAY, np.repeat(GRAY[..., None], 3, axis=2)),
}


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", CASES)
def test_each_encoding_is_read_as_rgb_whatever_its_rows_are_padded_to(
    encoding: str, padding: int
) -> None:
    pixels, expected = CASES[encoding]
    read = image_to_rgb(message(pixels, encoding, padding))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, expected)


def smooth_picture() -> np.ndarray:
    """Colours that differ between channels and change so slowly that neighbours may share them."""
    y, x = np.mgrid[0:24, 0:36] / 36.0
    return np.stack([40 + 180 * x, 200 - 150 * y, 90 + 60 * (x + y)], axis=2).round()


def mosaic(pattern: str) -> np.ndarray:
    """What a sensor sees whose upper left pixels have the colours of the pattern, row by row."""
    picture = smooth_picture()
    seen = np.empty(picture.shape[:2])
    for place, colour in enumerate(pattern):
        rows, columns = slice(place // 2, None, 2), slice(place % 2, None, 2)
        seen[rows, columns] = picture[rows, columns, "rgb".index(colour)]
    return seen


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_give_the_colours_of_the_picture(
    pattern: str, bits: int, padding: int
) -> None:
    pixels = mosaic(pattern).astype(np.uint8)
    if bits == 16:
        pixels = pixels.astype("<u2") << 8 | 0x7F
    read = image_to_rgb(message(pixels, f"bayer_{pattern}{bits}", padding))
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(read[inside], smooth_picture()[inside], rtol=0, atol=4)


def ycbcr() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture after ITU-R BT.601, brightness in 16..235."""
    r, g, b = np.moveaxis(smooth_picture() / 255.0, 2, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    planes = 16 + 219 * luma, 128 + 112 * (b - luma) / 0.886, 128 + 112 * (r - luma) / 0.701
    return tuple(plane.round().astype(np.uint8) for plane in planes)


def packed(order: str) -> np.ndarray:
    """Two pixels in four bytes, as the letters say."""
    y, u, v = ycbcr()
    planes = {"y": y[:, 0::2], "Y": y[:, 1::2], "u": u[:, 0::2], "v": v[:, 0::2]}
    return np.stack([planes[letter] for letter in order], axis=2).reshape(*y.shape, 2)


def planar(order: str) -> np.ndarray:
    """A plane of brightness, then one of colour with a value for each two by two pixels."""
    y, u, v = ycbcr()
    colours = {"u": u[0::2, 0::2], "v": v[0::2, 0::2]}
    colour = np.stack([colours[letter] for letter in order], axis=2)
    return np.concatenate([y, colour.reshape(-1, y.shape[1])])


YUV = {
    "yuv422": packed("uyvY"),
    "uyvy": packed("uyvY"),
    "yuv422_yuy2": packed("yuYv"),
    "yuyv": packed("yuYv"),
    "nv12": planar("uv"),
    "nv21": planar("vu"),
}


@pytest.mark.parametrize("padding", [0, 4, 7])
@pytest.mark.parametrize("encoding", YUV)
def test_yuv_gives_the_colours_of_the_picture(encoding: str, padding: int) -> None:
    made = message(YUV[encoding], encoding, padding)
    made.height = 24
    np.testing.assert_allclose(image_to_rgb(made), smooth_picture(), rtol=0, atol=8)


@pytest.mark.parametrize("encoding", ["yuv422", "yuv422_yuy2", "nv12", "nv21"])
def test_yuv_of_an_odd_size_is_refused(encoding: str) -> None:
    made = message(YUV[encoding], encoding)
    made.height, made.width = 24, 35
    with pytest.raises(ImageError, match="even sizes"):
        image_to_rgb(made)
    if encoding.startswith("nv"):
        made.height, made.width = 23, 36
        with pytest.raises(ImageError, match="even sizes"):
            image_to_rgb(made)
        made.height = 26
        with pytest.raises(ImageError, match="39 rows of step 36"):
            image_to_rgb(made)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(("order", "big"), [("<u2", 0), (">u2", 1)])
def test_16_bit_gray_is_read_in_either_byte_order(order: str, big: int, padding: int) -> None:
    values = RNG.integers(0, 65536, (5, 7)).astype(order)
    read = image_to_rgb(message(values, "mono16", padding, is_bigendian=big))
    np.testing.assert_array_equal(read[..., 1], values.astype(int) >> 8)


def test_the_last_row_may_lack_its_padding() -> None:
    short = message(RGB, "rgb8", padding=6)
    short.data = short.data[:-6]
    np.testing.assert_array_equal(image_to_rgb(short), RGB)


def test_rgb8_is_read_without_a_copy() -> None:
    image = message(RGB, "rgb8", padding=4)
    read = image_to_rgb(image)
    assert np.shares_memory(read, np.frombuffer(image.data, np.uint8))
    assert not read.flags.writeable


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_what_was_written_reads_back_the_same_through_serialisation(encoding: str) -> None:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = 12, 34
    image = rgb_to_image(RGB, header, encoding)
    back = deserialize_message(serialize_message(image), Image)
    assert back.header == header
    np.testing.assert_array_equal(image_to_rgb(back), RGB)


def test_a_view_with_strides_of_its_own_is_written_right() -> None:
    view = RGB[::2, ::-1]
    np.testing.assert_array_equal(image_to_rgb(rgb_to_image(view, Header())), view)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"encoding": "32FC1"}, "encoding '32FC1' is not supported"),
        ({"encoding": "bayer_rggb16", "step": 7}, "step is 7"),
        ({"encoding": "nv12", "width": 6, "height": 4, "step": 30}, "data holds 105 bytes"),
        ({"encoding": ""}, "encoding '' is not supported"),
        ({"width": 0}, "must not be empty"),
        ({"height": 0}, "must not be empty"),
        ({"width": 2**31, "height": 2**31}, "is refused"),
        ({"width": 2**15, "height": 1}, "a side above 32766 is refused"),
        ({"step": 20}, "step is 20"),
        ({"width": 8}, "step is 21"),
        ({"height": 6}, "data holds 105 bytes"),
        ({"data": array("B")}, "data holds 0 bytes"),
    ],
)
def test_fields_that_contradict_each_other_are_named(change: dict, complaint: str) -> None:
    image = message(RGB, "rgb8")
    for name, value in change.items():
        setattr(image, name, value)
    with pytest.raises(ImageError, match=complaint):
        image_to_rgb(image)


def test_an_encoding_that_cannot_be_written_is_named() -> None:
    with pytest.raises(ImageError, match="nv12"):
        rgb_to_image(RGB, Header(), "nv12")


def test_written_images_say_what_byte_order_they_have() -> None:
    assert rgb_to_image(RGB, Header()).is_bigendian == (sys.byteorder == "big")
