# SPDX-License-Identifier: Apache-2.0
"""The launch file and the rviz configuration name only what exists."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import ast
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import marks_world
from ros_processes import NodeProcess, Peer

from fpg_pose_ros.nodes import qos

ROOT = Path(__file__).parents[3]
LAUNCH = ast.parse((ROOT / "launch" / "pose.launch.py").read_text())

#: rviz's displays and the type each subscribes to; None for one that has no topic to set.
DISPLAYS = {
    "rviz_default_plugins/Camera": "sensor_msgs/msg/Image",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/Pose": "geometry_msgs/msg/PoseStamped",
    "rviz_default_plugins/TF": None,
}


def calls_of(name: str) -> Iterator[ast.Call]:
    for node in ast.walk(LAUNCH):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
            yield node


def keywords_of(call: ast.Call) -> dict[str, Any]:
    return {
        keyword.arg: keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        for keyword in call.keywords
        if keyword.arg
    }


def displays() -> list[dict[str, Any]]:
    configuration = yaml.safe_load((ROOT / "rviz" / "pose.rviz").read_text())
    return configuration["Visualization Manager"]["Displays"]


def test_every_launch_argument_is_described() -> None:
    described = {
        call.args[0].value: keywords_of(call)["description"]
        for call in calls_of("DeclareLaunchArgument")
    }
    assert set(described) == {
        "image",
        "camera_info",
        "bundle",
        "params_file",
        "namespace",
        "use_sim_time",
        "rviz",
        "demo_camera",
        "demo_object",
    }
    assert all(text.endswith(".") for text in described.values())


def test_every_argument_that_is_used_is_declared() -> None:
    declared = {call.args[0].value for call in calls_of("DeclareLaunchArgument")}
    used = {call.args[0].value for call in calls_of("LaunchConfiguration")}
    assert used == declared


def test_every_executable_and_file_that_is_launched_exists() -> None:
    for call in calls_of("Node"):
        words = keywords_of(call)
        if words["package"] == "fpg_pose_ros":
            script = ROOT / "scripts" / words["executable"]
            assert os.access(script, os.X_OK)
            assert words["name"] == words["executable"]
    for call in calls_of("PathJoinSubstitution"):
        parts = [part.value for part in call.args[0].elts if isinstance(part, ast.Constant)]
        assert ROOT.joinpath(*parts).is_file()


def test_the_image_profile_of_fast_dds_holds_a_vga_image_many_times() -> None:
    space = {"p": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    root = ElementTree.parse(ROOT / "config" / "fastdds.xml").getroot()
    sizes = {
        name: int(root.findtext(f".//p:{name}", namespaces=space))
        for name in ("segment_size", "maxMessageSize")
    }
    vga = 640 * 480 * 3
    assert sizes["maxMessageSize"] > vga + 1024
    assert sizes["segment_size"] >= 16 * vga
    assert root.findtext(".//p:useBuiltinTransports", namespaces=space) == "false"
    used = {element.text for element in root.findall(".//p:userTransports/p:transport_id", space)}
    made = {
        element.text for element in root.findall(".//p:transport_descriptor/p:transport_id", space)
    }
    assert used == made


def test_rviz_shows_camera_overlay_tf_markers_and_pose() -> None:
    assert {display["Class"] for display in displays()} == set(DISPLAYS)
    assert {display["Name"] for display in displays()} == {
        "Camera",
        "Overlay",
        "TF",
        "Markers",
        "Pose",
    }
    markers = next(display for display in displays() if display["Name"] == "Markers")
    assert markers["Topic"]["Depth"] >= qos.MARKERS.depth


def test_every_topic_that_rviz_shows_is_published_with_the_type_its_display_takes(
    peer: Peer, marks_folder: Path, tmp_path: Path
) -> None:
    bundle = marks_world.write(tmp_path / "spot", object_name="spot")
    wanted = {
        display["Topic"]["Value"]: DISPLAYS[display["Class"]]
        for display in displays()
        if DISPLAYS[display["Class"]] is not None
    }
    wanted["/tf"] = "tf2_msgs/msg/TFMessage"
    remap = [
        word
        for name in ("image:=/camera/image_raw", "camera_info:=/camera/camera_info")
        for word in ("-r", name)
    ]
    with (
        NodeProcess("pose_node", *remap, bundle=bundle) as node,
        NodeProcess("camera_node", *remap, source=marks_folder, loop=True) as camera,
    ):
        node.wait_for("active")
        peer.spin_until(lambda: all(peer.node.count_publishers(topic) for topic in wanted))
        published = dict(peer.node.get_topic_names_and_types())
        assert camera.process.poll() is None
    assert {topic: published[topic] for topic in wanted} == {
        topic: [kind] for topic, kind in wanted.items()
    }
