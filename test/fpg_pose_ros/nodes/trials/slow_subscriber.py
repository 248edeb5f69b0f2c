# SPDX-License-Identifier: Apache-2.0
"""Listens to everything a pose node publishes, and takes its time over each message."""

from __future__ import annotations

import time

import rclpy
from fpg_pose_ros.msg import ObjectPoseArray
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.process import leave_on_signals


def main() -> None:
    """Runs until it is told to end."""
    rclpy.init()
    node = rclpy.create_node("slow_subscriber")
    for kind, topic, profile in (
        (ObjectPoseArray, "pose_node/poses", qos.RESULTS),
        (MarkerArray, "pose_node/markers", qos.RESULTS),
        (Image, "pose_node/overlay", qos.PICTURE),
        (TFMessage, "/tf", qos.TF),
    ):
        node.create_subscription(kind, topic, lambda _: time.sleep(0.5), profile)
    print("listening", flush=True)
    rclpy.spin(node)


if __name__ == "__main__":
    leave_on_signals()
    main()
