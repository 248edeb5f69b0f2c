# SPDX-License-Identifier: Apache-2.0
"""Poses as messages; pure functions.

Every message carries the header of the image it was seen in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from geometry_msgs.msg import (
    Point,
    Pose,
    PoseStamped,
    PoseWithCovariance,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from fpg_pose_ros.estimator import PoseEstimate, StageTimes
from fpg_pose_ros.geometry import (
    Array,
    make_transform,
    quaternion_wxyz,
    rotation_from_quaternion_wxyz,
)
from fpg_pose_ros.msg import ObjectPose, ObjectPoseArray
from fpg_pose_ros.nodes.names import Instances, tf_frame
from fpg_pose_ros.nodes.stamps import stamp_from_ns


def header_of(estimate: PoseEstimate) -> Header:
    """Returns the header of the image that an estimate comes from."""
    return Header(stamp=stamp_from_ns(estimate.stamp_ns), frame_id=estimate.frame_id)


def pose_from_transform(T_parent_child: Array) -> Pose:
    """Returns a transform (4, 4), m, as Pose of the child in the parent."""
    x, y, z = T_parent_child[:3, 3].tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=_quaternion(T_parent_child))


def transform_from_pose(pose: Pose) -> Array:
    """Returns a Pose as transform (4, 4); the inverse of `pose_from_transform`."""
    q, p = pose.orientation, pose.position
    return make_transform(rotation_from_quaternion_wxyz([q.w, q.x, q.y, q.z]), [p.x, p.y, p.z])


def _quaternion(transform: Array) -> Quaternion:
    w, x, y, z = quaternion_wxyz(transform[:3, :3]).tolist()
    return Quaternion(w=w, x=x, y=y, z=z)


def pose_stamped(pose: ObjectPose) -> PoseStamped:
    """Returns one of the array's poses alone; it shares their parts."""
    return PoseStamped(header=pose.header, pose=pose.pose.pose)


def transforms(
    estimates: Iterable[PoseEstimate], prefix: str, instances: Instances = "auto"
) -> TFMessage:
    """Returns the transforms camera -> object, object frames named as `names.tf_frame` says."""
    return TFMessage(
        transforms=[_transform_stamped(estimate, prefix, instances) for estimate in estimates]
    )


def _transform_stamped(
    estimate: PoseEstimate, prefix: str, instances: Instances
) -> TransformStamped:
    x, y, z = estimate.T_camera_object[:3, 3].tolist()
    return TransformStamped(
        header=header_of(estimate),
        child_frame_id=tf_frame(prefix, estimate.object_name, estimate.instance_id, instances),
        transform=Transform(
            translation=Vector3(x=x, y=y, z=z), rotation=_quaternion(estimate.T_camera_object)
        ),
    )


def object_pose(estimate: PoseEstimate, times: StageTimes) -> ObjectPose:
    """Returns one estimate with its covariance and the times spent on the whole image."""
    return ObjectPose(
        header=header_of(estimate),
        object_id=estimate.object_name,
        instance_id=estimate.instance_id,
        pose=PoseWithCovariance(
            pose=pose_from_transform(estimate.T_camera_object),
            covariance=np.ascontiguousarray(estimate.covariance, dtype=np.float64).ravel(),
        ),
        score=float(estimate.score),
        reprojection_error=float(estimate.reprojection_error),
        **_milliseconds(times),
    )


def object_pose_array(
    header: Header,
    estimates: Sequence[PoseEstimate],
    times: StageTimes,
    *,
    received: int = 0,
    dropped: int = 0,
) -> ObjectPoseArray:
    """Returns all estimates of one image, best score first; none give an empty array.

    Args:
        header: of the image.
        estimates: what was found in it.
        times: spent on it.
        received: images that came since the node was activated.
        dropped: images given up since then.
    """
    ordered = sorted(estimates, key=lambda estimate: -estimate.score)
    return ObjectPoseArray(
        header=header,
        poses=[object_pose(estimate, times) for estimate in ordered],
        frames_received=received,
        frames_dropped=dropped,
        **_milliseconds(times),
    )


def _milliseconds(times: StageTimes) -> dict[str, float]:
    # A whole number would end the process: ROS's C code asserts that these are floats.
    return {
        "preprocess_ms": float(times.preprocess_ms),
        "locate_ms": float(times.locate_ms),
        "infer_ms": float(times.infer_ms),
        "solve_ms": float(times.solve_ms),
        "total_ms": float(times.total_ms),
    }


def true_poses(header: Header, poses: Mapping[str, Array]) -> ObjectPoseArray:
    """Returns known poses (T_camera_object by object name): score 1, and a covariance of zero."""
    return ObjectPoseArray(
        header=header,
        poses=[
            ObjectPose(
                header=header,
                object_id=name,
                pose=PoseWithCovariance(pose=pose_from_transform(T_camera_object)),
                score=1.0,
            )
            for name, T_camera_object in poses.items()
        ],
    )
