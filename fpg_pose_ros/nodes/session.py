# SPDX-License-Identifier: Apache-2.0
"""An active pose node at work: its inputs, and what is done with each frame."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import Literal, cast

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.cameras import CameraMatcher, NoCamera
from fpg_pose_ros.nodes.images import ImageError, image_to_rgb
from fpg_pose_ros.nodes.outputs import PoseOutputs
from fpg_pose_ros.nodes.parameter_values import ParameterValues
from fpg_pose_ros.nodes.stamps import stamp_ns
from fpg_pose_ros.nodes.statistics import FrameStatistics

_LOG_EVERY_S = 5.0


class Session:
    """Listens to a camera and publishes the poses in its images, from creation until `close`.

    Nothing that comes in a message ends it: a frame that cannot be processed is counted under its
    cause and logged. At most one image waits, for its camera_info; a newer one takes its place.
    """

    def __init__(
        self, node: Node, values: ParameterValues, estimator: Estimator, outputs: PoseOutputs
    ) -> None:
        """Begins to listen."""
        self.statistics = FrameStatistics()
        self.camera_error = ""
        self.image_at: float | None = None
        self._node = node
        self._values = values
        self._estimator = estimator
        self._outputs = outputs
        self._waiting: tuple[Image, int] | None = None
        self._matcher = CameraMatcher(
            cast(Literal["latest", "exact"], values.get("camera_info_match", str)),
            rectified=values.get("rectified", bool),
        )
        reliability = values.get("image_reliability", str)
        depth = values.get("image_queue_depth", int)
        # camera_info comes first, so that of two messages that are both there it is taken first. It
        # is small: a few more may wait, for images that come later than theirs.
        self._inputs = [
            node.create_subscription(
                CameraInfo, "camera_info", self._on_camera_info, qos.images(reliability, depth + 9)
            ),
            node.create_subscription(
                Image, "image", self._on_image, qos.images(reliability, depth)
            ),
        ]

    def close(self) -> None:
        """Stops listening."""
        for subscription in self._inputs:
            self._node.destroy_subscription(subscription)
        self._inputs = []
        self._waiting = None

    def _on_camera_info(self, info: CameraInfo) -> None:
        self._matcher.add(info)
        if self._waiting is not None:
            self._process_waiting()

    def _on_image(self, message: Image) -> None:
        arrived_ns = time.perf_counter_ns()
        self.image_at = time.monotonic()
        self.statistics.received += 1
        if self._waiting is not None:
            self._drop("no camera_info", self.camera_error)
        self._waiting = message, arrived_ns
        self._process_waiting()

    def _process_waiting(self) -> None:
        """Processes the waiting image if its camera is known; else it goes on waiting."""
        assert self._waiting is not None
        message, arrived_ns = self._waiting
        try:
            camera = self._matcher.camera(message.header, message.width, message.height)
        except NoCamera as error:
            self.camera_error = str(error)
            return
        except FpgPoseError as error:
            self.camera_error = str(error)
            self._waiting = None
            self._drop("camera_info", self.camera_error)
            return
        self.camera_error = ""
        self._waiting = None
        try:
            self._process(message, camera, arrived_ns)
        except ImageError as error:
            self._drop("image", str(error))
        except FpgPoseError as error:
            self._drop("estimator", str(error))
        except Exception as error:  # a robot's node outlives any one frame
            self._drop("internal", f"{type(error).__name__}: {error}")
            self._node.get_logger().error(
                traceback.format_exc(), throttle_duration_sec=_LOG_EVERY_S
            )

    def _process(self, message: Image, camera: Camera, arrived_ns: int) -> None:
        header, values = message.header, self._values
        image = image_to_rgb(message)
        converted_ns = time.perf_counter_ns()
        self._estimator.min_detection_score = values.get("min_detection_score", float)
        self._estimator.min_score = values.get("min_score", float)
        self._estimator.max_reprojection_error = values.get("max_reprojection_error", float)
        result = self._estimator.estimate(image, camera, stamp_ns(header.stamp), header.frame_id)
        estimated_ns = time.perf_counter_ns()
        self._outputs.publish_poses(
            header,
            result.estimates,
            replace(result.times, total_ms=(estimated_ns - arrived_ns) * 1e-6),
            received=self.statistics.received,
            dropped=self.statistics.dropped.total(),
            with_tf=values.get("publish_tf", bool),
        )
        published_ns = time.perf_counter_ns()
        self._outputs.publish_pictures(image, camera, header, result.estimates)
        self.statistics.process(
            len(result.estimates),
            {
                "convert": (converted_ns - arrived_ns) * 1e-6,
                "preprocess": result.times.preprocess_ms,
                "locate": result.times.locate_ms,
                "infer": result.times.infer_ms,
                "solve": result.times.solve_ms,
                "publish": (published_ns - estimated_ns) * 1e-6,
                "total": (published_ns - arrived_ns) * 1e-6,
                "pictures": (time.perf_counter_ns() - published_ns) * 1e-6,
            },
        )

    def _drop(self, cause: str, error: str) -> None:
        self.statistics.drop(cause, error)
        self._node.get_logger().error(f"frame dropped: {error}", throttle_duration_sec=_LOG_EVERY_S)
