# SPDX-License-Identifier: Apache-2.0
"""Poses and pictures as ROS messages made by rosbags: no ROS is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from fpg_pose_ros.estimator import EstimateResult
from fpg_pose_ros.geometry import Array, quaternion_wxyz


class BagMessages:
    """Makes messages of the types of a store, as `fpg_pose_ros.nodes.messages` does with rclpy."""

    def __init__(self, store: Typestore) -> None:
        """Takes the types."""
        self._types = store.types

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """Stamp (ns) and frame."""
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        stamp = self._make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def pose_stamped(self, header: Any, T: Array) -> Any:
        """A pose (4, 4), m, in the frame of the header."""
        return self._make("geometry_msgs/msg/PoseStamped", header=header, pose=self._pose(T))

    def transforms(self, header: Any, children: Mapping[str, Array]) -> Any:
        """Transforms (4, 4), m, from the header's frame to others, by their names."""
        make = self._make
        return make(
            "tf2_msgs/msg/TFMessage",
            transforms=[
                make(
                    "geometry_msgs/msg/TransformStamped",
                    header=header,
                    child_frame_id=frame,
                    transform=make(
                        "geometry_msgs/msg/Transform",
                        translation=self._vector("Vector3", T),
                        rotation=self._quaternion(T),
                    ),
                )
                for frame, T in children.items()
            ],
        )

    def pose_array(self, header: Any, result: EstimateResult, frames: int) -> Any:
        """All estimates of an image, with what they cost; `frames` counts images so far."""
        times = asdict(result.times)
        poses = [
            self._make(
                "fpg_pose_ros/msg/ObjectPose",
                header=header,
                object_id=one.object_name,
                instance_id=one.instance_id,
                pose=self._make(
                    "geometry_msgs/msg/PoseWithCovariance",
                    pose=self._pose(one.T_camera_object),
                    covariance=np.ascontiguousarray(one.covariance, dtype=np.float64).ravel(),
                ),
                score=one.score,
                reprojection_error=one.reprojection_error,
                **times,
            )
            for one in result.estimates
        ]
        return self._make(
            "fpg_pose_ros/msg/ObjectPoseArray",
            header=header,
            poses=poses,
            frames_received=frames,
            frames_dropped=0,
            **times,
        )

    def image(self, header: Any, picture: NDArray[np.uint8]) -> Any:
        """A picture (H, W, 3) RGB."""
        height, width = picture.shape[:2]
        return self._make(
            "sensor_msgs/msg/Image",
            header=header,
            height=height,
            width=width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * width,
            data=np.ascontiguousarray(picture).reshape(-1),
        )

    def _pose(self, T: Array) -> Any:
        return self._make(
            "geometry_msgs/msg/Pose",
            position=self._vector("Point", T),
            orientation=self._quaternion(T),
        )

    def _vector(self, kind: str, T: Array) -> Any:
        x, y, z = (float(value) for value in T[:3, 3])
        return self._make(f"geometry_msgs/msg/{kind}", x=x, y=y, z=z)

    def _quaternion(self, T: Array) -> Any:
        w, x, y, z = (float(value) for value in quaternion_wxyz(T[:3, :3]))
        return self._make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)

    def _make(self, kind: str, **fields: Any) -> Any:
        return self._types[kind](**fields)
