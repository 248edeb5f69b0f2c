# SPDX-License-Identifier: Apache-2.0
"""Linemod_preprocessed, whole and damaged."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.errors import DatasetError
from offline_search.data.bop import BopDataset
from offline_search.data.bop_image import BopTarget
from offline_search.data.bop_poses import linemod_poses
from offline_search.data.linemod import LinemodDataset
from offline_search.data.photographed_poses import PhotographedPoses

sys.path.insert(0, str(Path(__file__).parents[1]))
from cube_dataset import OBJECT, SCENE, write_cube_dataset, write_cube_linemod


@pytest.fixture(scope="module")
def bop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube_dataset(tmp_path_factory.mktemp("bop") / "cubes", images=44, depth=True)


@pytest.fixture(scope="module")
def linemod(tmp_path_factory: pytest.TempPathFactory, bop: Path) -> Path:
    return write_cube_linemod(tmp_path_factory.mktemp("linemod") / "lm", bop, test=22)


@pytest.fixture
def copy(linemod: Path, tmp_path: Path) -> Path:
    return shutil.copytree(linemod, tmp_path / "lm")


def test_images_come_with_camera_pose_and_depth_as_in_bop(linemod: Path, bop: Path) -> None:
    dataset = LinemodDataset(linemod)
    target = dataset.targets()[0]
    assert target == BopTarget(OBJECT, 5, OBJECT, 1)
    image, same = dataset.scene(OBJECT).image(5), BopDataset(bop).scene(SCENE).image(5)
    np.testing.assert_array_equal(image.K, same.K)
    np.testing.assert_array_equal(image.truth(OBJECT, 1), same.truth(OBJECT, 1))
    np.testing.assert_array_equal(image.read(), same.read())
    np.testing.assert_array_equal(image.read_depth(), same.read_depth())
    model = dataset.model(OBJECT)
    assert model.diameter == BopDataset(bop).model(OBJECT).diameter
    np.testing.assert_array_equal(model.points, BopDataset(bop).model(OBJECT).points)


def test_the_lists_name_the_images_of_each_split(linemod: Path) -> None:
    ids = {
        split: LinemodDataset(linemod, split).scene(OBJECT).image_ids for split in ("train", "test")
    }
    assert len(ids["train"]) == len(ids["test"]) == 22
    assert not set(ids["train"]) & set(ids["test"])
    assert LinemodDataset(linemod).scene_ids() == LinemodDataset(linemod).object_ids() == (OBJECT,)
    with pytest.raises(DatasetError, match="--split val: LINEMOD has the splits train and test"):
        LinemodDataset(linemod, "val")


def test_networks_train_on_the_images_of_the_training_list(linemod: Path) -> None:
    source = linemod_poses(linemod, f"cube={OBJECT}")
    assert isinstance(source, PhotographedPoses)
    listed = LinemodDataset(linemod, "train").scene(OBJECT).image_ids
    used = {int(one.path.stem) for one in source.train + source.held_out}
    assert used == set(listed)
    assert all(one.mask is not None and one.mask.is_file() for one in source.train)


def test_eggbox_and_glue_are_symmetric_though_the_file_does_not_say_so(copy: Path) -> None:
    folder = copy / "models"
    (folder / "models_info.yml").write_text("10: {diameter: 164.6}\n8: {diameter: 261.5}\n")
    for number in (8, 10):
        shutil.copy(folder / f"obj_{OBJECT:02d}.ply", folder / f"obj_{number:02d}.ply")
    (turn,) = LinemodDataset(copy).model(10).symmetries.discrete
    np.testing.assert_allclose(turn[:3, :3], np.diag([-1, -1, 1]), atol=0.02)
    assert np.linalg.norm(turn[:3, 3]) < 1e-3
    assert not LinemodDataset(copy).model(8).symmetries


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("data", r"lm/data does not exist; unpack .*DenseFusion"),
        ("models", r"lm/models does not exist; unpack .*DenseFusion"),
        ("models/models_info.yml", r"models_info\.yml does not exist; unpack"),
        (f"models/obj_{OBJECT:02d}.ply", r"obj_03\.ply does not exist; unpack"),
        (f"data/{OBJECT:02d}/gt.yml", r"data/03/gt\.yml does not exist"),
        (f"data/{OBJECT:02d}/info.yml", r"data/03/info\.yml does not exist"),
        (f"data/{OBJECT:02d}/test.txt", r"data/03/test\.txt does not exist"),
        (f"data/{OBJECT:02d}/rgb/0005.png", r"rgb/0005\.png does not exist"),
    ],
)
def test_what_is_missing_is_named_with_where_it_comes_from(
    copy: Path, missing: str, message: str
) -> None:
    place = copy / missing
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(DatasetError, match=message):
        _read_all(copy)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("gt.yml", "{", r"gt\.yml: cannot be read as YAML"),
        ("gt.yml", "[]", r"gt\.yml: not a table by number"),
        ("gt.yml", "{7: []}", r"gt\.yml: lacks the key 5"),
        ("gt.yml", "{5: {}}", r"gt\.yml: image 5: not a list"),
        ("gt.yml", "{5: [{obj_id: 3}]}", "lacks the key cam_R_m2c"),
        (
            "info.yml",
            "{5: {cam_K: [1, 2]}}",
            r"info\.yml: image 5: cam_K.* is not .*finite numbers",
        ),
        ("test.txt", "five\n", r"test\.txt: not a list of image numbers"),
    ],
)
def test_what_is_malformed_is_named(copy: Path, file: str, text: str, message: str) -> None:
    (copy / "data" / f"{OBJECT:02d}" / file).write_text(text)
    with pytest.raises(DatasetError, match=message):
        _read_all(copy)


def _read_all(root: Path) -> None:
    dataset = LinemodDataset(root)
    for target in dataset.targets()[:1]:
        dataset.scene(target.scene_id).image(target.image_id).read()
        dataset.model(target.obj_id)
