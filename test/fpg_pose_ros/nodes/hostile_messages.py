# SPDX-License-Identifier: Apache-2.0
"""Messages that no honest camera sends: made up by hypothesis, and real ones with fields changed.

A recipe is drawn first and the message built from it when it is needed, so that ten thousand of
them fit in memory. The same recipes come out every time.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any, TypeVar

import cv2
import marks_world
import numpy as np
from builtin_interfaces.msg import Time
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.nodes.cameras import camera_to_info

T = TypeVar("T")
Recipe = Mapping[str, Any]

#: A quarter of VGA in each direction, so that thousands of pictures go through DDS quickly.
CAMERA = Camera(160, 120, np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]]))
PICTURE = marks_world.image(marks_world.pose(), CAMERA)
FRAME = "camera"
#: No message is larger than this, whatever it claims to be (bytes).
_MOST = 1_000_000

_ENCODINGS = st.one_of(
    st.sampled_from(
        [
            "rgb8",
            "bgr8",
            "rgba8",
            "bgra8",
            "mono8",
            "mono16",
            "8UC1",
            "8UC3",
            "8UC4",
            "16UC1",
            "32FC1",
            "rgb16",
            "bgr16",
            "bayer_rggb8",
            "bayer_bggr8",
            "bayer_gbrg8",
            "bayer_grbg8",
            "bayer_rggb16",
            "bayer_grbg16",
            "yuv422",
            "yuv422_yuy2",
            "nv12",
            "nv21",
            "nv24",
            "uyvy",
        ]
    ),
    st.sampled_from(["", "RGB8", " rgb8", "rgb8;", "bayer_", "nv", "x" * 10_000]),
    st.text(st.characters(codec="utf-8"), max_size=12),
)
_SIDES = st.one_of(
    st.sampled_from([0, 1, 2, 3, 5, 120, 160, 480, 640, 8000, 8001, 2**16, 2**31, 2**32 - 1]),
    st.integers(0, 200),
    st.integers(0, 2**32 - 1),
)
_FRAMES = st.one_of(
    st.sampled_from(["", "/camera", "camera ", "Camera", "../camera", "caméra", "c" * 5000]),
    st.text(st.characters(codec="utf-8"), max_size=8),
)
_STAMPS = st.tuples(
    st.sampled_from([0, 1, -1, -(2**31), 2**31 - 1, 1_700_000_000]),
    st.sampled_from([0, 1, 999_999_999, 1_000_000_000, 2**32 - 1]),
)
_NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 150.0, 1e-300, 1e300, math.nan, math.inf, -math.inf]),
    st.floats(),
)
_WHOLE = st.one_of(st.sampled_from([0, 1, 2, 3, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
_SEEDS = st.integers(0, 2**32 - 1)


def _some_of(strategies: Mapping[str, st.SearchStrategy]) -> st.SearchStrategy[Recipe]:
    """Recipes that give a few fields of a message, or all; the others stay as a real one's are."""
    names = sorted(strategies)
    fields = st.one_of(
        st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True), st.just(names)
    )
    return fields.flatmap(lambda chosen: st.fixed_dictionaries({n: strategies[n] for n in chosen}))


IMAGES = _some_of(
    {
        "encoding": _ENCODINGS,
        "width": _SIDES,
        "height": _SIDES,
        # Of a row, in addition to what it needs; or whatever.
        "step": st.one_of(
            st.tuples(st.just("more"), st.sampled_from([-3, -1, 1, 2, 3, 64])),
            st.tuples(st.just("is"), _WHOLE),
        ),
        # Of the data, in addition to what it needs.
        "length": st.sampled_from([-(2**20), -1000, -160, -2, -1, 0, 1, 1000]),
        "content": st.tuples(st.sampled_from(["noise", "zeros", "ones", "picture"]), _SEEDS),
        "is_bigendian": st.sampled_from([0, 1, 2, 255]),
        "frame_id": _FRAMES,
        "stamp": _STAMPS,
    }
)

CAMERA_INFOS = _some_of(
    {
        "width": _SIDES,
        "height": _SIDES,
        "distortion_model": st.one_of(
            st.sampled_from(
                ["", "plumb_bob", "rational_polynomial", "equidistant", "pinhole", "thin_prism"]
            ),
            st.text(st.characters(codec="utf-8"), max_size=10),
        ),
        "d": st.one_of(
            st.lists(_NUMBERS, max_size=15),
            st.sampled_from([[0.1] * n for n in (1, 4, 5, 8, 12, 14, 2000)]),
        ),
        "k": st.one_of(
            st.just([0.0] * 9),
            st.just([1.0] * 9),
            st.tuples(st.integers(0, 8), _NUMBERS),
            st.lists(_NUMBERS, min_size=9, max_size=9),
        ),
        "p": st.one_of(
            st.tuples(st.integers(0, 11), _NUMBERS), st.lists(_NUMBERS, min_size=12, max_size=12)
        ),
        "r": st.lists(_NUMBERS, min_size=9, max_size=9),
        "binning_x": _WHOLE,
        "binning_y": _WHOLE,
        "roi": st.tuples(_WHOLE, _WHOLE, _WHOLE, _WHOLE, st.booleans()),
        "frame_id": _FRAMES,
        "stamp": _STAMPS,
    }
)

COMPRESSED_IMAGES = _some_of(
    {
        "format": st.one_of(
            st.sampled_from(["jpeg", "png", "", "rgb8; jpeg compressed bgr8", "h264", "x" * 9999]),
            st.sampled_from(["16UC1; compressedDepth", "mono16; png compressed ", "rgb8; jpeg"]),
            st.text(st.characters(codec="utf-8"), max_size=12),
        ),
        "content": st.tuples(
            st.sampled_from([".jpg", ".png", ".bmp", ".tiff", ".webp", "noise", "empty"]), _SEEDS
        ),
        "damage": st.tuples(
            st.sampled_from(["none", "cut", "flip", "insert", "swap", "huge", "repeat"]), _SEEDS
        ),
        "frame_id": _FRAMES,
        "stamp": _STAMPS,
    }
)


def draw(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """Returns examples of a strategy, always the same ones."""
    drawn: list[T] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(example: T) -> None:
        drawn.append(example)

    keep()
    return (drawn * (count // len(drawn) + 1))[:count]


def header(recipe: Recipe, stamp_ns: int) -> Header:
    """Returns the header that a recipe asks for, by default an honest camera's at a time (ns)."""
    sec, nanosec = recipe.get("stamp", divmod(stamp_ns, 10**9))
    return Header(
        stamp=Time(sec=sec, nanosec=nanosec), frame_id=_text(recipe.get("frame_id", FRAME))
    )


def image(recipe: Recipe, stamp_ns: int) -> Image:
    """Builds an Image from its recipe."""
    encoding = _text(recipe.get("encoding", "rgb8"))
    width, height = recipe.get("width", CAMERA.width), recipe.get("height", CAMERA.height)
    pixel = {"mono8": 1, "8UC1": 1, "rgba8": 4, "bgra8": 4}.get(encoding, 3)
    kind, value = recipe.get("step", ("more", 0))
    step = min(max(0, value + width * pixel if kind == "more" else value), 2**32 - 1)
    length = min(max(0, step * height + recipe.get("length", 0)), _MOST)
    return Image(
        header=header(recipe, stamp_ns),
        width=width,
        height=height,
        encoding=encoding,
        step=step,
        is_bigendian=recipe.get("is_bigendian", 0),
        data=array("B", _content(*recipe.get("content", ("picture", 0)), length)),
    )


def camera_info(recipe: Recipe, stamp_ns: int) -> CameraInfo:
    """Builds a CameraInfo from its recipe."""
    info = camera_to_info(CAMERA, header(recipe, stamp_ns))
    for name in ("width", "height", "d", "r", "binning_x", "binning_y"):
        if name in recipe:
            setattr(info, name, recipe[name])
    for name in ("k", "p"):
        given = recipe.get(name)
        if isinstance(given, tuple):
            index, value = given
            getattr(info, name)[index] = value
        elif given is not None:
            setattr(info, name, given)
    if "distortion_model" in recipe:
        info.distortion_model = _text(recipe["distortion_model"])
    if "roi" in recipe:
        x, y, width, height, rectify = recipe["roi"]
        info.roi = RegionOfInterest(
            x_offset=x, y_offset=y, width=width, height=height, do_rectify=rectify
        )
    return info


def compressed_image(recipe: Recipe, stamp_ns: int) -> CompressedImage:
    """Builds a CompressedImage from its recipe."""
    kind, seed = recipe.get("content", (".jpg", 0))
    if kind.startswith("."):
        content = cv2.imencode(kind, PICTURE[..., ::-1])[1].tobytes()
    else:
        content = _content(kind, seed, 0 if kind == "empty" else 5000)
    data = _damaged(content, *recipe.get("damage", ("none", 0)))
    return CompressedImage(
        header=header(recipe, stamp_ns),
        format=_text(recipe.get("format", "jpeg")),
        data=array("B", data),
    )


def mutated_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Returns a serialised message that was cut, or a few of whose bytes were changed."""
    changed = bytearray(content)
    for at in rng.integers(0, min(len(content), 120), rng.integers(1, 5)):
        changed[at] = rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)])
    if rng.random() < 0.3:
        del changed[int(rng.integers(len(changed))) :]
    return bytes(changed)


def _content(kind: str, seed: int, length: int) -> bytes:
    if kind == "noise":
        return np.random.default_rng(seed).bytes(length)
    if kind == "picture":
        real = PICTURE.tobytes()
        return (real * (length // len(real) + 1))[:length]
    return (b"\xff" if kind == "ones" else b"\0") * length


def _damaged(content: bytes, kind: str, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    if kind == "none" or not content:
        return content
    at = int(rng.integers(len(content)))
    if kind == "cut":
        return content[:at]
    if kind == "insert":
        return content[:at] + rng.bytes(20) + content[at:]
    if kind == "repeat":
        return content * 5
    if kind == "swap":
        return content[at:] + content[:at]
    changed = bytearray(content)
    if kind == "huge":  # where JPEG and PNG keep their sides
        sides = content.find(b"\xff\xc0") + 5 if content[:2] == b"\xff\xd8" else 16
        changed[sides : sides + 8] = rng.choice([b"\xff", b"\x7f"]) * len(
            changed[sides : sides + 8]
        )
    else:
        for place in rng.integers(len(content), size=8):
            changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _text(value: str) -> str:
    # A string of a ROS message ends at its first zero byte.
    return value.replace("\0", "0")
