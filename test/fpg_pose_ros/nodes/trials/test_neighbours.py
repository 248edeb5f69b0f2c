# SPDX-License-Identifier: Apache-2.0
"""Others in the same graph: a second pose node, and a subscriber that cannot keep up."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]

from fpg_pose_ros.msg import ObjectPoseArray
from ros_processes import Camera, NodeProcess, Peer
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.stamps import stamp_ns

SIDES = ("left", "right")
SHARED_TOPICS = {"/tf", "/diagnostics", "/rosout", "/parameter_events"}
FRAMES, PHASE_S = 100, 8.0


def test_two_nodes_in_two_namespaces_do_not_meet(
    peer: Peer, marks_bundle: Path, count: Callable[..., None]
) -> None:
    poses = {side: peer.collect(ObjectPoseArray, f"/{side}/pose_node/poses") for side in SIDES}
    tf = peer.collect(TFMessage, "/tf", qos.TF)
    answers = {}
    nodes = [
        NodeProcess("pose_node", "-r", f"__ns:=/{side}", bundle=marks_bundle, tf_prefix=f"{side}/")
        for side in SIDES
    ]
    with nodes[0], nodes[1]:
        for node in nodes:
            node.wait_for("active")
        cameras = {side: Camera(peer, prefix=f"/{side}") for side in SIDES}
        for side, camera in cameras.items():
            camera.wait_for_subscribers()
            assert camera.images.get_subscription_count() == 1
            other = poses[SIDES[side == "left"]]
            other.clear()
            tf.clear()
            camera.send_until(lambda side=side: len(poses[side]) >= FRAMES)
            peer.spin(0.5)
            answers[side] = len(poses[side])
            assert other == [], "images of one side reached the other's node"
            frames = {t.child_frame_id for message in tf for t in message.transforms}
            assert frames == {f"{side}/marks"}
            topics = peer.node.get_publisher_names_and_types_by_node("pose_node", f"/{side}")
            topics += peer.node.get_subscriber_names_and_types_by_node("pose_node", f"/{side}")
            strangers = [t for t, _ in topics if not t.startswith(f"/{side}/")]
            assert set(strangers) <= SHARED_TOPICS
        for node in nodes:
            assert node.stop() == 0
    count(
        **{f"answers_{side}": number for side, number in answers.items()},
        answers_in_the_wrong_namespace=0,
    )


def test_a_slow_subscriber_does_not_slow_the_node(
    peer: Peer, marks_bundle: Path, marks_folder: Path, count: Callable[..., None]
) -> None:
    """Slow at first, then not running at all, as in a debugger."""
    latencies: list[float] = []

    def arrived(message: ObjectPoseArray) -> None:
        latencies.append((time.time_ns() - stamp_ns(message.header.stamp)) * 1e-6)

    peer.node.create_subscription(ObjectPoseArray, "/pose_node/poses", arrived, 50)
    # So that pictures are drawn in all phases.
    peer.node.create_subscription(
        Image, "/pose_node/overlay", lambda _: None, qos.PICTURE, raw=True
    )

    def phase() -> tuple[float, float]:
        """Returns answers a second, and the median time from the camera to an answer (ms)."""
        peer.spin(2.0)
        latencies.clear()
        peer.spin(PHASE_S)
        return len(latencies) / PHASE_S, float(np.median(latencies or [np.inf]))

    with (
        NodeProcess("pose_node", bundle=marks_bundle) as node,
        NodeProcess("camera_node", source=marks_folder, loop=True),
    ):
        node.wait_for("active")
        peer.spin_until(lambda: bool(latencies))
        figures = {"alone": phase()}
        with NodeProcess(Path(__file__).parent / "slow_subscriber.py") as slow:
            slow.wait_for("listening")
            figures["beside_a_slow_one"] = phase()
            slow.process.send_signal(signal.SIGSTOP)
            figures["beside_a_stopped_one"] = phase()
            slow.process.send_signal(signal.SIGCONT)
        assert node.stop() == 0
    assert figures["alone"][0] > 20, "this machine is too busy to tell"
    for when, (rate, latency) in figures.items():
        count(**{f"rate_hz_{when}": round(rate, 1), f"latency_ms_{when}": round(latency, 1)})
        assert rate > 0.95 * figures["alone"][0]
        assert latency < 2 * figures["alone"][1] + 5
