# SPDX-License-Identifier: Apache-2.0
"""Detections where vision_msgs is absent; where it is there, see test_optional_packages.py."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import sys

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from fpg_pose_ros.nodes.detections import DetectionsError, import_vision_msgs


def test_without_vision_msgs_the_error_names_the_package_and_the_parameter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    with pytest.raises(DetectionsError, match=r"publish_detections needs .* vision_msgs"):
        import_vision_msgs()
