# SPDX-License-Identifier: Apache-2.0
"""The publishers of a pose node, and what goes out on them for a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.estimator import PoseEstimate, StageTimes
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.msg import ModelInfo, ObjectPoseArray
from fpg_pose_ros.nodes import messages, qos
from fpg_pose_ros.nodes.images import rgb_to_image
from fpg_pose_ros.nodes.markers import MeshMarkers, deletion_of_all
from fpg_pose_ros.nodes.model_info import model_info
from fpg_pose_ros.nodes.names import unique_tokens
from fpg_pose_ros.overlay import draw


class PoseOutputs:
    """Publishes the results of frames.

    Args:
        node: whose topics they are.
        bundle: its objects get a topic each.
        tf_prefix: put before the objects' names to make their TF frames.
    """

    def __init__(self, node: Node, bundle: Bundle, tf_prefix: str) -> None:
        """Opens the topics."""
        self._node = node
        self._bundle = bundle
        self._tf_prefix = tf_prefix
        self._objects = [item.model for item in bundle.objects]
        self._markers_of = MeshMarkers(self._objects)
        publisher = node.create_publisher
        self._poses = publisher(ObjectPoseArray, "~/poses", qos.RESULTS)
        self._pose_of: dict[str, Publisher] = {
            name: publisher(PoseStamped, f"~/{token}/pose", qos.RESULTS)
            for name, token in unique_tokens([model.name for model in self._objects]).items()
        }
        self._tf = publisher(TFMessage, "/tf", qos.TF)
        self._markers = publisher(MarkerArray, "~/markers", qos.RESULTS)
        self._overlay = publisher(Image, "~/overlay", qos.PICTURE)
        self._model_info = publisher(ModelInfo, "~/model_info", qos.LATCHED)

    def announce(self) -> None:
        """Publishes what the model is, for everyone who asks from now on."""
        self._model_info.publish(model_info(self._bundle, self._node.get_clock().now().to_msg()))

    def publish_poses(
        self,
        header: Header,
        estimates: Sequence[PoseEstimate],
        times: StageTimes,
        *,
        received: int,
        dropped: int,
        with_tf: bool,
    ) -> None:
        """Publishes the poses of a frame; with no estimates an empty array and nothing else."""
        self._poses.publish(
            messages.object_pose_array(header, estimates, times, received=received, dropped=dropped)
        )
        for estimate in estimates:
            self._pose_of[estimate.object_name].publish(messages.pose_stamped(estimate))
        if with_tf and estimates:
            self._tf.publish(messages.transforms(estimates, self._tf_prefix))

    def publish_pictures(
        self,
        image: NDArray[np.uint8],
        camera: Camera,
        header: Header,
        estimates: Sequence[PoseEstimate],
    ) -> None:
        """Publishes markers and overlay of a frame, each only if someone listens."""
        if self._markers.get_subscription_count():
            for message in self._markers_of.frame(estimates):
                self._markers.publish(message)
        if self._overlay.get_subscription_count():
            picture = draw(image, camera, estimates, self._objects)
            self._overlay.publish(rgb_to_image(picture, header))

    def clear(self) -> None:
        """Takes the markers away."""
        self._markers.publish(deletion_of_all())

    def destroy(self) -> None:
        """Gives the topics back."""
        for publisher in (
            self._poses,
            *self._pose_of.values(),
            self._tf,
            self._markers,
            self._overlay,
            self._model_info,
        ):
            self._node.destroy_publisher(publisher)
