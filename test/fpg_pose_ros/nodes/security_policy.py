# SPDX-License-Identifier: Apache-2.0
"""The SROS2 policy of the package, and what running nodes have opened, in the same form."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from rclpy.node import Node

POLICY = Path(__file__).parents[3] / "config" / "sros2" / "policy.xml"
#: The camera's topics as the policy and the launch file have them.
REMAP = ("-r", "image:=camera/image_raw", "-r", "camera_info:=camera/camera_info")


class Use(NamedTuple):
    """What a node does with a topic or service: publish, subscribe, reply or request."""

    node: str
    what: str
    name: str


def allowed() -> set[Use]:
    """Everything the policy allows; names may hold wildcards."""
    uses = set()
    for profile in ElementTree.parse(POLICY).getroot().iter("profile"):
        space, node = profile.attrib["ns"], profile.attrib["node"]
        for rules in profile:
            for what, verdict in rules.attrib.items():
                assert verdict == "ALLOW"
                uses |= {Use(node, what, _full(name.text or "", space, node)) for name in rules}
    return uses


def _full(name: str, space: str, node: str) -> str:
    """A name as SROS2's own translation to DDS permissions reads it."""
    stem = space if space.endswith("/") else f"{space}/"
    if name.startswith("/"):
        return name
    return f"{stem}{node}{name[1:]}" if name.startswith("~") else f"{stem}{name}"


def opened(observer: Node, node: str) -> set[Use]:
    """Everything that a running node has opened, as another node sees it."""
    look = {
        "publish": observer.get_publisher_names_and_types_by_node,
        "subscribe": observer.get_subscriber_names_and_types_by_node,
        "reply": observer.get_service_names_and_types_by_node,
        "request": observer.get_client_names_and_types_by_node,
    }
    return {Use(node, what, name) for what, names in look.items() for name, _ in names(node, "/")}


def covers(rule: Use, use: Use) -> bool:
    """Whether a rule of the policy speaks of a use; DDS matches names as fnmatch does."""
    return rule[:2] == use[:2] and fnmatchcase(use.name, rule.name)


def only_with_optional_packages(rule: Use) -> bool:
    """Whether only tf2_ros or vision_msgs, which not every machine has, make a node use this."""
    return rule.node == "pose_node_tf" or rule.name == "/pose_node/detections"
