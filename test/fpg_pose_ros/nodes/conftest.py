# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the nodes' tests: a bundle, a peer to talk to the nodes with, a running pose node."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# The helpers beside this file.
sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from ros_processes import NodeProcess, Peer


@pytest.fixture(scope="session")
def marks_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that finds the object of `marks_world`."""
    import marks_world

    return marks_world.write(tmp_path_factory.mktemp("bundles") / "marks")


@pytest.fixture(scope="session")
def marks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 VGA pictures of the marks in motion, with the camera's calibration."""
    import cv2
    import marks_world

    from fpg_pose_ros.sources import camera_to_mapping

    folder = tmp_path_factory.mktemp("pictures")
    (folder / "camera.json").write_text(json.dumps(camera_to_mapping(marks_world.CAMERA)))
    for number in range(30):
        picture = marks_world.image(marks_world.pose(number / 30))
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture[..., ::-1])
    return folder


@pytest.fixture(scope="session")
def ros(own_ros_domain: None) -> Iterator[None]:
    """ROS in this process, with a node that keeps it known to others between tests."""
    import rclpy

    rclpy.init()
    anchor = rclpy.create_node("anchor")
    yield
    anchor.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def peer(ros: None) -> Iterator[Peer]:
    """A node in this process."""
    from ros_processes import Peer

    made = Peer()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_pose_node(marks_bundle: Path) -> Iterator[NodeProcess]:
    """An active pose node in a process of its own, for all tests of a file."""
    yield from _pose_node(marks_bundle)


@pytest.fixture
def pose_node(marks_bundle: Path) -> Iterator[NodeProcess]:
    """An active pose node in a process of its own, for one test."""
    yield from _pose_node(marks_bundle)


def _pose_node(bundle: Path) -> Iterator[NodeProcess]:
    from ros_processes import NodeProcess

    # Without tracking, what comes of an image depends on that image alone.
    with NodeProcess("pose_node", bundle=bundle, tracking=False, diagnostics_period=0.2) as process:
        process.wait_for("active")
        yield process
