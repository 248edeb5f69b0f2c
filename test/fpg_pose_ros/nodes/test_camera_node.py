# SPDX-License-Identifier: Apache-2.0
"""The camera node as a process, with a folder of pictures and with a rendered scene."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import marks_world
from fpg_pose_ros.msg import ObjectPoseArray
from ros_processes import NodeProcess, Peer, all_end
from sensor_msgs.msg import CameraInfo, Image

from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.stamps import stamp_ns
from fpg_pose_ros.sources.camera_info import camera_from_info
from fpg_pose_ros.sources.images import image_to_rgb


def summary_of(process: NodeProcess) -> dict[str, float]:
    return json.loads(process.output.splitlines()[-1])


def test_every_frame_of_a_folder_arrives_in_order_at_the_rate_with_its_camera(
    peer: Peer, marks_folder: Path
) -> None:
    profile = qos.images("best_effort", 50)
    images = peer.collect(Image, "/image", profile)
    infos = peer.collect(CameraInfo, "/camera_info", profile)
    before = time.time_ns()
    with NodeProcess(
        "camera_node",
        source=marks_folder,
        frame_id="left",
        wait_for_subscribers=1,
    ) as process:
        peer.spin_until(lambda: len(images) == len(infos) == 30)
        assert process.wait() == 0
        summary = summary_of(process)
    assert summary["frames_published"] == 30
    assert summary["seconds"] >= 29 / 30 - 0.05
    stamps = [stamp_ns(image.header.stamp) for image in images]
    assert stamps == sorted(set(stamps))
    assert before < stamps[0] < stamps[-1] < time.time_ns()
    assert {image.header.frame_id for image in images} == {"left"}
    for number, image in enumerate(images):
        picture = cv2.imread(str(marks_folder / f"{number:03d}.png"))[..., ::-1]
        np.testing.assert_array_equal(image_to_rgb(image), picture)
    assert [stamp_ns(info.header.stamp) for info in infos] == stamps
    np.testing.assert_array_equal(camera_from_info(infos[0]).K, marks_world.CAMERA.K)


def test_nothing_is_published_before_the_subscribers_are_there(marks_folder: Path) -> None:
    with NodeProcess(
        "camera_node", source=marks_folder, wait_for_subscribers=1, wait_timeout=1.0
    ) as process:
        assert process.wait() == 2
        assert "only 0 of 1 subscribers came to /image in 1 s" in process.output
        assert "Traceback" not in process.output


def test_a_source_that_cannot_be_read_ends_it_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("no picture")
    with NodeProcess("camera_node", source=tmp_path / "bad.txt") as process:
        assert process.wait() == 2
        (line,) = [line for line in process.output.splitlines() if line.startswith("error: ")]
        assert "bad.txt" in line
        assert "Traceback" not in process.output


def test_frames_without_a_calibration_are_refused_naming_the_remedy(
    marks_folder: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "000.png"
    picture.write_bytes((marks_folder / "000.png").read_bytes())
    with NodeProcess("camera_node", source=picture) as process:
        assert process.wait() == 2
        assert "give one as camera_file" in process.output
    with NodeProcess(
        "camera_node", source=picture, camera_file=marks_folder / "camera.json"
    ) as process:
        assert process.wait() == 0
        assert summary_of(process)["frames_published"] == 1


def test_a_signal_ends_it_at_once_with_exit_code_0_and_no_orphan(
    peer: Peer, marks_folder: Path
) -> None:
    images = peer.collect(Image, "/image", qos.images("best_effort", 5))
    with NodeProcess("camera_node", source=marks_folder, loop=True, rate=60.0) as process:
        # More than the folder holds: it begins again.
        peer.spin_until(lambda: len(images) > 40)
        children = process.children()
        assert children
        assert process.stop(signal.SIGTERM) == 0
        assert "Traceback" not in process.output
        # The last may have been sent, and not yet been counted.
        assert summary_of(process)["frames_published"] >= 40
    assert all_end(children)


def test_a_killed_camera_leaves_no_orphan(peer: Peer, marks_folder: Path) -> None:
    images = peer.collect(Image, "/image", qos.images("best_effort", 5))
    with NodeProcess("camera_node", source=marks_folder, loop=True) as process:
        peer.spin_until(lambda: len(images) > 3)
        children = process.children()
        assert children
        process.process.kill()
        process.wait()
    assert all_end(children)


def test_a_rendered_scene_comes_with_its_true_poses(peer: Peer) -> None:
    images = peer.collect(Image, "/image", qos.images("reliable", 50))
    truth = peer.collect(ObjectPoseArray, "/camera_node/ground_truth")
    with NodeProcess(
        "camera_node",
        source="render",
        object="spot",
        duration=0.2,
        image_reliability="reliable",
        wait_for_subscribers=1,
    ) as process:
        peer.spin_until(lambda: len(images) == 6 and len(truth) == 6, 60.0)
        assert process.wait() == 0
    assert (images[0].width, images[0].height, images[0].encoding) == (640, 480, "rgb8")
    for image, true in zip(images, truth, strict=True):
        assert true.header == image.header
        (pose,) = true.poses
        assert pose.object_id == "spot"
        assert 0.2 < pose.pose.pose.position.z < 3.0
