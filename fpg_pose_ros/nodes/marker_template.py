# SPDX-License-Identifier: Apache-2.0
"""Markers serialised once, of which only what moves is replaced."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion
from rclpy.serialization import serialize_message
from visualization_msgs.msg import MarkerArray

from fpg_pose_ros.nodes.stamps import stamp_from_ns

_STAMP: Final = struct.Struct("=iI")
_POSE: Final = struct.Struct("=7d")
_ELLIPSOID: Final = struct.Struct("=10d")
_POINT: Final = struct.Struct("=3d")


@dataclass(frozen=True)
class MarkerValues:
    """What of an instance's markers differs from frame to frame.

    Attributes:
        stamp_ns: of the image.
        pose: of the object.
        ellipsoid: pose of the covariance's ellipsoid.
        diameters: its three diameters, m.
        label: where the label stands, m.
        score: 0..1.
    """

    stamp_ns: int
    pose: Pose
    ellipsoid: Pose
    diameters: Sequence[float]
    label: Sequence[float]
    score: float

    @property
    def stamp(self) -> Time:
        """The stamp as a message."""
        return stamp_from_ns(self.stamp_ns)

    @property
    def score_text(self) -> str:
        """The score for people, always of four characters."""
        return f"{self.score:.2f}"

    def packed(self) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """Returns stamp, pose, ellipsoid, label and score as they stand in a serialised message."""
        return (
            _STAMP.pack(*divmod(self.stamp_ns, 1_000_000_000)),
            _POSE.pack(*_numbers(self.pose)),
            _ELLIPSOID.pack(*_numbers(self.ellipsoid), *self.diameters),
            _POINT.pack(*self.label),
            self.score_text.encode(),
        )


# Values that occur nowhere else in a message, by which the places of the true ones are found.
_ODD: Final = MarkerValues(
    stamp_ns=1_526_617_507_123_456_789,
    pose=Pose(
        position=Point(x=1.234567e123, y=2.345678e123, z=3.456789e123),
        orientation=Quaternion(x=0.1234567, y=0.2345678, z=0.3456789, w=0.4567),
    ),
    ellipsoid=Pose(
        position=Point(x=4.234567e123, y=5.345678e123, z=6.456789e123),
        orientation=Quaternion(x=0.7234567, y=0.8345678, z=0.9456789, w=0.1567),
    ),
    diameters=(7.234567e123, 8.345678e123, 9.456789e123),
    label=(1.334567e123, 2.445678e123, 3.556789e123),
    score=9.87,
)


class MarkerTemplate:
    """A serialised MarkerArray of one instance, whose `MarkerValues` can be replaced.

    Args:
        make: makes the message with some values. The score's text is the last thing in it.
    """

    def __init__(self, make: Callable[[MarkerValues], MarkerArray]) -> None:
        """Serialises the message once, with odd values, and looks where they are."""
        self._bytes = bytearray(serialize_message(make(_ODD)))
        *numbers, text = _ODD.packed()
        self._places = [_all_places(self._bytes, value) for value in numbers]
        self._places.append([self._bytes.rindex(text)])

    def fill(self, values: MarkerValues) -> bytes:
        """Returns the message with these values."""
        for places, value in zip(self._places, values.packed(), strict=True):
            for place in places:
                self._bytes[place : place + len(value)] = value
        return bytes(self._bytes)


def _numbers(pose: Pose) -> tuple[float, ...]:
    p, q = pose.position, pose.orientation
    return p.x, p.y, p.z, q.x, q.y, q.z, q.w


def _all_places(data: bytearray, value: bytes) -> list[int]:
    places = [data.index(value)]
    while (place := data.find(value, places[-1] + 1)) >= 0:
        places.append(place)
    return places
