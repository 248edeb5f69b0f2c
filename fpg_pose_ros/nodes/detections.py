# SPDX-License-Identifier: Apache-2.0
"""Poses as vision_msgs/Detection3DArray, for those who know that message; pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovariance, Vector3
from std_msgs.msg import Header

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import make_transform
from fpg_pose_ros.nodes.messages import header_of, pose_from_transform
from fpg_pose_ros.nodes.optional import import_optional
from fpg_pose_ros.objects import ObjectModel


class DetectionsError(FpgPoseError):
    """Detections cannot be published; the message says what is missing."""


def import_vision_msgs() -> Any:
    """Returns the module vision_msgs.msg, which nothing needs unless detections are published.

    Raises:
        DetectionsError: it is not installed.
    """
    return import_optional(
        "vision_msgs.msg",
        DetectionsError,
        parameter="publish_detections",
        package="vision_msgs",
        without="set publish_detections to false",
    )


def detection_array(
    header: Header,
    estimates: Iterable[PoseEstimate],
    objects: Mapping[str, ObjectModel],
    vision_msgs: Any,
) -> Any:
    """Returns all estimates of one image as Detection3DArray, best score first.

    A detection has one hypothesis, the object by its name, with the pose of the object's frame; a
    box, the one around the mesh along the object's axes (m); and the id `<object>_<instance>`.

    Args:
        header: of the array.
        estimates: with the same frame.
        objects: by name.
        vision_msgs: the module with the message classes.
    """
    ordered = sorted(estimates, key=lambda estimate: -estimate.score)
    return vision_msgs.Detection3DArray(
        header=header,
        detections=[_detection(item, objects[item.object_name], vision_msgs) for item in ordered],
    )


def _detection(estimate: PoseEstimate, model: ObjectModel, vision_msgs: Any) -> Any:
    low, high = model.bounds_min, model.bounds_max
    T_object_box = make_transform(np.eye(3), (low + high) / 2.0)
    x, y, z = (high - low).tolist()
    return vision_msgs.Detection3D(
        header=header_of(estimate),
        results=[
            vision_msgs.ObjectHypothesisWithPose(
                hypothesis=vision_msgs.ObjectHypothesis(
                    class_id=estimate.object_name, score=float(estimate.score)
                ),
                pose=PoseWithCovariance(
                    pose=pose_from_transform(estimate.T_camera_object),
                    covariance=np.ascontiguousarray(estimate.covariance, np.float64).ravel(),
                ),
            )
        ],
        bbox=vision_msgs.BoundingBox3D(
            center=pose_from_transform(estimate.T_camera_object @ T_object_box),
            size=Vector3(x=x, y=y, z=z),
        ),
        id=f"{estimate.object_name}_{estimate.instance_id}",
    )
