# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes of their own, and a node in the test's process to talk to them over DDS."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import marks_world
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fpg_pose_ros.msg import ObjectPoseArray
from fpg_pose_ros.srv import LoadBundle
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.cameras import camera_to_info
from fpg_pose_ros.nodes.definitions import message_class
from fpg_pose_ros.nodes.images import rgb_to_image
from fpg_pose_ros.nodes.stamps import stamp_from_ns

SCRIPTS = Path(__file__).parents[3] / "scripts"
#: For what takes milliseconds on a quiet machine.
PATIENCE = 20.0


class NodeProcess:
    """A script of the package as a process; what it prints goes to a file."""

    def __init__(self, script: str | Path, *arguments: str, **parameters: Any) -> None:
        given = [f"{name}:={_yaml(value)}" for name, value in parameters.items()]
        options = [option for setting in given for option in ("-p", setting)]
        self._file = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as this
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / script), "--ros-args", *options, *arguments],
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    @property
    def output(self) -> str:
        self._file.seek(0)
        return self._file.read()

    def wait_for(self, text: str) -> None:
        """Waits until it has printed something."""
        end = time.monotonic() + PATIENCE
        while text not in self.output:
            assert self.process.poll() is None, f"ended without {text!r}:\n{self.output}"
            assert time.monotonic() < end, f"no {text!r} in:\n{self.output}"
            time.sleep(0.01)

    def children(self) -> list[int]:
        """Returns the processes that it has started."""
        pid = self.process.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self, number: int = signal.SIGINT) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Returns the exit code once it has ended."""
        return self.process.wait(PATIENCE)

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            # Killed, it would leave its shared memory behind.
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if kind is not None:
            print(self.output)
        self._file.close()


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def all_end(processes: list[int]) -> bool:
    """Whether all of some processes come to their end soon."""
    end = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}/stat").exists() for pid in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Peer:
    """A node in this process: it plays the camera, collects what others publish, and calls them."""

    def __init__(self) -> None:
        self.node: Node = rclpy.create_node("peer")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._met: set[str] = set()

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()

    def collect(self, kind: type, topic: str, profile: QoSProfile | int = 50, **more: Any) -> list:
        """Returns a list that fills with the messages of a topic as this node spins."""
        messages: list = []
        self.node.create_subscription(kind, topic, messages.append, profile, **more)
        return messages

    def spin(self, seconds: float) -> None:
        """Lets messages come for some time."""
        self.spin_until(lambda: False, seconds, must=False)

    def spin_until(
        self, done: Callable[[], bool], seconds: float = PATIENCE, *, must: bool = True
    ) -> None:
        """Lets messages come until something is so."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                assert not must, "waited in vain"
                return
            self._executor.spin_once(timeout_sec=0.02)

    def call(self, node: str, service: str, kind: type, request: Any) -> Any:
        """Calls a service of a node and returns its response."""
        self._meet(node)
        client = self.node.create_client(kind, f"/{node}/{service}")
        assert client.wait_for_service(PATIENCE), f"no service {service}"
        future = client.call_async(request)
        self.spin_until(future.done)
        self.node.destroy_client(client)
        return future.result()

    def _meet(self, node: str) -> None:
        """Waits until a node answers: it may be found before it has found this one."""
        if node in self._met:
            return
        client = self.node.create_client(GetParameters, f"/{node}/get_parameters")
        futures = []

        def answered() -> bool:
            return any(future.done() for future in futures)

        while not answered():
            assert len(futures) < PATIENCE, f"{node} does not answer"
            assert client.wait_for_service(PATIENCE), f"no node {node}"
            futures.append(client.call_async(GetParameters.Request(names=["use_sim_time"])))
            self.spin_until(answered, 1.0, must=False)
        self.node.destroy_client(client)
        self._met.add(node)

    def state(self, node: str = "pose_node") -> str:
        """Returns the lifecycle state of a node."""
        return self.call(node, "get_state", GetState, GetState.Request()).current_state.label

    def change_state(self, transition: str, node: str = "pose_node") -> bool:
        """Asks a node for a lifecycle transition; returns whether it succeeded."""
        request = ChangeState.Request()
        request.transition.label = transition
        return self.call(node, "change_state", ChangeState, request).success

    def load_bundle(self, *bundles: Path) -> LoadBundle.Response:
        """Asks the pose node to change to other bundles."""
        request = LoadBundle.Request(bundle=",".join(str(bundle) for bundle in bundles))
        return self.call("pose_node", "load_bundle", LoadBundle, request)

    def set_parameters(self, **values: Any) -> str | None:
        """Sets parameters of the pose node all at once; returns the reason if they were refused."""
        request = SetParametersAtomically.Request()
        request.parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        kind = SetParametersAtomically
        result = self.call("pose_node", "set_parameters_atomically", kind, request).result
        return None if result.successful else result.reason

    def set_parameter(self, name: str, value: Any, node: str = "pose_node") -> str | None:
        """Sets a parameter of a node; returns the reason if it was refused."""
        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=value).to_parameter_msg()]
        (result,) = self.call(node, "set_parameters", SetParameters, request).results
        return None if result.successful else result.reason

    def get_parameter(self, name: str, node: str = "pose_node") -> Any:
        """Returns the value of a parameter of a node."""
        request = GetParameters.Request(names=[name])
        (value,) = self.call(node, "get_parameters", GetParameters, request).values
        return rclpy.parameter.parameter_value_to_python(value)


class Camera:
    """The peer as a camera that looks at the world of marks."""

    def __init__(
        self, peer: Peer, reliability: str = "best_effort", prefix: str = "", depth: int = 5
    ) -> None:
        self._peer = peer
        profile = qos.images(reliability, depth)
        self.images = peer.node.create_publisher(Image, f"{prefix}/image", profile)
        self.infos = peer.node.create_publisher(CameraInfo, f"{prefix}/camera_info", profile)
        self.sent: list[int] = []

    def wait_for_subscribers(self, count: int = 1) -> None:
        """Waits until both topics have this many subscribers, from their point of view as well."""
        self._peer.spin_until(
            lambda: all(p.get_subscription_count() >= count for p in (self.images, self.infos))
        )
        self._peer.spin(0.2)

    def header(self, stamp_ns: int, frame_id: str = "camera") -> Header:
        return Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id)

    def picture(self, stamp_ns: int) -> Image:
        """Returns the image of a time."""
        picture = marks_world.image(marks_world.pose(stamp_ns * 1e-9))
        return rgb_to_image(picture, self.header(stamp_ns))

    def send(self, stamp_ns: int, *, frame_id: str = "camera", visible: bool = True) -> None:
        """Publishes a frame whose time decides where the object is, as `marks_world.pose` says."""
        header = self.header(stamp_ns, frame_id)
        T = marks_world.pose(stamp_ns * 1e-9) if visible else None
        self.infos.publish(camera_to_info(marks_world.CAMERA, header))
        self.images.publish(rgb_to_image(marks_world.image(T), header))
        self.sent.append(stamp_ns)

    @contextmanager
    def streaming(self, rate: float = 20.0) -> Iterator[None]:
        """Publishes frames at a steady rate (Hz), 40 ms of image time apart, as the peer spins."""
        timer = self._peer.node.create_timer(1.0 / rate, self._send_next)
        try:
            yield
        finally:
            self._peer.node.destroy_timer(timer)

    def _send_next(self) -> None:
        self.send(1_000_000_000 + 40_000_000 * len(self.sent))

    def send_until(self, received: Callable[[], bool], *, visible: bool = True) -> None:
        """Publishes frames, one after the other, until one has had its effect."""
        end = time.monotonic() + PATIENCE
        while not received():
            assert time.monotonic() < end, "no frame had any effect"
            self.send(1_000_000_000 + 40_000_000 * len(self.sent), visible=visible)
            self._peer.spin(0.04)


def play(peer: Peer, bag: Path, rate: float) -> None:
    """Publishes a bag's messages at its pace times `rate`, once each topic has a subscriber."""
    with Reader(bag) as reader:
        messages = [(c.topic, time_ns, bytes(raw)) for c, time_ns, raw in reader.messages()]
        kinds = {c.topic: message_class(c.msgtype) for c in reader.connections}
    publishers = {
        topic: peer.node.create_publisher(kind, topic, 30) for topic, kind in kinds.items()
    }
    peer.spin_until(lambda: all(p.get_subscription_count() for p in publishers.values()))
    peer.spin(0.2)
    began, first_ns = time.monotonic(), messages[0][1]
    for topic, time_ns, raw in messages:
        due = began + (time_ns - first_ns) * 1e-9 / rate
        peer.spin(due - time.monotonic())
        publishers[topic].publish(raw)


def poses_of(peer: Peer) -> list[ObjectPoseArray]:
    return peer.collect(ObjectPoseArray, "/pose_node/poses")


def status_of(message: DiagnosticArray, part: str) -> DiagnosticStatus:
    return next(s for s in message.status if s.name == f"pose_node: {part}")


def levels_of(message: DiagnosticArray) -> dict[str, bytes]:
    return {status.name.split(": ")[1]: status.level for status in message.status}


def values_of(message: DiagnosticArray, part: str) -> dict[str, str]:
    return {value.key: value.value for value in status_of(message, part).values}
