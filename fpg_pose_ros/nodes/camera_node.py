# SPDX-License-Identifier: Apache-2.0
"""A camera made of frames: publishes Image, CameraInfo and known poses at a steady rate."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.msg import ObjectPoseArray
from fpg_pose_ros.nodes import process, qos
from fpg_pose_ros.nodes.cameras import camera_to_info
from fpg_pose_ros.nodes.frame_source import OpenSource, SourceRequest, frames_of
from fpg_pose_ros.nodes.images import rgb_to_image
from fpg_pose_ros.nodes.messages import true_poses
from fpg_pose_ros.nodes.parameter_values import ParameterValues
from fpg_pose_ros.nodes.parameters import CAMERA_NODE
from fpg_pose_ros.nodes.prefetch import Prefetch
from fpg_pose_ros.nodes.stamps import stamp_from_ns
from fpg_pose_ros.sources import Frame


class CameraNode(Node):
    """Publishes the frames of a source.

    Args:
        open_source: opens the source that was asked for. It is called in another process, so it
            must be a function of a module.

    Attributes:
        finished: done when the source has ended and its last frame was published; its result is the
            exit code.
        published: how many frames were.
    """

    def __init__(self, open_source: OpenSource, **node_arguments: Any) -> None:
        """Starts to prepare frames; publishing begins when the node spins."""
        super().__init__("camera_node", **node_arguments)
        self.finished = Future()
        self.published = 0
        values = self._values = ParameterValues(self, CAMERA_NODE)
        self._period = 1.0 / values.get("rate", float)
        self._late = 0
        self._began = time.monotonic()
        self._last = self._began
        profile = qos.images(
            values.get("image_reliability", str), values.get("image_queue_depth", int)
        )
        self._images = self.create_publisher(Image, "image", profile)
        self._infos = self.create_publisher(CameraInfo, "camera_info", profile)
        self._truth = self.create_publisher(ObjectPoseArray, "~/ground_truth", qos.RESULTS)
        request = SourceRequest(
            source=values.get("source", str),
            camera_file=values.get("camera_file", str),
            object=values.get("object", str),
            seed=values.get("seed", int),
            duration=values.get("duration", float),
            rate=values.get("rate", float),
            loop=values.get("loop", bool),
        )
        self._prefetch = Prefetch(
            partial(frames_of, open_source, request), values.get("prepared_frames", int)
        )
        self._frames: Iterator[Frame] = iter(self._prefetch)
        # The first serialisation of an image takes far longer than the others.
        serialize_message(Image(data=bytes(3)))
        self._waiting = self.create_timer(0.02, self._start_when_ready)

    def destroy_node(self) -> None:
        """Ends the source as well, and prints what was done as a line of JSON."""
        self._prefetch.close()
        print(json.dumps(self.summary()), flush=True)
        super().destroy_node()

    def summary(self) -> dict[str, float]:
        """Returns the numbers of frames, of those over half a period late, and of seconds."""
        return {
            "frames_published": self.published,
            "frames_late": self._late,
            "seconds": round(self._last - self._began, 3),
        }

    def _start_when_ready(self) -> None:
        """Begins once frames are prepared and enough subscribers are there."""
        wanted = self._values.get("wait_for_subscribers", int)
        patience = self._values.get("wait_timeout", float)
        found = self._images.get_subscription_count()
        if found < wanted:
            if time.monotonic() - self._began > patience:
                raise FpgPoseError(
                    f"only {found} of {wanted} subscribers came to {self._images.topic_name} "
                    f"in {patience:g} s"
                )
            return
        if not self._prefetch.filled:
            return
        self.destroy_timer(self._waiting)
        self._began = self._last = time.monotonic()
        self.create_timer(self._period, self._publish_next)

    def _publish_next(self) -> None:
        frame = next(self._frames, None)
        if frame is None:
            self._end()
            return
        header = self._header(frame)
        if frame.camera is None:
            raise FpgPoseError(f"frame {frame.name} has no calibration: give one as camera_file")
        image = rgb_to_image(frame.image, header, self._values.get("encoding", str))
        # In this order a subscriber has all it needs when the image comes.
        self._infos.publish(camera_to_info(frame.camera, header))
        if frame.ground_truth:
            self._truth.publish(true_poses(header, frame.ground_truth))
        self._images.publish(image)
        now = time.monotonic()
        self._late += self.published > 0 and now - self._last > 1.5 * self._period
        self._last = now
        self.published += 1

    def _header(self, frame: Frame) -> Header:
        from_source = self._values.get("stamp", str) == "source"
        return Header(
            stamp=stamp_from_ns(frame.stamp_ns) if from_source else self.get_clock().now().to_msg(),
            frame_id=self._values.get("frame_id", str),
        )

    def _end(self) -> None:
        """Lets the last frame arrive, and ends."""
        if not self.finished.done():
            for publisher in (self._infos, self._truth, self._images):
                publisher.wait_for_all_acked(Duration(seconds=1.0))
            self.finished.set_result(0)


def main(open_source: OpenSource) -> int:
    """Runs the node until its source ends or it is told to."""
    return process.run(partial(CameraNode, open_source))
