# SPDX-License-Identifier: Apache-2.0
"""The SROS2 policy allows what the running nodes open, and nothing else."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from ros_processes import NodeProcess, Peer
from security_policy import (
    POLICY,
    REMAP,
    Use,
    allowed,
    covers,
    only_with_optional_packages,
    opened,
)

from fpg_pose_ros.nodes.parameters import TABLES


def test_the_policy_allows_what_the_running_nodes_open_and_nothing_else(
    peer: Peer, marks_bundle: Path, marks_folder: Path, tmp_path: Path
) -> None:
    rules = allowed()
    uses: set[Use] = set()
    # With the time from /clock, so that all that may be opened is; it need not come.
    clock = {"use_sim_time": True}
    with (
        NodeProcess("pose_node", *REMAP, bundle=marks_bundle, **clock) as pose_node,
        NodeProcess("camera_node", *REMAP, source=marks_folder, loop=True, **clock),
        NodeProcess("recorder", output=tmp_path / "bag"),
    ):
        pose_node.wait_for("active")

        image = "/camera/image_raw"
        awaited = {
            Use("pose_node", "subscribe", image),
            Use("pose_node", "subscribe", "/clock"),
            Use("camera_node", "publish", image),
            Use("camera_node", "subscribe", "/clock"),
            Use("recorder", "subscribe", image),
        }

        def missing() -> set[Use]:
            """What is awaited of the nodes and has not come."""
            there = peer.node.get_node_names()
            found = {
                use
                for node in {use.node for use in awaited} & set(there)
                for use in opened(peer.node, node)
            }
            uses.update(found)
            return awaited - found

        # A node of this name that an earlier test has killed stays in the graph for 20 s, and hides
        # what the living one has opened.
        peer.spin_until(lambda: not missing(), seconds=90.0, must=False)
        assert missing() == set()
        # The other way in which images may come.
        for transition in ("deactivate", "cleanup"):
            assert peer.change_state(transition)
        assert peer.set_parameter("image_transport", "compressed") is None
        for transition in ("configure", "activate"):
            assert peer.change_state(transition)
        awaited = {Use("pose_node", "subscribe", f"{image}/compressed")}
        peer.spin_until(lambda: not missing())
    assert {use for use in uses if not any(covers(rule, use) for rule in rules)} == set()
    needed = {rule for rule in rules if not only_with_optional_packages(rule)}
    unused = {rule for rule in needed if not any(covers(rule, use) for use in uses)}
    assert unused == set()


def test_every_node_has_an_enclave_of_its_own_and_the_launch_file_puts_it_there() -> None:
    enclaves = {
        enclave.attrib["path"]: [profile.attrib["node"] for profile in enclave.iter("profile")]
        for enclave in ElementTree.parse(POLICY).getroot().iter("enclave")
    }
    assert set(enclaves) == {f"/fpg_pose_ros/{node}" for node in TABLES}
    assert all(path.rsplit("/", 1)[1] == nodes[0] for path, nodes in enclaves.items())
    launch = ast.parse((POLICY.parents[2] / "launch" / "pose.launch.py").read_text())
    started = [
        {word.arg: ast.unparse(word.value) for word in call.keywords}
        for call in ast.walk(launch)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Node"
    ]
    ours = [words for words in started if words["package"] == "'fpg_pose_ros'"]
    assert len(ours) == 2
    for words in ours:
        path = f"/fpg_pose_ros/{ast.literal_eval(words['executable'])}"
        assert ast.literal_eval(words["ros_arguments"]) == ["--enclave", path]
