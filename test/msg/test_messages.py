# SPDX-License-Identifier: Apache-2.0
"""The message definitions: explained, and generated as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fpg_pose_ros

DEFINITIONS = sorted(Path(fpg_pose_ros.__file__).resolve().parents[1].glob("msg/*.msg"))

#: What ROS 2 Jazzy and Lyrical announce for tf2_msgs/msg/TFMessage (`ros2 topic info -v /tf`).
TF_MESSAGE_TYPE_HASH = "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
def test_every_block_of_fields_has_a_comment_above_it(path: Path) -> None:
    explained = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line:
            explained = False
        elif line.startswith("#"):
            explained = True
        else:
            assert explained, f"{path.name}: {line}"


@pytest.mark.ros
def test_the_generated_messages_have_the_fields_of_the_definitions() -> None:
    import fpg_pose_ros.msg as messages

    for path in DEFINITIONS:
        fields = [
            line.split()[1]
            for line in path.read_text(encoding="utf-8").splitlines()
            if line and not line.startswith("#")
        ]
        assert list(getattr(messages, path.stem).get_fields_and_field_types()) == fields


@pytest.mark.ros
def test_the_transform_message_is_the_one_that_every_ros_2_speaks() -> None:
    from ament_index_python.packages import get_package_share_directory

    share = Path(get_package_share_directory("tf2_msgs"))
    description = json.loads((share / "msg" / "TFMessage.json").read_text(encoding="utf-8"))
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    assert hashes["tf2_msgs/msg/TFMessage"] == TF_MESSAGE_TYPE_HASH
