# SPDX-License-Identifier: Apache-2.0
"""SPEED's and SPEED+'s files, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import transform
from offline_search.data.speed import read_camera, read_keypoints, read_labels

PIXEL_PITCH = 5.86e-6


def test_every_label_of_speed_projects_onto_the_published_detections(pose_data: Path) -> None:
    """A convention that is off (transposed rotation, order of the quaternion) is off by 1000 px."""
    folder = pose_data / "speed" / "labels"
    labels = read_labels(folder / "train_reconstructed.json")
    camera = read_camera(folder / "camera_keypoints.json")
    points = read_keypoints(folder / "camera_keypoints.json")
    detections = loadmat(folder / "pred768all.mat")["preds"]
    assert len(labels) == len(detections) == 12_000

    pixels = np.stack([camera.project(transform(x.T_camera_object, points)) for x in labels])
    distance = np.linalg.norm(pixels - detections[..., :2], axis=-1)
    sure = distance[detections[..., 2] > 0.9]
    assert np.median(sure) < 2.0
    assert np.mean(sure < 10.0) > 0.999


def test_every_label_of_speed_agrees_with_the_other_publication_of_the_poses(
    pose_data: Path,
) -> None:
    folder = pose_data / "speed" / "labels"
    labels = read_labels(folder / "train_reconstructed.json")
    camera = read_camera(folder / "camera_keypoints.json")
    points = read_keypoints(folder / "camera_keypoints.json")
    np.testing.assert_allclose(
        read_keypoints(folder / "pts11.mat", metres_per_unit=PIXEL_PITCH), points, atol=1e-9
    )
    np.testing.assert_allclose(loadmat(folder / "K.mat")["K"], camera.K, rtol=1e-9)
    poses = loadmat(folder / "pose_gt.mat")["pose_gt"]
    poses[:, :4] /= np.linalg.norm(poses[:, :4], axis=1, keepdims=True)
    for label, (w, x, y, z, *translation) in zip(labels, poses, strict=True):
        # R(q) written out, independent of the reader's own library.
        R = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        rays = (points @ np.transpose(R) + translation) @ camera.K.T
        expected = rays[:, :2] / rays[:, 2:]
        seen = camera.project(transform(label.T_camera_object, points))
        assert np.abs(seen - expected).max() < 1e-6


def test_speedplus_projects_inside_its_images_with_its_distortion(pose_data: Path) -> None:
    folder = pose_data / "speed" / "speedplus6"
    labels = read_labels(folder / "synthetic" / "train.json")
    camera = read_camera(folder / "camera.json")
    points = read_keypoints(folder / "tangoPoints.mat")
    assert camera.model == "plumb_bob"
    assert camera.distortion.shape == (5,)
    assert points.shape == (11, 3)
    assert len(labels) == 6
    for label in labels:
        assert (folder / "synthetic" / "images" / label.filename).is_file()
        pixels = camera.project(transform(label.T_camera_object, points))
        assert np.all((pixels > 0) & (pixels < [camera.width, camera.height]))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"filename": "a.jpg", "r_Vo2To_vbs_true": [0, 0, 5]}, "lacks the key q_vbs2tango_true"),
        ({"filename": "a.jpg", "q_vbs2tango": [1, 0, 0, 0]}, "lacks the key r_Vo2To_vbs_true"),
        (
            {"filename": "a.jpg", "q_vbs2tango": [1, 1, 0, 0], "r_Vo2To_vbs_true": [0, 0, 5]},
            "length 1",
        ),
        (
            {"filename": "a.jpg", "q_vbs2tango": [1, 0, 0], "r_Vo2To_vbs_true": [0, 0, 5]},
            "quaternion: .* is not .* finite numbers",
        ),
    ],
)
def test_a_damaged_label_is_refused_naming_file_and_label(
    tmp_path: Path, entry: dict[str, object], message: str
) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([entry]))
    with pytest.raises(DatasetError, match=f"train.json: label 0.*{message}"):
        read_labels(path)


def test_a_missing_or_unreadable_file_is_refused_naming_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.json does not exist"):
        read_labels(tmp_path / "nowhere.json")
    broken = tmp_path / "camera.json"
    broken.write_text("{")
    with pytest.raises(DatasetError, match=r"camera\.json: cannot be read as JSON"):
        read_camera(broken)
    broken.write_text('{"Nu": 640}')
    with pytest.raises(DatasetError, match="lacks the key cameraMatrix or K"):
        read_camera(broken)
    (tmp_path / "points.mat").write_bytes(b"not a matlab file, and long enough to be tried" * 9)
    with pytest.raises(DatasetError, match="cannot be read as a MATLAB file"):
        read_keypoints(tmp_path / "points.mat")
