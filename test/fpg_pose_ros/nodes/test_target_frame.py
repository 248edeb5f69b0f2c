# SPDX-License-Identifier: Apache-2.0
"""Poses in another frame than the camera's."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import exp_so3, invert, log_so3, make_transform
from fpg_pose_ros.nodes.target_frame import TargetFrameError, import_tf2, in_frame

T_BASE_CAMERA = make_transform(exp_so3([0.2, -1.1, 2.0]), [0.5, 0.1, 1.2])
T_CAMERA_OBJECT = make_transform(exp_so3([0.3, -2.0, 1.0]), [0.1, -0.2, 0.7])
ROOT = np.random.default_rng(0).normal(size=(6, 6)) * 1e-3
ESTIMATE = PoseEstimate(
    object_name="marks",
    instance_id=3,
    T_camera_object=T_CAMERA_OBJECT,
    covariance=ROOT @ ROOT.T,
    score=0.75,
    reprojection_error=1.5,
    box=(1.0, 2.0, 3.0, 4.0),
    stamp_ns=10**9,
    frame_id="camera",
)


def test_the_pose_is_composed_and_nothing_else_of_it_changes() -> None:
    (placed,) = in_frame([ESTIMATE], T_BASE_CAMERA, "base")
    np.testing.assert_allclose(placed.T_camera_object, T_BASE_CAMERA @ T_CAMERA_OBJECT)
    assert placed.frame_id == "base"
    same = ("object_name", "instance_id", "score", "reprojection_error", "box", "stamp_ns")
    assert all(getattr(placed, name) == getattr(ESTIMATE, name) for name in same)


def test_the_covariance_is_that_of_the_errors_seen_from_the_other_frame() -> None:
    (placed,) = in_frame([ESTIMATE], T_BASE_CAMERA, "base")
    rng = np.random.default_rng(1)
    errors = []
    for dt_and_w in rng.multivariate_normal(np.zeros(6), ESTIMATE.covariance, 4000):
        T_true = make_transform(
            exp_so3(dt_and_w[3:]) @ T_CAMERA_OBJECT[:3, :3], T_CAMERA_OBJECT[:3, 3] + dt_and_w[:3]
        )
        seen = T_BASE_CAMERA @ T_true
        turned = seen[:3, :3] @ placed.T_camera_object[:3, :3].T
        moved = seen[:3, 3] - placed.T_camera_object[:3, 3]
        errors.append(np.concatenate([moved, log_so3(turned)]))
    measured = np.cov(np.transpose(errors))
    scale = np.sqrt(np.diag(placed.covariance))
    np.testing.assert_allclose(
        measured / np.outer(scale, scale), placed.covariance / np.outer(scale, scale), atol=0.1
    )


def test_there_and_back_is_where_it_was() -> None:
    there = in_frame([ESTIMATE], T_BASE_CAMERA, "base")
    (back,) = in_frame(there, invert(T_BASE_CAMERA), "camera")
    np.testing.assert_allclose(back.T_camera_object, T_CAMERA_OBJECT, atol=1e-12)
    np.testing.assert_allclose(back.covariance, ESTIMATE.covariance, atol=1e-15)


def test_nothing_found_stays_nothing() -> None:
    assert in_frame([], T_BASE_CAMERA, "base") == ()


def test_without_tf2_the_error_names_the_package_and_the_parameter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    with pytest.raises(TargetFrameError, match=r"target_frame needs .* tf2_ros_py.*leave"):
        import_tf2()
