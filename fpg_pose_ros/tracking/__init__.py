# SPDX-License-Identifier: Apache-2.0
"""Poses through time: a number that stays with each thing, a filtered pose, a crop foretold."""

from __future__ import annotations

from fpg_pose_ros.tracking.settings import TrackingSettings
from fpg_pose_ros.tracking.tracker import PoseTracker

__all__ = ["PoseTracker", "TrackingSettings"]
