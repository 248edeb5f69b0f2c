# SPDX-License-Identifier: Apache-2.0
"""A bag as a run leaves it, written without ROS: a tetrahedron before a small camera."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from fpg_pose_ros.geometry import Array, Symmetries, make_transform, quaternion_wxyz
from fpg_pose_ros.objects import Mesh, ObjectModel

# For the modules that several tests share; the drawn world lives with the training's tests.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "training")]

ROOT = Path(__file__).resolve().parents[3]
NAME = "thing"
SIZE = (64, 48)
K = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 33_000_000
ARRAY = "fpg_pose_ros/msg/ObjectPoseArray"

WriteRun = Callable[..., Path]


@pytest.fixture(scope="session")
def model() -> ObjectModel:
    vertices = 0.05 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    mesh = Mesh(vertices, faces, np.full((4, 3), 200, np.uint8))
    return ObjectModel(NAME, 0.1 * np.sqrt(2), vertices, {}, Symmetries(), mesh)


def pose_at(x: float, z: float = 0.5) -> Array:
    return make_transform(np.eye(3), [x, 0.0, z])


class _Messages:
    """Builds messages from the package's own definitions."""

    def __init__(self) -> None:
        self.store: Typestore = get_typestore(Stores.ROS2_JAZZY)
        for name in ("ObjectPose", "ObjectPoseArray"):
            text = (ROOT / "msg" / f"{name}.msg").read_text()
            self.store.register(get_types_from_msg(text, f"fpg_pose_ros/msg/{name}"))

    def make(self, kind: str, **fields: Any) -> Any:
        return self.store.types[kind](**fields)

    def header(self, stamp_ns: int) -> Any:
        time = self.make(
            "builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9
        )
        return self.make("std_msgs/msg/Header", stamp=time, frame_id="camera")

    def pose(self, T: Array) -> Any:
        w, x, y, z = quaternion_wxyz(T[:3, :3])
        px, py, pz = T[:3, 3]
        pose = self.make(
            "geometry_msgs/msg/Pose",
            position=self.make("geometry_msgs/msg/Point", x=px, y=py, z=pz),
            orientation=self.make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
        )
        return self.make(
            "geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=(1e-4 * np.eye(6)).ravel()
        )

    def array(self, stamp_ns: int, poses: Mapping[str, Array], received: int) -> Any:
        times = {f"{s}_ms": 1.0 for s in ("preprocess", "locate", "infer", "solve")}
        times["total_ms"] = 5.0
        items = [
            self.make(
                "fpg_pose_ros/msg/ObjectPose",
                header=self.header(stamp_ns),
                object_id=name,
                instance_id=0,
                pose=self.pose(T),
                score=0.75,
                reprojection_error=1.5,
                **times,
            )
            for name, T in poses.items()
        ]
        return self.make(
            ARRAY,
            header=self.header(stamp_ns),
            poses=items,
            frames_received=received,
            frames_dropped=0,
            **times,
        )

    def image(self, stamp_ns: int, level: int) -> Any:
        width, height = SIZE
        return self.make(
            "sensor_msgs/msg/Image",
            header=self.header(stamp_ns),
            height=height,
            width=width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * width,
            data=np.full(3 * width * height, level, np.uint8),
        )

    def info(self, stamp_ns: int) -> Any:
        roi = self.make(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        )
        return self.make(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(stamp_ns),
            width=SIZE[0],
            height=SIZE[1],
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=K.ravel(),
            r=np.eye(3).ravel(),
            p=np.column_stack([K, np.zeros(3)]).ravel(),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """A function (truth, published, latency_ms) that writes a bag.

    `truth` and `published` give an x coordinate of the thing for each frame; a published None is
    an empty answer, and "silent" is no answer.
    """

    def write(
        truth: list[float], published: list[float | str | None], latency_ms: float = 8.0
    ) -> Path:
        messages, bag = _Messages(), tmp_path / "bag"
        with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:

            def topic(name: str, kind: str) -> Any:
                connection = writer.add_connection(name, kind, typestore=messages.store)

                def put(time_ns: int, message: Any) -> None:
                    writer.write(
                        connection, time_ns, bytes(messages.store.serialize_cdr(message, kind))
                    )

                return put

            image = topic("/image", "sensor_msgs/msg/Image")
            overlay = topic("/pose_node/overlay", "sensor_msgs/msg/Image")
            info = topic("/camera_info", "sensor_msgs/msg/CameraInfo")
            true = topic("/camera_node/ground_truth", ARRAY)
            poses = topic("/pose_node/poses", ARRAY)
            received = 0
            for number, (x, answer) in enumerate(zip(truth, published, strict=True)):
                stamp = START_NS + number * PERIOD_NS
                info(stamp, messages.info(stamp))
                true(stamp, messages.array(stamp, {NAME: pose_at(x)}, 0))
                image(stamp, messages.image(stamp, 100))
                overlay(stamp, messages.image(stamp, 50))
                if answer == "silent":
                    continue
                received += 1
                found = {} if answer is None else {NAME: pose_at(float(answer))}
                arrival = stamp + round(latency_ms * 1e6)
                poses(arrival, messages.array(stamp, found, received))
        return bag

    return write
