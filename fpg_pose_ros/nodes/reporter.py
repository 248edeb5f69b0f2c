# SPDX-License-Identifier: Apache-2.0
"""Tells on /diagnostics, at a steady pace, how a pose node is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.diagnostics import NodeReport, diagnostic_array
from fpg_pose_ros.nodes.session import Session
from fpg_pose_ros.nodes.settings import Settings
from fpg_pose_ros.nodes.statistics import Counts
from fpg_pose_ros.tracking import PoseTracker


class Condition(NamedTuple):
    """A pose node at one moment.

    Attributes:
        state: of its lifecycle, as ROS names it.
        bundle_error: why the last bundle was refused; empty if it was not.
        settings: in force.
        tracker: of the loaded bundles; None if none are.
        session: at work; None if the node is not active.
    """

    state: str
    bundle_error: str
    settings: Settings
    tracker: PoseTracker | None
    session: Session | None


class Reporter:
    """Publishes the diagnostics of a node.

    Args:
        node: whose they are.
        period: between two messages, in real time (s).
        condition: says how the node is.
    """

    def __init__(self, node: Node, period: float, condition: Callable[[], Condition]) -> None:
        """Begins to publish."""
        self._node = node
        self._condition = condition
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", qos.RESULTS)
        self._last_session: Session | None = None
        self._last_counts = Counts()
        node.create_timer(period, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _report(self) -> None:
        now = self._condition()
        session = now.session
        if session is not self._last_session:
            self._last_session, self._last_counts = session, Counts()
        counts = Counts() if session is None else session.statistics.counts()
        bundles = () if now.tracker is None else now.tracker.bundles
        report = NodeReport(
            node=self._node.get_fully_qualified_name(),
            state=now.state,
            bundle=", ".join(bundle.name for bundle in bundles),
            bundle_hash=", ".join(bundle.hash for bundle in bundles),
            bundle_error=now.bundle_error,
            counts=counts,
            last_counts=self._last_counts,
        )
        if session is not None:
            report = replace(
                report,
                enabled=session.enabled,
                image_age=None if session.image_at is None else time.monotonic() - session.image_at,
                image_timeout=now.settings.camera_timeout,
                camera_error=session.camera_error,
                last_error=session.statistics.last_error,
                latency_ms=session.statistics.percentiles(50, 99),
                tracking=now.settings.tracking.enabled,
                tracks=session.statistics.last_poses,
            )
        self._last_counts = counts
        self._publisher.publish(diagnostic_array(self._node.get_clock().now().to_msg(), report))
