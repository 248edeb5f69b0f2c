# SPDX-License-Identifier: Apache-2.0
"""How the pose node listens to its camera: transport and quality of service."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import marks_world
from diagnostic_msgs.msg import DiagnosticArray
from fpg_pose_ros.srv import LoadBundle
from ros_processes import Camera, NodeProcess, Peer, poses_of, status_of
from sensor_msgs.msg import CompressedImage

from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.cameras import camera_to_info
from fpg_pose_ros.nodes.messages import transform_from_pose
from fpg_pose_ros.nodes.stamps import stamp_ns


def test_overridden_qos_and_compressed_images(peer: Peer, marks_bundle: Path) -> None:
    overrides = {
        "qos_overrides./cam/image/compressed.subscription.reliability": "reliable",
        "qos_overrides./camera_info.subscription.depth": 7,
    }
    with NodeProcess(
        "pose_node",
        *("-r", "image:=/cam/image"),
        bundle=marks_bundle,
        image_transport="compressed",
        diagnostics_period=0.2,
        **overrides,
    ) as process:
        process.wait_for("active")
        for name, value in overrides.items():
            assert peer.get_parameter(name) == value
        diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
        topic = "/cam/image/compressed"
        unheard = peer.node.create_publisher(CompressedImage, topic, qos.images("best_effort", 5))
        peer.spin_until(
            lambda: (
                bool(diagnostics)
                and f"a publisher of {topic} cannot be heard, its QoS differs in RELIABILITY"
                in status_of(diagnostics[-1], "camera").message
            )
        )
        peer.node.destroy_publisher(unheard)
        images = peer.node.create_publisher(CompressedImage, topic, qos.images("reliable", 5))
        camera = Camera(peer)
        peer.spin_until(lambda: images.get_subscription_count() == 1)
        arrays = poses_of(peer)
        for number in range(100):
            stamp = 10**9 + 40_000_000 * number
            header = camera.header(stamp)
            picture = marks_world.image(marks_world.pose(stamp * 1e-9))
            jpeg = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
            camera.infos.publish(camera_to_info(marks_world.CAMERA, header))
            images.publish(
                CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=jpeg)
            )
            peer.spin(0.04)
            if arrays and arrays[-1].poses:
                break
        truth = marks_world.pose(stamp_ns(arrays[-1].header.stamp) * 1e-9)
        T = transform_from_pose(arrays[-1].poses[0].pose.pose)
        assert np.linalg.norm(T[:3, 3] - truth[:3, 3]) < 0.03


def test_a_qos_override_that_cannot_be_is_named_and_the_node_stays_inactive(
    peer: Peer, marks_bundle: Path
) -> None:
    bad = {"qos_overrides./image.subscription.history": "keep_all"}
    with NodeProcess("pose_node", bundle=marks_bundle, **bad) as process:
        process.wait_for("not activated: qos_overrides of /image: ")
        process.wait_for("history must be keep_last")
        assert peer.state() == "inactive"
        # While it loads a bundle it leaves as well as ever.
        client = peer.node.create_client(LoadBundle, "/pose_node/load_bundle")
        assert client.wait_for_service()
        client.call_async(LoadBundle.Request(bundle=str(marks_bundle)))
        peer.spin(0.05)
        assert process.stop() == 0
        assert "Traceback" not in process.output
