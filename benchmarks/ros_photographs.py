# SPDX-License-Identifier: Apache-2.0
"""Send the photographs of a BOP scene through camera_node -> DDS -> pose_node and collect poses.

Both nodes run as processes of their own, in a namespace of their own. Each photograph keeps the
stamp that its source gives it, and poses are told apart by that stamp alone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import rclpy
from fpg_pose_ros.msg import ObjectPoseArray
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from fpg_pose_ros.geometry import Array
from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.messages import transform_from_pose
from fpg_pose_ros.nodes.names import unique_tokens
from fpg_pose_ros.nodes.stamps import stamp_ns
from fpg_pose_ros.sources import open_source
from offline_search.processes import ProcessError, ProcessGroup

ROOT = Path(__file__).resolve().parents[1]
_START_S = 60.0
_ANSWER_S = 10.0


@dataclass(frozen=True, eq=False)
class FoundPose:
    """A pose that came over DDS.

    Attributes:
        object_name: as in the bundle.
        score: as in the ObjectPoseArray of the same image.
        T_camera_object: (4, 4) of the PoseStamped, metres.
    """

    object_name: str
    score: float
    T_camera_object: Array


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back for one photograph.

    Attributes:
        poses: all of them, best score first.
        node_ms: from the image's arrival in the node to its poses, by the node's own clock.
        latency_ms: from the arrival of the image's CameraInfo, sent with it, to that of the poses,
            both in the collecting process.
    """

    poses: tuple[FoundPose, ...]
    node_ms: float
    latency_ms: float


def send_photographs(
    scene: Path, bundle: Path, object_names: Sequence[str], *, rate: float, logs: Path
) -> dict[int, Answer]:
    """Send all photographs of a BOP scene folder.

    Args:
        scene: the folder; its images are published in ascending order.
        bundle: the node's model bundle.
        object_names: all objects of the bundle.
        rate: photographs per second; slow enough that the node keeps up.
        logs: folder for what the processes print.

    Returns:
        An answer for each photograph, by image number.

    Raises:
        ProcessError: a process failed, or a photograph was lost on the way.
    """
    image_ids = {frame.stamp_ns: int(frame.name.split("_")[-1]) for frame in open_source(scene)}
    # A context of its own, whatever else this process does with ROS.
    context = Context()
    rclpy.init(context=context)
    try:
        collector = _Collector(context, f"/photographs_{os.getpid()}", object_names)
        with ProcessGroup(logs, os.environ) as processes:
            _run(processes, collector, scene, bundle, rate, expected=len(image_ids))
        answers = collector.answers()
    finally:
        rclpy.try_shutdown(context=context)
    lost = sorted(image_ids[stamp] for stamp in image_ids.keys() - answers.keys())
    if lost or answers.keys() - image_ids.keys():
        raise ProcessError(
            f"{len(lost)} of {len(image_ids)} photographs were lost on the way ({lost[:5]} ...); "
            "run again with a lower --rate"
        )
    return {image_ids[stamp]: answer for stamp, answer in sorted(answers.items())}


def _run(
    processes: ProcessGroup,
    collector: _Collector,
    scene: Path,
    bundle: Path,
    rate: float,
    expected: int,
) -> None:
    """Start the nodes, and wait until every photograph is answered or no answer comes any more."""
    node = _script(
        "pose_node",
        collector.namespace,
        bundle=bundle.resolve(),
        image_reliability="reliable",
        image_queue_depth=100,
        # BOP tells a method which objects an image holds: nothing found is held back.
        min_score=0.0,
        max_reprojection_error=1000.0,
        # Each photograph is judged by itself.
        tracking=False,
    )
    processes.wait_for_line(processes.start("pose_node", node), "active", timeout=_START_S)
    processes.wait_for("topics of pose_node", collector.connected, timeout=_START_S)
    camera_command = _script(
        "camera_node",
        collector.namespace,
        source=scene.resolve(),
        rate=float(rate),
        stamp="source",
        image_reliability="reliable",
        image_queue_depth=100,
        wait_for_subscribers=2,  # the node and the collector
    )
    camera = processes.start("camera_node", camera_command)
    processes.wait_for(
        "all photographs sent",
        lambda: camera.process.poll() is not None,
        timeout=_START_S + 2 * expected / rate,
    )
    processes.check()
    deadline = time.monotonic() + _ANSWER_S
    while collector.answered < expected and time.monotonic() < deadline:
        processes.check()
        time.sleep(0.05)


def _script(name: str, namespace: str, **parameters: object) -> list[str]:
    command = [
        sys.executable,
        str(ROOT / "scripts" / name),
        "--ros-args",
        "-r",
        f"__ns:={namespace}",
    ]
    for key, value in parameters.items():
        # Parameters are YAML, of which JSON is a part; text is quoted lest `2` become a number.
        text = json.dumps(value if isinstance(value, (int, float)) else str(value))
        command += ["-p", f"{key}:={text}"]
    return command


class _Collector:
    """Listens to everything that a pose node says of each image."""

    def __init__(self, context: Context, namespace: str, object_names: Sequence[str]) -> None:
        self._context = context
        self.namespace = namespace
        self._names = tuple(object_names)
        self._sent: dict[int, float] = {}
        self._arrays: dict[int, tuple[float, ObjectPoseArray]] = {}
        self._poses: dict[int, dict[str, list[PoseStamped]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self._node = Node("collector", namespace=namespace, context=context)
        everything = QoSProfile(depth=10_000)
        listen = self._node.create_subscription
        listen(CameraInfo, "camera_info", self._on_camera_info, qos.images("reliable", 1000))
        # For the camera to wait for: when it sees this one it sees the one above as well.
        listen(Image, "image", lambda _: None, qos.images("best_effort", 1), raw=True)
        self._topics = [f"{namespace}/pose_node/poses"]
        listen(ObjectPoseArray, "pose_node/poses", self._on_array, everything)
        for name, token in unique_tokens(list(self._names)).items():
            topic = f"pose_node/{token}/pose"
            self._topics.append(f"{namespace}/{topic}")
            listen(PoseStamped, topic, partial(self._on_pose, name), everything)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def connected(self) -> bool:
        """Whether all topics of the pose node are there."""
        return all(self._node.count_publishers(topic) for topic in self._topics)

    @property
    def answered(self) -> int:
        """How many images have all of their messages here."""
        return sum(self._complete(stamp) for stamp in list(self._arrays))

    def answers(self) -> dict[int, Answer]:
        """What came of each image whose messages are all here, by stamp."""
        return {stamp: self._answer(stamp) for stamp in self._arrays if self._complete(stamp)}

    def _complete(self, stamp: int) -> bool:
        array, counts = self._arrays[stamp][1], self._counts(stamp)
        return stamp in self._sent and all(
            counts.get(name, 0) == sum(pose.object_id == name for pose in array.poses)
            for name in self._names
        )

    def _counts(self, stamp: int) -> Mapping[str, int]:
        return {name: len(poses) for name, poses in list(self._poses[stamp].items())}

    def _answer(self, stamp: int) -> Answer:
        arrived, array = self._arrays[stamp]
        stamped = {name: iter(poses) for name, poses in self._poses[stamp].items()}
        poses = []
        for pose in array.poses:
            T = transform_from_pose(next(stamped[pose.object_id]).pose)
            if not np.allclose(T, transform_from_pose(pose.pose.pose)):
                raise ProcessError(f"PoseStamped and ObjectPoseArray differ on {pose.object_id}")
            poses.append(FoundPose(pose.object_id, float(pose.score), T))
        latency_ms = (arrived - self._sent[stamp]) * 1e3
        return Answer(tuple(poses), float(array.total_ms), latency_ms)

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._sent[stamp_ns(message.header.stamp)] = time.perf_counter()

    def _on_array(self, message: ObjectPoseArray) -> None:
        self._arrays[stamp_ns(message.header.stamp)] = time.perf_counter(), message

    def _on_pose(self, name: str, message: PoseStamped) -> None:
        self._poses[stamp_ns(message.header.stamp)][name].append(message)

    def _spin(self) -> None:
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        try:
            executor.spin()
        except ExternalShutdownException:
            return
