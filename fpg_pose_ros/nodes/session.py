# SPDX-License-Identifier: Apache-2.0
"""An active pose node at work: its inputs, and what is done with each frame."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import Any, Literal, cast

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from fpg_pose_ros.errors import CameraError, FpgPoseError
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.nodes.camera_inputs import CameraInputs
from fpg_pose_ros.nodes.cameras import CameraMatcher, NoCamera
from fpg_pose_ros.nodes.image_transports import TRANSPORTS
from fpg_pose_ros.nodes.outputs import PoseOutputs
from fpg_pose_ros.nodes.parameter_values import ParameterValues
from fpg_pose_ros.nodes.settings import Settings
from fpg_pose_ros.nodes.stamps import stamp_ns
from fpg_pose_ros.nodes.statistics import FrameStatistics
from fpg_pose_ros.nodes.target_frame import TargetFrameError
from fpg_pose_ros.sources.images import ImageError
from fpg_pose_ros.tracking import PoseTracker

_LOG_EVERY_S = 5.0


class Session:
    """Listens to a camera and publishes the poses in its images, from creation until `close`.

    Nothing that comes in a message ends it: a frame that cannot be processed is counted under its
    cause and logged. At most one image waits, for its camera_info; a newer one takes its place.

    Args:
        node: that listens.
        values: its parameters.
        settings: the live ones among them.
        tracker: finds the poses.
        outputs: publish them.

    Attributes:
        statistics: of the images that came while it was enabled.
        image_at: monotonic time of the last image (s); None if none came.

    Raises:
        QosError: the subscriptions cannot be made as they are wanted.
    """

    def __init__(
        self,
        node: Node,
        values: ParameterValues,
        settings: Settings,
        tracker: PoseTracker,
        outputs: PoseOutputs,
    ) -> None:
        """Begins to listen."""
        self.statistics = FrameStatistics()
        self.image_at: float | None = None
        self._enabled = True
        self._camera_error = ""
        self._node = node
        self._outputs = outputs
        self._waiting: tuple[Any, tuple[int, int], int] | None = None
        self._matcher = CameraMatcher(
            cast(Literal["latest", "exact"], values.get("camera_info_match", str)),
            rectified=values.get("rectified", bool),
        )
        self._transport = TRANSPORTS[values.get("image_transport", str)]
        self.use(tracker, settings)
        self._inputs = CameraInputs(
            node,
            self._transport,
            values.get("image_reliability", str),
            values.get("image_queue_depth", int),
            on_image=self._on_image,
            on_camera_info=self._on_camera_info,
        )

    @property
    def camera_error(self) -> str:
        """Why the camera cannot be used now; empty if it can."""
        # Some publisher that cannot be heard does no harm once another is.
        return self._camera_error or (self._inputs.mismatch if self.image_at is None else "")

    @property
    def enabled(self) -> bool:
        """Whether images are looked at; else they pass by uncounted."""
        return self._enabled

    def enable(self, enabled: bool) -> None:
        """Looks at the images from the next one on, or lets them pass and takes away what shows."""
        self._enabled = enabled
        if not enabled:
            if self._waiting is not None:
                self._waiting = None
                self._drop("no camera_info", self._camera_error)
            self._tracker.reset()
            self._outputs.clear()

    def use(self, tracker: PoseTracker, settings: Settings) -> None:
        """Takes up a tracker and settings, from the next image on."""
        tracker.limits = settings.limits
        tracker.settings = settings.tracking
        self._tracker = tracker
        self._settings = settings

    def close(self) -> None:
        """Stops listening."""
        self._inputs.close()
        self._waiting = None

    def _on_camera_info(self, info: CameraInfo) -> None:
        self._matcher.add(info)
        if self._waiting is not None:
            self._process_waiting()

    def _on_image(self, message: Any) -> None:
        arrived_ns = time.perf_counter_ns()
        self.image_at = time.monotonic()
        if not self._enabled:
            return
        self.statistics.received += 1
        if self._waiting is not None:
            self._drop("no camera_info", self._camera_error)
        try:
            self._waiting = message, self._transport.size(message), arrived_ns
        except ImageError as error:
            self._waiting = None
            self._drop("image", str(error))
            return
        self._process_waiting()

    def _process_waiting(self) -> None:
        """Processes the waiting image if its camera is known; else it goes on waiting."""
        assert self._waiting is not None
        message, size, arrived_ns = self._waiting
        try:
            camera = self._matcher.camera(message.header, *size)
            self._camera_error = ""
            self._process(message, camera, arrived_ns)
        except NoCamera as error:
            self._camera_error = str(error)
            return
        except ImageError as error:
            self._drop("image", str(error))
        except CameraError as error:
            self._camera_error = str(error)
            self._drop("camera_info", str(error))
        except TargetFrameError as error:
            self._drop("target_frame", str(error))
        except FpgPoseError as error:
            self._drop("estimator", str(error))
        except Exception as error:  # a robot's node outlives any one frame
            if not self._node.context.ok():  # told to end in the midst of one
                return
            self._drop("internal", f"{type(error).__name__}: {error}")
            self._node.get_logger().error(
                traceback.format_exc(), throttle_duration_sec=_LOG_EVERY_S
            )
        self._waiting = None

    def _process(self, message: Any, camera: Camera, arrived_ns: int) -> None:
        header, settings = message.header, self._settings
        image = self._transport.to_rgb(message)
        converted_ns = time.perf_counter_ns()
        result = self._tracker.estimate(image, camera, stamp_ns(header.stamp), header.frame_id)
        estimated_ns = time.perf_counter_ns()
        placed = self._outputs.publish_poses(
            header,
            result.estimates,
            replace(result.times, total_ms=(estimated_ns - arrived_ns) * 1e-6),
            received=self.statistics.received,
            dropped=self.statistics.dropped.total(),
            with_tf=settings.publish_tf,
            target_frame=settings.target_frame,
            target_timeout=settings.target_timeout,
        )
        published_ns = time.perf_counter_ns()
        age_ns = self._node.get_clock().now().nanoseconds - stamp_ns(header.stamp)
        self._outputs.publish_pictures(
            image, camera, header, result.estimates, placed, lifetime=settings.camera_timeout
        )
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
                "age": age_ns * 1e-6,
            },
        )

    def _drop(self, cause: str, error: str) -> None:
        self.statistics.drop(cause, error)
        self._node.get_logger().error(f"frame dropped: {error}", throttle_duration_sec=_LOG_EVERY_S)
