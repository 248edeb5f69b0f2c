# SPDX-License-Identifier: Apache-2.0
"""Samples of SPEED and SPEED+: rendered ones of both, six real ones, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.errors import DatasetError, MeshError
from fpg_pose_ros.geometry import Camera, transform
from offline_search.data.compose import CropConfig
from offline_search.data.datasets import Ramp
from offline_search.data.photographed_poses import PhotographedPoses
from offline_search.data.photographs import Photograph, crop_photograph
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.speed import read_camera, read_labels
from offline_search.data.speed_poses import SPEED_CAMERA, speed_poses, tango

sys.path.insert(0, str(Path(__file__).parents[1]))
import speed_dataset
from speed_dataset import KEYPOINTS, write_speed_dataset, write_speedplus_dataset

IMAGES = 24  # of which the 21st is held out
SAMPLING = {
    "seed": 0,
    "resolution": 64,
    "margin": 1.28,
    "layers": 9,
    "layer_px": None,
    "difficulty": Ramp(),
    "length": 9,
}


@pytest.fixture(scope="module")
def speed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data") / "speed"
    return write_speed_dataset(place, IMAGES, tango(KEYPOINTS).mesh)


@pytest.fixture(scope="module")
def plus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data") / "speedplus"
    return write_speedplus_dataset(place, 4, 3, tango(KEYPOINTS).mesh)


def check_labels(source: PhotographedPoses, photograph: Photograph) -> None:
    """The body fills the outline of the labels' hull and nothing beside it."""
    sample = crop_photograph(
        np.random.default_rng(0), source.thing, photograph, CropConfig(192), EmbreeRenderer()
    )
    lit, hull = sample.image.max(axis=2) > 30, sample.mask > 127
    assert (lit & hull).sum() > 0.97 * (lit | hull).sum()
    low, high = sample.keypoints.min(axis=0), sample.keypoints.max(axis=0)
    ys, xs = np.nonzero(hull)
    inside = [max(0, low[0]), max(0, low[1]), min(191, high[0]), min(191, high[1])]
    np.testing.assert_allclose([xs.min(), ys.min(), xs.max(), ys.max()], inside, atol=1.5)


def test_labels_of_speed_lie_on_what_the_crops_show(speed: Path) -> None:
    source = speed_poses(speed, "tango")
    assert len(source.train) + len(source.held_out) == IMAGES
    np.testing.assert_allclose(source.model.keypoints, KEYPOINTS)
    assert source.model.parts
    for photograph in source.train[:4]:
        check_labels(source, photograph)


def test_crops_are_free_of_the_lenss_distortion(plus: Path) -> None:
    """Cut without regard to the lens, the same pictures miss their labels."""
    source = speed_poses(plus, "tango")
    for photograph in (*source.train, *source.held_out):
        check_labels(source, photograph)
    pinhole = Camera(speed_dataset.WIDTH, speed_dataset.HEIGHT, speed_dataset.K)
    far_out = max(source.train, key=lambda p: float(np.abs(p.T_camera_object[:2, 3]).max()))
    with pytest.raises(AssertionError):
        check_labels(source, replace(far_out, camera=pinhole))


def test_speedpluss_own_validation_set_is_held_out(plus: Path) -> None:
    source = speed_poses(plus, "tango")
    names = [[p.path.name for p in side] for side in (source.train, source.held_out)]
    assert names == [
        ["img000000.jpg", "img000001.jpg", "img000002.jpg", "img000003.jpg"],
        ["img000004.jpg", "img000005.jpg", "img000006.jpg"],
    ]


def test_speed_as_published_needs_no_camera_file(speed: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(speed, tmp_path / "speed")
    (copy / "camera.json").unlink()
    source = speed_poses(copy, "tango")
    assert source.train[0].camera is SPEED_CAMERA
    crops = source.samples(
        "train",
        **SAMPLING,
    )
    with pytest.raises(DatasetError, match=r"\.jpg is 320x200; its camera's images are 1920x1200"):
        crops[0]


def test_photographs_are_not_rendered_by_whatever_is_asked_for(speed: Path) -> None:
    with pytest.raises(DatasetError, match=r"photographs of tango.*leave the renderer out"):
        speed_poses(speed, "tango").samples(
            "train",
            **SAMPLING,
            renderer="mitsuba",
        )


def test_the_published_camera_is_that_of_speeds_labels(pose_data: Path) -> None:
    published = read_camera(pose_data / "speed" / "labels" / "camera_keypoints.json")
    np.testing.assert_allclose(SPEED_CAMERA.K, published.K)
    assert (SPEED_CAMERA.width, SPEED_CAMERA.height) == (published.width, published.height)


def test_labels_of_real_speedplus_images_lie_on_what_the_crops_show(
    pose_data: Path, tmp_path: Path
) -> None:
    """The hull of the keypoints holds more than the spacecraft, but no spacecraft is beside it."""
    folder = pose_data / "speed" / "speedplus6"
    labels = read_labels(folder / "synthetic" / "train.json")
    copy = tmp_path / "plus"
    (copy / "synthetic").mkdir(parents=True)
    (copy / "synthetic" / "images").symlink_to(folder / "synthetic" / "images")
    for name in ("camera.json", "tangoPoints.mat"):
        shutil.copy(folder / name, copy / name)
    entries = json.loads((folder / "synthetic" / "train.json").read_text())
    (copy / "synthetic" / "train.json").write_text(json.dumps(entries[:4]))
    (copy / "synthetic" / "validation.json").write_text(json.dumps(entries[4:]))
    source = speed_poses(copy, "tango")
    assert len(source.model.keypoints) == 11
    assert source.model.diameter == pytest.approx(1.3625, abs=1e-3)
    for photograph, label in zip((*source.train, *source.held_out), labels, strict=True):
        assert photograph.path.name == label.filename
        sample = crop_photograph(
            np.random.default_rng(1), source.thing, photograph, CropConfig(256), EmbreeRenderer()
        )
        lit = sample.image.max(axis=2) > 40
        beside = lit & ~(sample.mask > 127)
        assert lit.sum() > 0.1 * (sample.mask > 127).sum()
        assert beside.sum() < 0.06 * lit.sum()  # its thin rod antennas
        seen = transform(sample.T_camera_object, source.model.keypoints) @ sample.K.T
        full = np.column_stack([seen[:, :2] / seen[:, 2:], np.ones(11)])
        np.testing.assert_allclose(full @ sample.A.T, sample.keypoints, atol=1e-9)


def test_an_object_file_stands_for_the_spacecraft(speed: Path) -> None:
    file = Path(__file__).parents[3] / "objects" / "spot.yaml"
    assert speed_poses(speed, str(file)).model.name == "spot"


def test_what_is_missing_or_malformed_is_named(speed: Path, plus: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere does not exist; unpack SPEED"):
        speed_poses(tmp_path / "nowhere", "tango")
    with pytest.raises(DatasetError, match=r"neither train\.json \(SPEED\) nor synthetic/"):
        speed_poses(tmp_path, "tango")
    with pytest.raises(DatasetError, match=r"--object spot: .*--object tango"):
        speed_poses(speed, "spot")
    copy = shutil.copytree(speed, tmp_path / "speed")
    (copy / "keypoints.json").write_text(json.dumps({"keypoints_m": [[0, 0, 0], [1, 1, 1]] * 3}))
    with pytest.raises(MeshError, match="6 keypoints of tango span no body"):
        speed_poses(copy, "tango")
    (copy / "keypoints.json").unlink()
    with pytest.raises(DatasetError, match=r"no keypoints of tango \(tangoPoints\.mat or"):
        speed_poses(copy, "tango")
    shutil.rmtree(copy / "images")
    with pytest.raises(DatasetError, match=r"images/train does not exist"):
        speed_poses(copy, "tango")
    broken = shutil.copytree(plus, tmp_path / "plus")
    (broken / "camera.json").unlink()
    with pytest.raises(DatasetError, match=r"camera\.json does not exist"):
        speed_poses(broken, "tango")
