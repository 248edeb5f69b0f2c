# SPDX-License-Identifier: Apache-2.0
"""Records every topic, as the bytes that came, to an MCAP bag."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.nodes import process
from fpg_pose_ros.nodes.definitions import Definitions, TypeNotFound, message_class
from fpg_pose_ros.nodes.parameter_values import ParameterValues
from fpg_pose_ros.nodes.parameters import RECORDER


class BagThread:
    """Writes a bag in a thread of its own: no slow disk holds up topics, no signal cuts a record.

    Args:
        path: folder of the bag.

    Raises:
        FpgPoseError: it exists already, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        """Opens the bag."""
        if path.exists():
            raise FpgPoseError(f"bag {path} exists already: remove it or give another output")
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        try:
            self._writer.open()
        except OSError as error:
            raise FpgPoseError(f"bag {path} cannot be written: {error}") from None
        self._definitions = Definitions()
        self._todo: queue.SimpleQueue[tuple[Connection, int, bytes] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._path = path
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="bag", daemon=True)
        self._thread.start()

    def add_topic(self, topic: str, type_name: str, offered: list[Qos]) -> Connection:
        """Makes a topic of the bag.

        Raises:
            TypeNotFound: its type is not installed.
        """
        with self._lock:
            self._definitions.add(type_name)
            return self._writer.add_connection(
                topic,
                type_name,
                typestore=self._definitions.typestore,
                offered_qos_profiles=offered,
            )

    def write(self, connection: Connection, time_ns: int, message: bytes) -> None:
        """Hands over a message to be written; returns at once.

        Raises:
            FpgPoseError: an earlier one could not be written.
        """
        self._check()
        self._todo.put((connection, time_ns, message))

    def close(self) -> dict[str, int]:
        """Writes what is left, closes the bag, and returns the number of messages by topic.

        Raises:
            FpgPoseError: not all of it could be written.
        """
        self._todo.put(None)
        self._thread.join()
        try:
            self._writer.close()
        except OSError as error:
            self._error = self._error or error
        self._check()
        return {
            connection.topic: self._writer.counts[connection.id]
            for connection in self._writer.connections
        }

    def _work(self) -> None:
        try:
            while (item := self._todo.get()) is not None:
                with self._lock:
                    self._writer.write(*item)
        except Exception as error:  # whatever it is, the node's own thread has to tell
            self._error = error

    def _check(self) -> None:
        if self._error is not None:
            raise FpgPoseError(
                f"bag {self._path} cannot be written any further ({self._error}): it is not whole; "
                "make room and record again"
            )


@dataclass
class _Recording:
    connection: Connection
    publishers: int
    profile: QoSProfile
    subscription: Subscription


def _where_and_what(values: ParameterValues) -> tuple[str, re.Pattern[str]]:
    """Folder of the bag, and topics that are not for it."""
    output = values.get("output", str)
    if not output:
        raise FpgPoseError("parameter output is empty: give the folder of the bag")
    try:
        return output, re.compile(values.get("exclude", str))
    except re.error as error:
        raise FpgPoseError(f"parameter exclude is no regular expression: {error}") from None


class Recorder(Node):
    """Subscribes to each topic as it appears, asking no more than all its publishers can serve."""

    def __init__(self, **node_arguments: Any) -> None:
        """Opens the bag, and takes the topics that are there.

        Raises:
            FpgPoseError: A parameter cannot be used, or the bag not be written.
        """
        super().__init__("recorder", **node_arguments)
        values = ParameterValues(self, RECORDER)
        try:
            self._output, self._exclude = _where_and_what(values)
            self._bag = BagThread(Path(self._output))
        except FpgPoseError:
            # Who could not be made stays in the graph until it is collected.
            super().destroy_node()
            raise
        self._depth = values.get("queue_depth", int)
        self._recordings: dict[str, _Recording] = {}
        self._given_up: set[str] = set()
        self._look()
        self.create_timer(values.get("discovery_period", float), self._look)
        self.get_logger().info(f"recording to {self._output}")

    def destroy_node(self) -> None:
        """Closes the bag as well, and prints the number of messages by topic as a line of JSON."""
        try:
            counts = self._bag.close()
            print(json.dumps({"bag": self._output, "messages": counts}), flush=True)
        finally:
            super().destroy_node()

    def _look(self) -> None:
        """Subscribes to new topics, and anew where another publisher serves less."""
        for topic, types in self.get_topic_names_and_types():
            known = self._recordings.get(topic)
            count = self.count_publishers(topic)
            if count == 0 or topic in self._given_up or (known and known.publishers == count):
                continue
            if self._exclude.fullmatch(topic):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            profile = compatible_profile(publishers, self._depth)
            try:
                self._record(topic, types[0], publishers, profile)
            except TypeNotFound as error:
                self._given_up.add(topic)
                self.get_logger().error(f"topic {topic} is not recorded: {error}")

    def _record(
        self, topic: str, type_name: str, publishers: list[TopicEndpointInfo], profile: QoSProfile
    ) -> None:
        known = self._recordings.get(topic)
        if known is not None:
            known.publishers = len(publishers)
            if known.profile == profile:
                return
            self.destroy_subscription(known.subscription)
            connection = known.connection
        else:
            connection = self._bag.add_topic(
                topic, type_name, [offered_qos(publisher.qos_profile) for publisher in publishers]
            )
        subscription = self.create_subscription(
            message_class(type_name), topic, partial(self._take, connection), profile, raw=True
        )
        self.get_logger().info(f"recording {topic}")
        self._recordings[topic] = _Recording(connection, len(publishers), profile, subscription)

    def _take(self, connection: Connection, message: bytes, info: dict[str, int]) -> None:
        self._bag.write(connection, info["received_timestamp"] or time.time_ns(), message)


def compatible_profile(publishers: list[TopicEndpointInfo], depth: int) -> QoSProfile:
    """Returns the strictest profile that every publisher of a topic can serve."""
    reliable = all(p.qos_profile.reliability == ReliabilityPolicy.RELIABLE for p in publishers)
    latched = all(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers)
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def offered_qos(profile: QoSProfile) -> Qos:
    """Returns a publisher's profile in the form a bag keeps it, for playing it back alike."""

    def seconds(nanoseconds: int) -> QosTime:
        return QosTime(*divmod(nanoseconds, 1_000_000_000))

    return Qos(
        history=QosHistory(int(profile.history)),
        depth=profile.depth,
        reliability=QosReliability(int(profile.reliability)),
        durability=QosDurability(int(profile.durability)),
        deadline=seconds(profile.deadline.nanoseconds),
        lifespan=seconds(profile.lifespan.nanoseconds),
        liveliness=QosLiveliness(int(profile.liveliness)),
        liveliness_lease_duration=seconds(profile.liveliness_lease_duration.nanoseconds),
        avoid_ros_namespace_conventions=profile.avoid_ros_namespace_conventions,
    )


def main() -> int:
    """Records until it is told to end."""
    return process.run(Recorder)
