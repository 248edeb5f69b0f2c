# SPDX-License-Identifier: Apache-2.0
"""What a bag of a run holds: true poses, published ones, and when they came. Needs no ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rosbags.highlevel import AnyReader

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, make_transform, rotation_from_quaternion_wxyz

STAGES: Final = ("preprocess", "locate", "infer", "solve", "total")
_ARRAY: Final = "fpg_pose_ros/msg/ObjectPoseArray"
_TRUTH: Final = "ground_truth"
_IMAGE: Final = "sensor_msgs/msg/Image"


@dataclass(frozen=True, eq=False)
class PublishedPose:
    """A pose as it was published.

    Attributes:
        object_name: whose.
        T_camera_object: (4, 4), m.
        covariance: 36 numbers, row by row, as ROS has them.
        score: 0..1.
        reprojection_error: px.
    """

    object_name: str
    T_camera_object: Array
    covariance: tuple[float, ...]
    score: float
    reprojection_error: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What the node said of one image.

    Attributes:
        stamp_ns: of the image.
        received_ns: when the answer reached the recorder.
        poses: best score first; empty when nothing was seen.
        times_ms: by stage, as the node reports them.
        frames_received, frames_dropped: the node's counts at that time.
    """

    stamp_ns: int
    received_ns: int
    poses: tuple[PublishedPose, ...]
    times_ms: dict[str, float]
    frames_received: int
    frames_dropped: int

    @property
    def latency_ms(self) -> float:
        """From the camera's stamp to the arrival of the answer in another process."""
        return (self.received_ns - self.stamp_ns) * 1e-6


@dataclass(frozen=True, eq=False)
class Recording:
    """A run.

    Attributes:
        truth: true T_camera_object by object name, by image stamp (ns), in order.
        answers: by image stamp (ns), in order.
        messages: number of messages by topic.
        image_topic: topic of the camera's images.
    """

    truth: dict[int, dict[str, Array]]
    answers: dict[int, Answer]
    messages: dict[str, int]
    image_topic: str


def read_recording(bag: Path) -> Recording:
    """Reads poses and times of a bag; images are left to `fpg_pose_ros.sources.open_source`.

    Raises:
        DatasetError: it cannot be read, or lacks what a run publishes.
    """
    truth: dict[int, dict[str, Array]] = {}
    answers: dict[int, Answer] = {}
    with _reader(bag) as reader:
        counts = {topic: info.msgcount for topic, info in reader.topics.items()}
        arrays = [c for c in reader.connections if c.msgtype == _ARRAY]
        if not any(not c.topic.endswith(_TRUTH) for c in arrays):
            raise DatasetError(f"{bag}: no topic of type {_ARRAY}; was the pose node recorded?")
        for connection, received_ns, data in reader.messages(connections=arrays):
            message: Any = reader.deserialize(data, connection.msgtype)
            stamp_ns = _nanoseconds(message.header.stamp)
            if connection.topic.endswith(_TRUTH):
                truth[stamp_ns] = {p.object_name: p.T_camera_object for p in _poses(message)}
            else:
                answers[stamp_ns] = _answer(message, stamp_ns, int(received_ns))
        images = sorted(c.topic for c in reader.connections if c.msgtype == _IMAGE)
        cameras = [topic for topic in images if not topic.endswith("overlay")]
    if not cameras:
        raise DatasetError(f"{bag}: no camera images")
    return Recording(dict(sorted(truth.items())), dict(sorted(answers.items())), counts, cameras[0])


@contextmanager
def _reader(bag: Path) -> Iterator[AnyReader]:
    try:
        reader = AnyReader([bag])
        reader.open()
    except Exception as error:  # each storage format has errors of its own
        raise DatasetError(f"{bag} cannot be read as a rosbag ({error}); is it whole?") from None
    try:
        yield reader
    finally:
        reader.close()


def _answer(message: Any, stamp_ns: int, received_ns: int) -> Answer:
    return Answer(
        stamp_ns=stamp_ns,
        received_ns=received_ns,
        poses=_poses(message),
        times_ms={stage: float(getattr(message, f"{stage}_ms")) for stage in STAGES},
        frames_received=int(message.frames_received),
        frames_dropped=int(message.frames_dropped),
    )


def _poses(message: Any) -> tuple[PublishedPose, ...]:
    return tuple(
        PublishedPose(
            object_name=item.object_id,
            T_camera_object=_transform(item.pose.pose),
            covariance=tuple(float(value) for value in item.pose.covariance),
            score=float(item.score),
            reprojection_error=float(item.reprojection_error),
        )
        for item in message.poses
    )


def _transform(pose: Any) -> Array:
    p, q = pose.position, pose.orientation
    return make_transform(rotation_from_quaternion_wxyz([q.w, q.x, q.y, q.z]), [p.x, p.y, p.z])


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)
