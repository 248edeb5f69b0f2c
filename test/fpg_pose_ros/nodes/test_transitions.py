# SPDX-License-Identifier: Apache-2.0
"""What a transition raises is not lost."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from fpg_pose_ros.nodes.transitions import logged


class Clumsy(LifecycleNode):
    """A node that cannot be configured."""

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fails as nobody expected."""
        raise ValueError("over its own feet")


def test_the_log_says_why_a_transition_failed(ros: None, capfd: pytest.CaptureFixture[str]) -> None:
    node = Clumsy("clumsy")
    assert node.trigger_configure() == TransitionCallbackReturn.ERROR
    node.destroy_node()
    assert "ValueError: over its own feet" in capfd.readouterr().err
