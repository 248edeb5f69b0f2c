# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fpg_pose_ros.errors import CameraError, DatasetError
from fpg_pose_ros.geometry import Camera, exp_so3
from fpg_pose_ros.sources import camera_to_mapping, open_source
from fpg_pose_ros.sources.pictures import natural_order

CAMERA = Camera(64, 48, np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]))


def picture(number: int) -> np.ndarray:
    """Smooth, so that lossy formats keep it, and of a different red each."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0] = 20 * number
    image[..., 2] = np.linspace(0, 200, 64)
    return image


def save(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(number)[..., ::-1])


def test_an_image_is_rgb_and_its_camera_lies_beside_it(tmp_path):
    save(tmp_path / "one.png", 3)
    (frame,) = open_source(tmp_path / "one.png")
    np.testing.assert_array_equal(frame.image, picture(3))
    assert frame.camera is None
    assert frame.name == "one"
    (tmp_path / "camera.json").write_text(json.dumps(camera_to_mapping(CAMERA)))
    (frame,) = open_source(tmp_path / "one.png")
    np.testing.assert_array_equal(frame.camera.K, CAMERA.K)


def test_grey_and_transparent_images_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((48, 64), 77, np.uint8))
    cv2.imwrite(str(tmp_path / "rgba.png"), np.full((48, 64, 4), 99, np.uint8))
    for frame, value in zip(open_source(tmp_path), (77, 99), strict=True):
        assert frame.image.shape == (48, 64, 3)
        assert (frame.image == value).all()


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    for number in (10, 9, 1):
        save(tmp_path / f"frame_{number}.png", number)
    (tmp_path / "notes.txt").write_text("no image")
    frames = list(open_source(tmp_path, CAMERA))
    assert [frame.name for frame in frames] == ["frame_1", "frame_9", "frame_10"]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [20, 180, 200]
    assert np.diff([frame.stamp_ns for frame in frames]).min() > 0
    assert all(frame.camera is CAMERA for frame in frames)


def test_names_with_and_without_numbers_can_be_ordered():
    names = ["b.png", "12.png", "a1b2.png", "a1b10.png", "2.png", ".png"]
    ordered = [path.name for path in sorted(map(Path, names), key=natural_order)]
    assert ordered.index("2.png") < ordered.index("12.png")
    assert ordered.index("a1b2.png") < ordered.index("a1b10.png")


def test_a_video_is_read_frame_by_frame_with_its_times(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    for number in range(1, 6):
        writer.write(picture(number * 2)[..., ::-1])
    writer.release()
    frames = list(open_source(tmp_path / "v.mp4", CAMERA))
    assert [frame.stamp_ns for frame in frames] == [40_000_000 * i for i in range(5)]
    reds = [float(frame.image[..., 0].mean()) for frame in frames]
    np.testing.assert_allclose(reds, [40, 80, 120, 160, 200], atol=8)


@pytest.fixture
def scene(tmp_path):
    folder = tmp_path / "000002"
    for number in (3, 17):
        save(folder / "rgb" / f"{number:06d}.png", number % 10)
    rotation = exp_so3([0.1, 0.2, 0.3])
    pose = {"cam_R_m2c": rotation.ravel().tolist(), "cam_t_m2c": [10.0, -20.0, 900.0]}
    cameras = {str(n): {"cam_K": CAMERA.K.ravel().tolist(), "depth_scale": 1.0} for n in (17, 3)}
    truth = {"3": [{**pose, "obj_id": 5}], "17": [{**pose, "obj_id": 5}, {**pose, "obj_id": 5}]}
    (folder / "scene_camera.json").write_text(json.dumps(cameras))
    (folder / "scene_gt.json").write_text(json.dumps(truth))
    return folder


def test_a_bop_scene_gives_poses_in_metres_by_object_name(scene):
    first, second = open_source(scene)
    assert (first.name, second.name) == ("000002_000003", "000002_000017")
    T = first.ground_truth["obj_000005"]
    np.testing.assert_allclose(T[:3, 3], [0.01, -0.02, 0.9])
    np.testing.assert_allclose(T[:3, :3], exp_so3([0.1, 0.2, 0.3]))
    assert (first.camera.width, first.camera.height, first.camera.fx) == (64, 48, 60)
    assert list(second.ground_truth) == ["obj_000005", "obj_000005#1"]
    named = next(open_source(scene, names={5: "can"}))
    assert list(named.ground_truth) == ["can"]


def test_a_bop_scene_needs_no_truth(scene):
    (scene / "scene_gt.json").unlink()
    assert all(not frame.ground_truth for frame in open_source(scene))


def test_a_bop_scene_that_is_broken_says_what_and_where(scene):
    (scene / "rgb" / "000017.png").unlink()
    with pytest.raises(DatasetError, match="000017"):
        list(open_source(scene))
    (scene / "scene_gt.json").write_text('{"3": [{"obj_id": 5}]}')
    with pytest.raises(DatasetError, match=r"image 3.*cam_R_m2c"):
        list(open_source(scene))
    (scene / "scene_camera.json").write_text("{")
    with pytest.raises(DatasetError, match=r"scene_camera\.json is no JSON"):
        list(open_source(scene))
    (scene / "scene_camera.json").write_text('{"x": 1}')
    with pytest.raises(DatasetError, match="BOP"):
        list(open_source(scene))


def test_what_cannot_be_read_is_named_with_a_remedy(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("broken.png", "broken.mp4", "poses.xyz"):
        (tmp_path / name).write_bytes(b"nothing of the sort")
    for name, message in {
        "missing.png": "no such file",
        "empty": "no images",
        "broken.png": "decoded",
        "broken.mp4": "opened as a video",
        "poses.xyz": r"\.xyz is not a known kind",
    }.items():
        with pytest.raises(DatasetError, match=message):
            list(open_source(tmp_path / name))


def test_a_calibration_for_another_size_is_refused(tmp_path):
    save(tmp_path / "one.png", 1)
    other = Camera(640, 480, CAMERA.K)
    with pytest.raises(CameraError, match=r"64 x 48.*640 x 480"):
        list(open_source(tmp_path / "one.png", other))


def test_the_lmo_photographs_are_read_with_all_their_poses(pose_data):
    frames = list(open_source(pose_data / "lmo" / "test" / "000002"))
    assert len(frames) == 100
    poses = [(f.camera, T) for f in frames for T in f.ground_truth.values()]
    assert len(poses) == 756  # 717 of them visible enough to be targets
    centres = np.array([camera.project(T[None, :3, 3])[0] for camera, T in poses])
    inside = ((centres > 0) & (centres < [640, 480])).all(axis=1)
    assert inside.mean() > 0.95  # some reach beyond the edge
