# SPDX-License-Identifier: Apache-2.0
"""What rviz is shown of an instance, and that it is taken away again."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import marks_world
from rclpy.serialization import deserialize_message
from visualization_msgs.msg import Marker, MarkerArray

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import exp_so3, make_transform
from fpg_pose_ros.nodes import messages
from fpg_pose_ros.nodes.markers import (
    PARTS,
    UP_WORLD,
    ObjectMarkers,
    deletion_of_all,
    position_ellipsoid,
)
from fpg_pose_ros.nodes.stamps import stamp_ns

STAMP = 1_700_000_000_123_456_789
T = make_transform(exp_so3([0.3, -2.0, 1.0]), [0.1, -0.2, 0.7])
#: Deviations of 1, 2 and 3 cm along axes that are turned against the frame's.
TURN = exp_so3([0.4, 0.5, -0.6])
COVARIANCE = np.eye(6)
COVARIANCE[:3, :3] = TURN @ np.diag([1e-4, 4e-4, 9e-4]) @ TURN.T
ESTIMATE = PoseEstimate(
    object_name="marks",
    instance_id=0,
    T_camera_object=T,
    covariance=COVARIANCE,
    score=0.75,
    reprojection_error=1.5,
    box=(1.0, 2.0, 3.0, 4.0),
    stamp_ns=STAMP,
    frame_id="left",
)
SECOND = replace(ESTIMATE, instance_id=1)


def markers_in(message: bytes) -> list[Marker]:
    return deserialize_message(message, MarkerArray).markers


def started() -> ObjectMarkers:
    """Markers that have sent what they send first."""
    markers = ObjectMarkers([marks_world.model()])
    (first,) = markers.frame([], 2.5)
    assert markers_in(first) == deletion_of_all().markers
    return markers


def test_each_frame_s_markers_have_their_own_stamp_pose_and_score_and_the_same_mesh() -> None:
    mesh_of_model = marks_world.model().mesh
    markers = started()
    corners = mesh_of_model.vertices[mesh_of_model.faces].reshape(-1, 3)
    for number in range(5):
        moved = replace(
            ESTIMATE,
            T_camera_object=marks_world.pose(number),
            covariance=COVARIANCE * (number + 1),
            stamp_ns=STAMP + number,
            score=0.2 * number + 0.2,
        )
        (message,) = markers.frame([moved], 2.5)
        found = markers_in(message)
        assert [m.ns for m in found] == [f"marks/{part}" for part in PARTS]
        for marker in found:
            assert stamp_ns(marker.header.stamp) == STAMP + number
            assert (marker.header.frame_id, marker.id, marker.action) == ("left", 0, Marker.ADD)
            assert (marker.lifetime.sec, marker.lifetime.nanosec) == (2, 500_000_000)
        mesh, axes, covariance, label = found
        pose = messages.pose_from_transform(moved.T_camera_object)
        assert mesh.type == Marker.TRIANGLE_LIST
        assert mesh.pose == axes.pose == pose
        np.testing.assert_array_equal([(p.x, p.y, p.z) for p in mesh.points], corners)
        assert len(mesh.colors) == len(corners)
        assert np.isclose(mesh.colors[0].r, 200 / 255)
        assert axes.type == Marker.LINE_LIST
        assert [p.x > 0 for p in axes.points[:2]] == [False, True]
        assert [(c.r, c.g, c.b) for c in axes.colors[::2]] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
        assert covariance.type == Marker.SPHERE
        assert covariance.pose.position == pose.position
        sides = np.sqrt(number + 1) * np.array([0.04, 0.08, 0.12])
        np.testing.assert_allclose(
            [covariance.scale.x, covariance.scale.y, covariance.scale.z], sides
        )
        assert label.type == Marker.TEXT_VIEW_FACING
        assert label.text == f"marks 0 {0.2 * number + 0.2:.2f}"
        assert label.pose.position.y < pose.position.y  # the camera's y points down
        assert all(0 < color.a <= 1 for color in [m.color for m in found])


def test_the_ellipsoid_has_half_axes_of_two_deviations_of_the_position() -> None:
    T_ellipsoid, diameters = position_ellipsoid(ESTIMATE)
    R = T_ellipsoid[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) > 0
    np.testing.assert_allclose(R @ np.diag((diameters / 4) ** 2) @ R.T, COVARIANCE[:3, :3])
    np.testing.assert_array_equal(T_ellipsoid[:3, 3], T[:3, 3])


def test_a_position_that_is_certain_still_has_an_ellipsoid() -> None:
    certain = replace(ESTIMATE, covariance=np.zeros((6, 6)))
    assert (position_ellipsoid(certain)[1] > 0).all()


def test_labels_stand_above_the_objects_in_the_world_s_frame_too() -> None:
    (message,) = started().frame([ESTIMATE], 2.5, UP_WORLD)
    *_, label = markers_in(message)
    offset = 0.6 * marks_world.model().diameter
    assert np.isclose(label.pose.position.z, T[2, 3] + offset)


def test_all_markers_of_an_instance_that_is_gone_are_deleted_once() -> None:
    markers = started()
    assert len(markers.frame([ESTIMATE, SECOND], 2.5)) == 2
    deletion, _ = markers.frame([ESTIMATE], 2.5)
    assert {(m.ns, m.id, m.action) for m in markers_in(deletion)} == {
        (f"marks/{part}", 1, Marker.DELETE) for part in PARTS
    }
    assert len(markers.frame([], 2.5)) == 1
    assert markers.frame([], 2.5) == []


def test_the_first_message_takes_away_what_another_run_left() -> None:
    markers = ObjectMarkers([marks_world.model()])
    first, _ = markers.frame([ESTIMATE], 2.5)
    assert [m.action for m in markers_in(first)] == [Marker.DELETEALL]
    assert len(markers.frame([ESTIMATE], 2.5)) == 1


def test_markers_follow_a_camera_that_changes_its_frame() -> None:
    markers = started()
    for frame_id in ("a", "a_much_longer_name", "a"):
        (message,) = markers.frame([replace(ESTIMATE, frame_id=frame_id)], 2.5)
        for marker in markers_in(message):
            assert marker.header.frame_id == frame_id
        assert markers_in(message)[0].pose == messages.pose_from_transform(T)


def test_markers_outlast_the_last_frame_by_what_is_asked_for_at_the_time() -> None:
    markers = started()
    for lifetime in (0.1, 3600.0, 0.1):
        (message,) = markers.frame([ESTIMATE], lifetime)
        for marker in markers_in(message):
            assert marker.lifetime.sec + marker.lifetime.nanosec * 1e-9 == pytest.approx(lifetime)


def test_an_object_may_be_called_like_a_score() -> None:
    markers = ObjectMarkers([marks_world.model("9.87")])
    _, message = markers.frame([replace(ESTIMATE, object_name="9.87")], 2.5)
    found = markers_in(message)
    assert [m.ns for m in found] == [f"9.87/{part}" for part in PARTS]
    assert found[-1].text == "9.87 0 0.75"
