# SPDX-License-Identifier: Apache-2.0
"""What the parameters that may change at any time say, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from fpg_pose_ros.estimator import Limits
from fpg_pose_ros.nodes.parameter_values import ParameterValues
from fpg_pose_ros.tracking import TrackingSettings


@dataclass(frozen=True)
class Settings:
    """The live parameters of a pose node at one moment.

    They are taken together when one of them has changed, so that no frame sees half of a change.

    Attributes:
        limits: what is followed up, and what is reported.
        tracking: how.
        publish_tf, target_frame, target_timeout, camera_timeout: as the parameters.
    """

    limits: Limits
    tracking: TrackingSettings
    publish_tf: bool
    target_frame: str
    target_timeout: float
    camera_timeout: float


def settings_of(values: ParameterValues) -> Settings:
    """Reads the parameters."""
    return Settings(
        limits=Limits(
            min_detection_score=values.get("min_detection_score", float),
            min_score=values.get("min_score", float),
            max_reprojection_error=values.get("max_reprojection_error", float),
            max_instances=values.get("max_instances", int),
        ),
        tracking=TrackingSettings(
            enabled=values.get("tracking", bool),
            locate_period=values.get("locate_period", float),
            timeout=values.get("track_timeout", float),
            hits=values.get("track_hits", int),
            gate=values.get("track_gate", float),
            acceleration=values.get("track_acceleration", float),
            angular_acceleration=values.get("track_angular_acceleration", float),
        ),
        publish_tf=values.get("publish_tf", bool),
        target_frame=values.get("target_frame", str),
        target_timeout=values.get("target_timeout", float),
        camera_timeout=values.get("camera_timeout", float),
    )
