# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fpg_pose_ros.bundle import write_bundle
from fpg_pose_ros.errors import BundleError, CameraError, DatasetError
from fpg_pose_ros.geometry import (
    Camera,
    exp_so3,
    make_transform,
    rotation_angle,
    rotation_from_quaternion_wxyz,
)
from fpg_pose_ros.sources import camera_to_mapping
from offline_search.estimate import COLUMNS, estimate

sys.path.insert(0, str(Path(__file__).parents[1] / "fpg_pose_ros"))
import cube_world

CAMERA = Camera(640, 480, np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]))
POSES = [
    make_transform(exp_so3([0.3 * i, 0.5, -0.2]), [0.03 * i - 0.05, 0.01, 0.8]) for i in range(4)
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "cube.zip"
    write_bundle(path, cube_world.cube_manifest(), cube_world.cube_files())
    return path


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "images"
    place.mkdir()
    for number, T in enumerate(POSES):
        cv2.imwrite(str(place / f"{number}.png"), cube_world.photograph(CAMERA, T)[..., ::-1])
    cv2.imwrite(str(place / "4.png"), np.full((480, 640, 3), 96, np.uint8))
    (place / "camera.json").write_text(json.dumps(camera_to_mapping(CAMERA)))
    return place


def test_a_folder_gives_a_table_of_poses_and_a_picture_of_each_image(
    bundle, folder, tmp_path, capsys
):
    summary = estimate(bundle, folder, output=tmp_path / "out")
    assert (summary.frames, summary.poses) == (5, 4)
    with open(tmp_path / "out" / "poses.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert tuple(rows[0]) == COLUMNS
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3"]  # nothing is in the fifth
    for row, T in zip(rows, POSES, strict=True):
        numbers = {
            key: float(value) for key, value in row.items() if key not in ("frame", "object")
        }
        offset = [numbers["tx"], numbers["ty"], numbers["tz"]] - T[:3, 3]
        assert np.linalg.norm(offset) < 0.01
        R = rotation_from_quaternion_wxyz([numbers[key] for key in ("qw", "qx", "qy", "qz")])
        assert rotation_angle(R, T[:3, :3]) < 0.03
        assert 0 < numbers["sigma_tx"] < numbers["sigma_tz"] < 0.1  # depth is the vaguest
        assert row["object"] == "cube"
    pictures = sorted((tmp_path / "out" / "overlays").iterdir())
    assert [path.name for path in pictures] == [f"00000{i}_{i}.jpg" for i in range(5)]
    drawn = cv2.imread(str(pictures[0])).astype(int)
    plain = cv2.imread(str(folder / "0.png")).astype(int)
    assert np.abs(drawn - plain).max() > 100
    assert "4 poses in 5 images" in capsys.readouterr().out


def test_a_video_of_overlays_has_every_frame_at_the_sources_rate(bundle, folder, tmp_path):
    estimate(bundle, folder, output=tmp_path / "out", overlays="video")
    capture = cv2.VideoCapture(str(tmp_path / "out" / "overlay.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(30, rel=0.01)
    capture.release()
    assert not (tmp_path / "out" / "overlays").exists()


def test_a_single_image_makes_a_video_too_and_none_makes_no_pictures(bundle, folder, tmp_path):
    estimate(bundle, folder / "1.png", output=tmp_path / "video", overlays="video")
    assert (tmp_path / "video" / "overlay.mp4").stat().st_size > 1000
    estimate(bundle, folder / "1.png", output=tmp_path / "none", overlays="none")
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["poses.csv"]


def test_a_limit_stops_early_and_a_camera_file_goes_before_the_folders(bundle, folder, tmp_path):
    assert estimate(bundle, folder, output=tmp_path / "out", limit=2).frames == 2
    (folder / "camera.json").unlink()
    with pytest.raises(CameraError, match="--camera"):
        estimate(bundle, folder, output=tmp_path / "out")
    (tmp_path / "c.json").write_text(json.dumps(camera_to_mapping(CAMERA)))
    assert estimate(bundle, folder, output=tmp_path, camera=tmp_path / "c.json").frames == 5


def test_a_film_is_followed_where_that_is_asked_for(bundle, tmp_path):
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "camera.json").write_text(json.dumps(camera_to_mapping(CAMERA)))
    for number in range(3):
        picture = cube_world.photograph(CAMERA, POSES[0])[..., ::-1]
        cv2.imwrite(str(tmp_path / "film" / f"{number}.png"), picture)
    # A track is reported from its second image on.
    for track, poses in ((False, 3), (True, 2)):
        out = tmp_path / f"{track}"
        assert estimate(bundle, tmp_path / "film", output=out, track=track).poses == poses


def test_what_cannot_be_used_is_said(bundle, folder, tmp_path):
    with pytest.raises(BundleError, match="no such bundle"):
        estimate(tmp_path / "none", folder, output=tmp_path / "out")
    with pytest.raises(DatasetError, match="no such file"):
        estimate(bundle, tmp_path / "none", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
