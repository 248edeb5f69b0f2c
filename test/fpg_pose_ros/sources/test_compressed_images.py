# SPDX-License-Identifier: Apache-2.0
"""JPEG and PNG messages to images, and what is refused before it is decoded."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import struct
import tracemalloc
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CompressedImage

from fpg_pose_ros.sources.compressed_images import compressed_size, compressed_to_rgb
from fpg_pose_ros.sources.images import ImageError

Y, X = np.mgrid[0:48, 0:64]
RGB = np.stack([2 * X + 60, 200 - 2 * Y, X + Y], axis=2).astype(np.uint8)


def encoded(kind: str, picture: np.ndarray = RGB, *options: int) -> bytes:
    """The picture as a file with the right colours."""
    return cv2.imencode(f".{kind}", picture[..., ::-1], options)[1].tobytes()


def message(data: bytes, form: str = "") -> CompressedImage:
    return CompressedImage(format=form, data=data)


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("jpeg", "jpeg"),
        ("jpeg", "rgb8; jpeg compressed bgr8"),
        ("jpeg", "bayer_rggb8; jpeg compressed bgr8"),
        ("png", "png"),
        ("png", "bgr8; png compressed bgr8"),
        ("png", ""),
    ],
)
def test_jpeg_and_png_come_back_as_the_picture(kind: str, form: str) -> None:
    made = message(encoded(kind), form)
    assert compressed_size(made) == (64, 48)
    read = compressed_to_rgb(made)
    np.testing.assert_allclose(read.astype(int), RGB, rtol=0, atol=0 if kind == "png" else 6)


def test_a_picture_that_was_encoded_with_red_and_blue_in_each_others_place_is_put_right() -> None:
    made = message(encoded("png", RGB[..., ::-1]), "rgb8; png compressed rgb8")
    np.testing.assert_array_equal(compressed_to_rgb(made), RGB)


def test_gray_and_deep_pictures_become_rgb_of_8_bits() -> None:
    gray = cv2.imencode(".png", RGB[..., 0])[1].tobytes()
    np.testing.assert_array_equal(compressed_to_rgb(message(gray)), RGB[..., [0, 0, 0]])
    deep = cv2.imencode(".png", RGB[..., ::-1].astype(np.uint16) << 8)[1].tobytes()
    np.testing.assert_array_equal(compressed_to_rgb(message(deep)), RGB)


def test_the_orientation_that_a_file_suggests_is_not_followed() -> None:
    jpeg = encoded("jpeg")
    tiff = (
        b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
        + bytes(4)
    )
    exif = b"Exif\x00\x00" + tiff
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)
    assert compressed_size(message(turned)) == (64, 48)
    assert compressed_to_rgb(message(turned)).shape == RGB.shape


def test_a_jpeg_filled_up_with_zeros_is_complete() -> None:
    assert compressed_to_rgb(message(encoded("jpeg") + bytes(512))).shape == RGB.shape


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_truncated_data_are_refused_wherever_they_end(kind: str) -> None:
    whole = encoded(kind)
    for length in [*range(30), *range(30, len(whole), 37), len(whole) - 1]:
        with pytest.raises(ImageError):
            compressed_to_rgb(message(whole[:length]))


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_altered_data_are_read_or_refused_but_nothing_else(kind: str) -> None:
    rng = np.random.default_rng(0)
    whole = encoded(kind)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(len(data), size=3):
            data[place] = rng.integers(256)
        made = message(bytes(data))
        with suppress(ImageError):
            assert compressed_to_rgb(made).shape[1::-1] == compressed_size(made)


def png_of(width: int, height: int) -> bytes:
    """A well-formed PNG of very few bytes that claims a size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    """The picture's JPEG with another size written over its own."""
    data = bytearray(encoded("jpeg"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (png_of(30000, 30000), "30000x30000 pixels; more than 64000000 is refused"),
        (png_of(2**31, 2**31), "is refused"),
        (png_of(0, 10), "must not be empty"),
        (jpeg_of(65500, 65500), "65500x65500 pixels; more than 64000000 is refused"),
        (jpeg_of(64, 0), "must not be empty"),
        (encoded("jpeg")[:-2] + 70 * b"\xff\xda\x00\x00" + b"\xff\xd9", "more than 64 JPEG scans"),
        (b"\xff\xd8\xff" + b"\xff" * 100_000 + b"\xd9", "without a size"),
    ],
)
def test_a_bomb_is_refused_without_being_decoded(data: bytes, complaint: str) -> None:
    made = message(data)
    tracemalloc.start()
    with pytest.raises(ImageError, match=complaint):
        compressed_to_rgb(made)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("form", ["16UC1; compressedDepth", "h264", "rvl"])
def test_another_format_is_refused_by_its_name(form: str) -> None:
    with pytest.raises(ImageError, match=f"format '{form}' is neither JPEG nor PNG"):
        compressed_size(message(bytes(range(100)), form))
