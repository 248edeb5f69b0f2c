# SPDX-License-Identifier: Apache-2.0
"""What diagnostics say of each state of a node."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from fpg_pose_ros.nodes.diagnostics import (
    NodeReport,
    camera_status,
    diagnostic_array,
    frames_status,
    model_status,
    tracker_status,
)
from fpg_pose_ros.nodes.statistics import Counts

OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR
RUNNING = NodeReport(
    node="/robot/pose_node",
    state="active",
    bundle="spot",
    bundle_hash="abc",
    image_age=0.03,
    tracking=True,
    tracks=3,
    counts=Counts(
        at=11.0, received=60, processed=58, poses=50, located=6, dropped=Counter(image=2)
    ),
    last_counts=Counts(
        at=10.0, received=30, processed=28, poses=20, located=4, dropped=Counter(image=2)
    ),
    last_error="image is empty",
    latency_ms={"total": (2.0, 5.0)},
)


@pytest.mark.parametrize(
    ("change", "level", "message"),
    [
        ({}, OK, "running"),
        ({"state": "inactive"}, OK, "bundle loaded, node is inactive"),
        ({"enabled": False}, OK, "bundle loaded, node is disabled"),
        ({"state": "unconfigured", "bundle": ""}, WARN, "no bundle loaded (unconfigured)"),
        ({"bundle": "", "bundle_error": "it is altered"}, ERROR, "it is altered"),
    ],
)
def test_the_model_s_level(change: dict, level: bytes, message: str) -> None:
    status = model_status(replace(RUNNING, **change))
    assert (status.level, status.message) == (level, message)


@pytest.mark.parametrize(
    ("change", "level", "message"),
    [
        ({}, OK, "images come"),
        ({"state": "inactive"}, OK, "not listening (inactive)"),
        ({"enabled": False, "image_age": 9.0}, OK, "not listening (disabled)"),
        ({"image_age": None}, WARN, "no image has come"),
        ({"image_age": 2.5}, ERROR, "no image for 2.5 s"),
        ({"camera_error": "uncalibrated"}, WARN, "uncalibrated"),
    ],
)
def test_the_camera_s_level(change: dict, level: bytes, message: str) -> None:
    status = camera_status(replace(RUNNING, **change))
    assert (status.level, status.message) == (level, message)


@pytest.mark.parametrize(
    ("change", "level", "message"),
    [
        ({}, OK, "58 frames processed"),
        ({"state": "inactive"}, OK, "not processing (inactive)"),
        ({"last_counts": Counts(at=10.0)}, WARN, "dropping frames (image: 2)"),
    ],
)
def test_the_frames_level(change: dict, level: bytes, message: str) -> None:
    status = frames_status(replace(RUNNING, **change))
    assert (status.level, status.message) == (level, message)


@pytest.mark.parametrize(
    ("change", "message", "tracks"),
    [
        ({}, "3 tracked", "3"),
        ({"tracking": False}, "off: every image stands alone", "0"),
        ({"state": "inactive"}, "not tracking (inactive)", "3"),
    ],
)
def test_the_tracker_s_message(change: dict, message: str, tracks: str) -> None:
    status = tracker_status(replace(RUNNING, **change))
    assert (status.level, status.message, status.values[0].value) == (OK, message, tracks)


def test_the_values_are_counts_rates_and_latencies() -> None:
    message = diagnostic_array(Time(sec=7), RUNNING)
    assert message.header.stamp.sec == 7
    values = {pair.key: pair.value for status in message.status for pair in status.values}
    assert values["received"] == "60"
    assert values["processed"] == "58"
    assert values["dropped: image"] == "2"
    assert values["rate in (Hz)"] == "30.0"
    assert values["rate out (Hz)"] == "30.0"
    assert values["locator rate (Hz)"] == "2.0"
    assert values["total p50 (ms)"] == "2.00"
    assert values["total p99 (ms)"] == "5.00"
    assert values["last error"] == "image is empty"
    assert {status.name for status in message.status} == {
        "robot/pose_node: model",
        "robot/pose_node: camera",
        "robot/pose_node: frames",
        "robot/pose_node: tracker",
    }
    assert {status.hardware_id for status in message.status} == {"spot"}
