# SPDX-License-Identifier: Apache-2.0
"""The publishers of a pose node, and what goes out on them for a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from fpg_pose_ros.nodes.detections import detection_array, import_vision_msgs
from fpg_pose_ros.nodes.images import rgb_to_image
from fpg_pose_ros.nodes.markers import UP_CAMERA, UP_WORLD, ObjectMarkers, deletion_of_all
from fpg_pose_ros.nodes.model_info import model_info
from fpg_pose_ros.nodes.names import Instances, check_tf_frames, firsts, unique_tokens
from fpg_pose_ros.nodes.target_frame import Tf2Source, in_frame
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.overlay import draw


class PoseOutputs:
    """Publishes the results of frames.

    Args:
        node: whose topics they are.
        bundles: their objects, of different names, get a topic each.
        tf_prefix: put before the objects' names to make their TF frames.
        tf_instances: which TF frames carry the instance's number, see `names.tf_frame`.
        detections: publish vision_msgs/Detection3DArray too.

    Raises:
        DetectionsError: vision_msgs is wanted and not installed.
        NameClashError: two objects would share a TF frame.
    """

    def __init__(
        self,
        node: Node,
        bundles: Sequence[Bundle],
        *,
        tf_prefix: str = "",
        tf_instances: Instances = "auto",
        detections: bool = False,
    ) -> None:
        """Opens the topics."""
        self._vision_msgs: Any = import_vision_msgs() if detections else None
        self._node = node
        self._tf_prefix = tf_prefix
        self._tf_instances: Instances = tf_instances
        self._tf2: Tf2Source | None = None
        self._bundles: Sequence[Bundle] = ()
        self._objects: dict[str, ObjectModel] = {}
        self._tokens: dict[str, str] = {}
        self._pose_of: dict[str, Publisher] = {}
        self._markers_of = ObjectMarkers([])
        self._check(bundles)
        publisher = node.create_publisher
        self._poses = publisher(ObjectPoseArray, "~/poses", qos.RESULTS)
        self._tf = publisher(TFMessage, "/tf", qos.TF)
        self._markers = publisher(MarkerArray, "~/markers", qos.MARKERS)
        self._overlay = publisher(Image, "~/overlay", qos.PICTURE)
        self._model_info: Publisher | None = None
        self._detections: Publisher | None = None
        if self._vision_msgs is not None:
            kind = self._vision_msgs.Detection3DArray
            self._detections = publisher(kind, "~/detections", qos.RESULTS)
        self.use(bundles)

    def use(self, bundles: Sequence[Bundle]) -> None:
        """Takes up other bundles; topics that there still are go on without a break.

        Raises:
            NameClashError: two objects would share a TF frame. The bundles stay as they were.
        """
        self._check(bundles)
        if self._bundles:
            self.clear()
        self._bundles = tuple(bundles)
        self._objects = {
            item.model.name: item.model for bundle in bundles for item in bundle.objects
        }
        self._tokens = unique_tokens(list(self._objects))
        kept = {token: self._pose_of.pop(token, None) for token in self._tokens.values()}
        for publisher in self._pose_of.values():
            self._node.destroy_publisher(publisher)
        self._pose_of = {
            token: publisher
            or self._node.create_publisher(PoseStamped, f"~/{token}/pose", qos.RESULTS)
            for token, publisher in kept.items()
        }
        self._markers_of = ObjectMarkers(list(self._objects.values()))
        # Anew, so that no one who comes later is told of models that are gone.
        if self._model_info is not None:
            self._node.destroy_publisher(self._model_info)
        self._model_info = self._node.create_publisher(
            ModelInfo, "~/model_info", qos.latched(len(bundles))
        )

    def announce(self) -> None:
        """Publishes what the models are, for everyone who asks from now on."""
        assert self._model_info is not None
        loaded = self._node.get_clock().now().to_msg()
        for bundle in self._bundles:
            self._model_info.publish(model_info(bundle, loaded))

    def publish_poses(
        self,
        header: Header,
        estimates: Sequence[PoseEstimate],
        times: StageTimes,
        *,
        received: int,
        dropped: int,
        with_tf: bool,
        target_frame: str = "",
        target_timeout: float = 0.0,
    ) -> Sequence[PoseEstimate]:
        """Publishes the poses of a frame; with no estimates an empty array and nothing else.

        Args:
            header: of the image.
            estimates: in the camera's frame.
            times: spent on the image.
            received: images that came since the node was activated.
            dropped: images given up since then.
            with_tf: publish camera -> object on /tf too; the camera stays the parent.
            target_frame: the frame to give the poses in, all but those on /tf; empty for the
                camera's.
            target_timeout: how long to wait for the transform to that frame (s).

        Returns:
            The estimates in the frame in which they were published.

        Raises:
            TargetFrameError: tf2 cannot tell where that frame is; only /tf was published.
        """
        try:
            placed = self._placed(estimates, target_frame, target_timeout)
            if target_frame:
                header = Header(stamp=header.stamp, frame_id=target_frame)
            array = messages.object_pose_array(
                header, placed, times, received=received, dropped=dropped
            )
            self._poses.publish(array)
            for pose in firsts(array.poses, lambda pose: (pose.object_id, pose.instance_id)):
                topic = self._pose_of[self._tokens[pose.object_id]]
                topic.publish(messages.pose_stamped(pose))
            if self._detections is not None:
                self._detections.publish(
                    detection_array(header, placed, self._objects, self._vision_msgs)
                )
        finally:
            if with_tf and estimates:
                self._tf.publish(
                    messages.transforms(estimates, self._tf_prefix, self._tf_instances)
                )
        return placed

    def publish_pictures(
        self,
        image: NDArray[np.uint8],
        camera: Camera,
        header: Header,
        estimates: Sequence[PoseEstimate],
        placed: Sequence[PoseEstimate],
        *,
        lifetime: float,
    ) -> None:
        """Publishes overlay and markers of a frame, each only if someone listens.

        Args:
            image: (H, W, 3) RGB.
            camera: that took it.
            header: of the image.
            estimates: in the camera's frame, for the overlay.
            placed: the same as `publish_poses` returned them, for the markers.
            lifetime: how long the markers show if no other frame comes (s).
        """
        if self._markers.get_subscription_count():
            up = UP_CAMERA if placed is estimates else UP_WORLD
            for message in self._markers_of.frame(placed, lifetime, up):
                self._markers.publish(message)
        if self._overlay.get_subscription_count():
            picture = draw(image, camera, estimates, list(self._objects.values()))
            self._overlay.publish(rgb_to_image(picture, header))

    def leave_target_frame(self) -> None:
        """Stops listening to tf2, until poses are wanted in another frame than the camera's."""
        if self._tf2 is not None:
            self._tf2.close()
            self._tf2 = None

    def clear(self) -> None:
        """Takes the markers away."""
        self._markers.publish(deletion_of_all())

    def destroy(self) -> None:
        """Gives the topics back."""
        self.leave_target_frame()
        for publisher in (
            self._poses,
            *self._pose_of.values(),
            self._tf,
            self._markers,
            self._overlay,
            self._model_info,
            self._detections,
        ):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _check(self, bundles: Sequence[Bundle]) -> None:
        names = [item.model.name for bundle in bundles for item in bundle.objects]
        check_tf_frames(names, self._tf_instances)

    def _placed(
        self, estimates: Sequence[PoseEstimate], frame: str, timeout: float
    ) -> Sequence[PoseEstimate]:
        if not frame or not estimates or frame == estimates[0].frame_id:
            return estimates
        if self._tf2 is None:
            self._tf2 = Tf2Source(self._node)
        first = estimates[0]
        return in_frame(
            estimates, self._tf2.lookup(frame, first.frame_id, first.stamp_ns, timeout), frame
        )
