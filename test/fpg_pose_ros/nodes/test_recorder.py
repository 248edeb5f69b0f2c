# SPDX-License-Identifier: Apache-2.0
"""The recorder: every topic, every message, in a bag that explains itself."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import json
import resource
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from fpg_pose_ros.msg import ModelInfo, ObjectPose, ObjectPoseArray
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_processes import NodeProcess, Peer
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from std_msgs.msg import Header

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.definitions import Definitions, TypeNotFound, message_class
from fpg_pose_ros.nodes.recorder_node import BagThread, Recorder


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_no_vga_image_at_30_hz_is_lost(
    marks_folder: Path, tmp_path: Path, reliability: str
) -> None:
    bag = tmp_path / "bag"
    with NodeProcess("recorder", output=bag) as recorder:
        recorder.wait_for("recording to")
        with NodeProcess(
            "camera_node",
            source=marks_folder,
            wait_for_subscribers=1,
            image_reliability=reliability,
        ) as camera:
            recorder.wait_for("recording /camera_info")
            assert camera.wait() == 0
        assert recorder.stop() == 0
        counts = json.loads(recorder.output.splitlines()[-1])["messages"]
    assert counts["/image"] == 30
    with AnyReader([bag]) as reader:
        images = [
            reader.deserialize(raw, connection.msgtype)
            for connection, _, raw in reader.messages()
            if connection.topic == "/image"
        ]
    assert len(images) == 30
    assert {(image.width, image.height, len(image.data)) for image in images} == {
        (640, 480, 640 * 480 * 3)
    }


def test_the_bag_holds_every_topic_with_its_own_types_and_quality_of_service(
    peer: Peer, tmp_path: Path
) -> None:
    bag = tmp_path / "bag"
    node = peer.node
    latched = node.create_publisher(ModelInfo, "/info", qos.latched(1))
    latched.publish(ModelInfo(bundle_name="early"))
    with NodeProcess("recorder", output=bag, exclude="/rosout|/parameter_events") as recorder:
        recorder.wait_for("recording /info")
        poses = node.create_publisher(ObjectPoseArray, "/poses", 10)
        eager = node.create_publisher(
            Header, "/header", QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        )
        for topic in ("/poses", "/header"):
            recorder.wait_for(f"recording {topic}")
        peer.spin_until(lambda: poses.get_subscription_count() and eager.get_subscription_count())
        for number in range(20):
            array = ObjectPoseArray(poses=[ObjectPose(object_id="spot", instance_id=number)])
            poses.publish(array)
            eager.publish(Header(frame_id=str(number)))
            peer.spin(0.01)
        peer.spin(0.3)
        assert recorder.stop(signal.SIGTERM) == 0
    with AnyReader([bag]) as reader:
        counts = Counter(connection.topic for connection, _, _ in reader.messages())
        connections = {connection.topic: connection for connection in reader.connections}
        read = {
            topic: [
                reader.deserialize(raw, connection.msgtype)
                for connection, _, raw in reader.messages()
                if connection.topic == topic
            ]
            for topic in ("/info", "/poses", "/header")
        }
    assert counts == {"/info": 1, "/poses": 20, "/header": 20}
    assert read["/info"][0].bundle_name == "early"
    assert [array.poses[0].instance_id for array in read["/poses"]] == list(range(20))
    assert [header.frame_id for header in read["/header"]] == [str(n) for n in range(20)]
    assert connections["/poses"].msgtype == "fpg_pose_ros/msg/ObjectPoseArray"
    (offered,) = connections["/info"].ext.offered_qos_profiles
    assert offered.durability == QosDurability.TRANSIENT_LOCAL
    (offered,) = connections["/header"].ext.offered_qos_profiles
    assert offered.reliability == QosReliability.BEST_EFFORT


def test_a_second_publisher_that_serves_less_is_heard_as_well(peer: Peer, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    strict = peer.node.create_publisher(Header, "/header", 10)
    with NodeProcess("recorder", output=bag) as recorder:
        recorder.wait_for("recording /header")
        lax = peer.node.create_publisher(
            Header, "/header", QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        )
        peer.spin_until(lambda: lax.get_subscription_count() and strict.get_subscription_count())
        peer.spin(0.5)
        for number in range(5):
            strict.publish(Header(frame_id=f"strict {number}"))
            lax.publish(Header(frame_id=f"lax {number}"))
            peer.spin(0.02)
        peer.spin(0.3)
        assert recorder.stop() == 0
    with AnyReader([bag]) as reader:
        heard = {
            reader.deserialize(raw, connection.msgtype).frame_id
            for connection, _, raw in reader.messages()
            if connection.topic == "/header"
        }
    assert heard == {f"{kind} {number}" for kind in ("strict", "lax") for number in range(5)}


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({}, "parameter output is empty"),
        ({"output": "{tmp}"}, "exists already"),
        ({"output": "/proc/none/bag"}, "cannot be written"),
        ({"output": "{tmp}/bag", "exclude": "("}, "exclude is no regular expression"),
    ],
)
def test_what_it_cannot_do_is_said_and_no_node_is_left(
    peer: Peer, tmp_path: Path, parameters: dict[str, str], complaint: str
) -> None:
    given = [
        Parameter(name, value=value.format(tmp=tmp_path)) for name, value in parameters.items()
    ]
    with pytest.raises(FpgPoseError, match=complaint) as failed:  # keeps what was half made
        Recorder(parameter_overrides=given)
    peer.spin_until(lambda: "recorder" not in peer.node.get_node_names())
    assert failed.tb


def test_an_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with NodeProcess("recorder", output=tmp_path) as recorder:
        assert recorder.wait() == 2
        assert recorder.output == (
            f"error: bag {tmp_path} exists already: remove it or give another output\n"
        )


def test_a_full_disk_is_told_and_what_comes_after_is_not_kept_in_memory(tmp_path: Path) -> None:
    bag = BagThread(tmp_path / "bag")
    topic = bag.add_topic("/header", "std_msgs/msg/Header", [])

    def write_on() -> None:
        for number in range(2000):
            bag.write(topic, number, bytes(100_000))
            time.sleep(0.001)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(FpgPoseError, match=r"cannot be written any further .*make room"):
            write_on()
        with pytest.raises(FpgPoseError, match="it is not whole"):
            bag.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_definitions_come_from_the_installed_packages_with_all_they_are_made_of() -> None:
    definitions = Definitions()
    definitions.add("fpg_pose_ros/msg/ObjectPoseArray")
    known = definitions.typestore.fielddefs
    assert {
        "fpg_pose_ros/msg/ObjectPose",
        "geometry_msgs/msg/Quaternion",
        "builtin_interfaces/msg/Time",
    } <= set(known)
    text, _ = definitions.typestore.generate_msgdef("fpg_pose_ros/msg/ObjectPose", ros_version=2)
    assert "float32 reprojection_error" in text


def test_a_type_that_is_not_installed_is_named() -> None:
    assert message_class("geometry_msgs/msg/PoseStamped") is PoseStamped
    for ask in (message_class, Definitions().add):
        with pytest.raises(TypeNotFound, match="nowhere_msgs/msg/Nothing"):
            ask("nowhere_msgs/msg/Nothing")
