# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from fpg_pose_ros.errors import CameraError
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.sources import camera_to_mapping, read_camera

K = np.array([[600.0, 0, 320], [0, 610, 240], [0, 0, 1]])


def test_this_projects_form_goes_there_and_back(tmp_path):
    camera = Camera(640, 480, K, np.array([0.1, 0.01, 0, 0]), "equidistant")
    (tmp_path / "camera.json").write_text(json.dumps(camera_to_mapping(camera)))
    again = read_camera(tmp_path / "camera.json")
    assert camera_to_mapping(again) == camera_to_mapping(camera)


def test_ros_calibration_files_are_read(tmp_path):
    (tmp_path / "camera.yaml").write_text(
        yaml.safe_dump(
            {
                "image_width": 640,
                "image_height": 480,
                "camera_name": "front",
                "camera_matrix": {"rows": 3, "cols": 3, "data": K.ravel().tolist()},
                "distortion_model": "plumb_bob",
                "distortion_coefficients": {"rows": 1, "cols": 5, "data": [-0.1, 0.2, 0, 0, 0]},
            }
        )
    )
    camera = read_camera(tmp_path / "camera.yaml")
    assert (camera.width, camera.height, camera.model) == (640, 480, "plumb_bob")
    np.testing.assert_array_equal(camera.K, K)
    np.testing.assert_array_equal(camera.distortion, [-0.1, 0.2, 0, 0, 0])


def test_bops_camera_files_are_read(tmp_path):
    values = {"cx": 320, "cy": 240, "depth_scale": 1.0, "fx": 600, "fy": 610}
    (tmp_path / "camera.json").write_text(json.dumps({**values, "height": 480, "width": 640}))
    np.testing.assert_array_equal(read_camera(tmp_path / "camera.json").K, K)


def test_the_lmo_camera_is_read(pose_data):
    camera = read_camera(pose_data / "lmo" / "camera.json")
    assert (camera.width, camera.height) == (640, 480)
    assert camera.fx == pytest.approx(572.4114)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no camera calibration"),
        ("[1, 2]", "no camera calibration"),
        ("{a: b: c", "neither JSON nor YAML"),
        ("!!python/object/apply:os.system ['true']", "neither JSON nor YAML"),
        ("{width: 640, height: 480}", "K is missing"),
        ("{width: 640, height: 480, fx: 1, cx: 1}", "fy is missing"),
        ("{width: 640, height: 480, K: [1, 2]}", r"shape \(2,\)"),
        ("{width: 640, height: 480, K: abc}", "numbers"),
        ("{width: 640, height: 480, fx: .nan, fy: 1, cx: 1, cy: 1}", "fx is nan"),
        ("{width: wide, height: 480, fx: 1, fy: 1, cx: 1, cy: 1}", "width"),
        ("{width: 640, height: 480, fx: 1, fy: 1, cx: 1, cy: 1, distortion: 3}", "distortion"),
    ],
)
def test_what_is_no_calibration_is_refused_naming_file_and_field(tmp_path, text, message):
    (tmp_path / "camera.yaml").write_text(text)
    with pytest.raises(CameraError, match=rf"camera\.yaml.*{message}"):
        read_camera(tmp_path / "camera.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CameraError, match=r"none\.json"):
        read_camera(tmp_path / "none.json")
