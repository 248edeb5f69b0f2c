# SPDX-License-Identifier: Apache-2.0
"""Poses as messages."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from fpg_pose_ros.bundle import read_bundle
from fpg_pose_ros.estimator import PoseEstimate, StageTimes
from fpg_pose_ros.geometry import exp_so3, make_transform
from fpg_pose_ros.nodes import messages
from fpg_pose_ros.nodes.model_info import model_info
from fpg_pose_ros.nodes.stamps import stamp_from_ns, stamp_ns

STAMP = 1_700_000_000_123_456_789
T = make_transform(exp_so3([0.3, -2.0, 1.0]), [0.1, -0.2, 0.7])
ESTIMATE = PoseEstimate(
    object_name="marks",
    instance_id=0,
    T_camera_object=T,
    covariance=np.arange(36, dtype=np.float64).reshape(6, 6),
    score=0.75,
    reprojection_error=1.5,
    box=(1.0, 2.0, 3.0, 4.0),
    stamp_ns=STAMP,
    frame_id="left",
)
TIMES = StageTimes(1.0, 2.0, 3.0, 4.0, 11.0)
HEADER = Header(stamp=stamp_from_ns(STAMP), frame_id="left")


@pytest.mark.parametrize("nanoseconds", [0, 1, 999_999_999, 10**9, STAMP])
def test_a_stamp_keeps_every_nanosecond(nanoseconds: int) -> None:
    assert stamp_ns(stamp_from_ns(nanoseconds)) == nanoseconds


def test_a_pose_comes_back_from_its_message() -> None:
    pose = messages.pose_from_transform(T)
    np.testing.assert_allclose(messages.transform_from_pose(pose), T, atol=1e-12)
    q = pose.orientation
    assert np.isclose(q.w**2 + q.x**2 + q.y**2 + q.z**2, 1.0)


def test_every_message_of_an_estimate_carries_the_images_header_and_the_same_pose() -> None:
    item = messages.object_pose(ESTIMATE, TIMES)
    single = messages.pose_stamped(item)
    (transform,) = messages.transforms([ESTIMATE], "robot/").transforms
    assert single.header == transform.header == item.header == HEADER
    assert single.pose == item.pose.pose
    assert transform.child_frame_id == "robot/marks"
    assert transform.transform.rotation == single.pose.orientation
    assert transform.transform.translation.x == single.pose.position.x


def test_the_covariance_is_row_major_translation_first() -> None:
    np.testing.assert_array_equal(
        messages.object_pose(ESTIMATE, TIMES).pose.covariance, np.arange(36.0)
    )


def test_an_array_holds_the_best_pose_first_the_times_and_the_counts() -> None:
    worse = replace(ESTIMATE, score=0.5, instance_id=1)
    array = messages.object_pose_array(HEADER, [worse, ESTIMATE], TIMES, received=7, dropped=2)
    assert [pose.score for pose in array.poses] == [0.75, 0.5]
    assert array.header == HEADER
    assert (array.preprocess_ms, array.locate_ms, array.infer_ms) == (1.0, 2.0, 3.0)
    assert (array.solve_ms, array.total_ms) == (4.0, 11.0)
    assert array.poses[0].total_ms == 11.0
    assert (array.frames_received, array.frames_dropped) == (7, 2)


def test_no_estimates_make_an_empty_array() -> None:
    assert messages.object_pose_array(HEADER, [], TIMES).poses == []


def test_further_instances_get_frames_of_their_own() -> None:
    second = replace(ESTIMATE, instance_id=1)
    frames = [t.child_frame_id for t in messages.transforms([ESTIMATE, second], "").transforms]
    assert frames == ["marks", "marks_1"]


def test_frames_of_the_first_instance_can_carry_its_number_too() -> None:
    second = replace(ESTIMATE, instance_id=1)
    message = messages.transforms([ESTIMATE, second], "cell/", "always")
    assert [t.child_frame_id for t in message.transforms] == ["cell/marks_0", "cell/marks_1"]


def test_true_poses_are_certain() -> None:
    array = messages.true_poses(HEADER, {"marks": T})
    (pose,) = array.poses
    assert pose.header == HEADER
    assert pose.score == 1.0
    assert not pose.pose.covariance.any()
    np.testing.assert_allclose(messages.transform_from_pose(pose.pose.pose), T, atol=1e-12)


def test_a_manifest_with_other_figures_still_makes_a_description(marks_bundle: Path) -> None:
    bundle = read_bundle(marks_bundle)
    manifest = {
        **bundle.manifest,
        "metrics": {"validation": {"add01": 0.5, "by": "hand"}, "frames": 10, "data": "renders"},
        "training": {"minutes": 2},
        "costs": {"pose_macs": 5, "budget_macs": None},
    }
    info = model_info(replace(bundle, manifest=manifest), Time(sec=3))
    assert info.header.stamp.sec == 3
    assert dict(zip(info.metric_names, info.metric_values, strict=True)) == {
        "validation.add01": 0.5,
        "frames": 10.0,
    }
    assert info.metrics_data == "renders"
    assert (info.pose_macs, info.budget_macs, info.training_command) == (5, 0, "")
    assert (info.training_minutes, info.training_images) == (2.0, 0)
