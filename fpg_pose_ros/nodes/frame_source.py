# SPDX-License-Identifier: Apache-2.0
"""What a camera node asks of a source of frames; knows no ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.sources import Frame


@dataclass(frozen=True)
class SourceRequest:
    """Which frames are wanted; the fields are the parameters of the same names.

    Attributes:
        source: "render", or a path.
        camera_file: calibration for a source that brings none; empty for none.
        object: rendered: name or path.
        seed: rendered: which scene.
        duration: rendered: length (s).
        rate: images per second.
        loop: whether to begin again at the end.
    """

    source: str
    camera_file: str
    object: str
    seed: int
    duration: float
    rate: float
    loop: bool


OpenSource = Callable[[SourceRequest], Iterable[Frame]]


def frames_of(open_source: OpenSource, request: SourceRequest) -> Iterator[Frame]:
    """Yields the frames of a source, over and over if that is wanted.

    Raises:
        FpgPoseError: the source has no frames.
    """
    while True:
        count = 0
        for frame in open_source(request):
            count += 1
            yield frame
        if count == 0:
            raise FpgPoseError(f"source {request.source} holds no frames")
        if not request.loop:
            return
