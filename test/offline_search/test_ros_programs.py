# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from offline_search.ros_programs import (
    Cores,
    RosMissingError,
    command_of,
    pose_node_command,
    ros_environment,
)


def test_without_ros_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    with pytest.raises(RosMissingError, match="make demo"):
        ros_environment(tmp_path)


def test_a_demonstration_keeps_to_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
    env = ros_environment(tmp_path)
    assert 0 < int(env["ROS_DOMAIN_ID"]) <= 101
    assert env["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert "ROS_LOCALHOST_ONLY" not in env
    assert Path(env["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()


def test_old_distributions_are_told_in_their_own_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert ros_environment(tmp_path)["ROS_LOCALHOST_ONLY"] == "1"


def test_a_profile_of_the_users_own_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml")
    assert ros_environment(tmp_path)["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/mine.xml"


def test_parameters_keep_their_types_on_the_command_line() -> None:
    command = command_of("camera_node", {"object": "7", "rate": 30.0, "loop": True, "seed": 3})
    assert command[0] == sys.executable
    assert Path(command[1]).is_file()
    assert command[2:] == [
        "--ros-args",
        *("-p", "object:='7'"),
        *("-p", "rate:=30.0"),
        *("-p", "loop:=true"),
        *("-p", "seed:=3"),
    ]


def test_an_executable_that_is_not_there_is_named() -> None:
    with pytest.raises(RosMissingError, match="ghost_node"):
        command_of("ghost_node", {})


def test_the_launch_file_is_used_where_ros2_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ros2 = tmp_path / "ros2"
    ros2.write_text("#!/bin/sh\n")
    ros2.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    command = pose_node_command(Path("/models/spot"))
    assert command[:4] == [str(ros2), "launch", "fpg_pose_ros", "pose.launch.py"]
    assert "bundle:=/models/spot" in command
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert pose_node_command(Path("/models/spot"))[1].endswith("pose_node")


def test_the_node_has_a_core_of_its_own_where_there_are_two() -> None:
    cores = Cores.of_this_machine()
    if cores.node != cores.others:
        assert not cores.node & cores.others
    assert len(cores.node) <= 1
    assert cores.describe()
