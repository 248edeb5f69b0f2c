# SPDX-License-Identifier: Apache-2.0
"""Samples of an object of a BOP dataset: labels on the pictures, splits, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import apply_affine, transform
from offline_search.data.bop import BopDataset
from offline_search.data.bop_poses import bop_poses
from offline_search.data.datasets import Ramp
from offline_search.data.photographed_poses import PhotographedPoses, PhotographSamples
from offline_search.data.sources import RenderedPoses, Split

sys.path.insert(0, str(Path(__file__).parents[1]))
from cube_dataset import OBJECT, SCENE, cube_world, write_cube_dataset

IMAGES = 20
SCENE_FOLDER = Path("train_pbr") / f"{SCENE:06d}"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bop") / "cubes"
    return write_cube_dataset(root, images=IMAGES, split="train_pbr")


@pytest.fixture(scope="module")
def source(dataset: Path) -> PhotographedPoses:
    opened = bop_poses(dataset, f"cube={OBJECT}")
    assert isinstance(opened, PhotographedPoses)
    return opened


def samples(
    source: PhotographedPoses, split: Split, seed: int = 1, layers: int = 99, length: int = 40
) -> PhotographSamples:
    return source.samples(
        split,
        seed=seed,
        resolution=128,
        margin=1.28,
        layers=layers,
        layer_px=None,
        difficulty=Ramp(),
        length=length,
    )


def test_labels_lie_on_what_the_crops_show(source: PhotographedPoses) -> None:
    """The balls on the cube's corners have colours of their own."""
    crops = samples(source, "held_out")
    assert source.model.name == "cube"
    for index in range(6):
        sample = crops[index]
        camera = sample.T_camera_object, sample.K

        def pixels(points: np.ndarray, camera: tuple = camera, A: np.ndarray = sample.A):
            seen = transform(camera[0], points) @ camera[1].T
            return apply_affine(A, seen[:, :2] / seen[:, 2:])

        np.testing.assert_allclose(sample.keypoints, pixels(source.model.keypoints), atol=1e-9)
        corners = cube_world.cube_model().keypoints
        depth = transform(sample.T_camera_object, corners)[:, 2]
        nearest = int(depth.argmin())  # hidden by no other ball
        x, y = np.round(pixels(corners)[nearest]).astype(int)
        if 0 <= x < 128 and 0 <= y < 128:
            assert np.abs(sample.image[y, x].astype(int) - cube_world.COLOURS[nearest]).max() < 40


def test_a_mask_is_the_datasets_own_and_where_there_is_none_the_meshs(
    dataset: Path, source: PhotographedPoses, tmp_path: Path
) -> None:
    bare = shutil.copytree(dataset, tmp_path / "bare")
    shutil.rmtree(bare / SCENE_FOLDER / "mask")
    rendered = samples(bop_poses(bare, f"cube={OBJECT}"), "train")  # type: ignore[arg-type]
    given = samples(source, "train")
    for index in range(4):
        a, b = given[index].mask > 127, rendered[index].mask > 127
        assert a.any()
        assert (a & b).sum() > 0.98 * (a | b).sum()
    for file in (bare / SCENE_FOLDER).glob("rgb/*"):
        (bare / SCENE_FOLDER / "mask").mkdir(exist_ok=True)
        (bare / SCENE_FOLDER / "mask" / f"{file.stem}_000000.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"mask/.*_000000\.png: cannot be decoded"):
        rendered[0]


def test_the_mask_goes_on_beyond_the_pictures_edge(source: PhotographedPoses) -> None:
    """The cover of the whole object is asked for; a file ends where the picture does."""
    cut = source.train[0]
    K = cut.K.copy()
    K[0, 2] -= cut.K[0, 2] + 0.02 * K[0, 0]  # the principal point left of the picture
    moved = PhotographedPoses(source.thing, (replace(cut, K=K),), source.held_out)
    sample = samples(moved, "train")[0]
    whole = samples(PhotographedPoses(source.thing, (cut,), source.held_out), "train")[0]
    outside = apply_affine(sample.A, np.array([[-0.5, 0.0]]))[0, 0]
    assert (sample.mask[:, : int(outside)] > 127).any()
    ratio = (sample.mask > 127).sum() / (whole.mask > 127).sum()
    assert ratio == pytest.approx(1.0, abs=0.05)


def test_photographs_are_trained_on_or_held_out_whatever_the_seed(
    dataset: Path, source: PhotographedPoses
) -> None:
    train, held_out = ({p.path for p in side} for side in (source.train, source.held_out))
    assert len(train) + len(held_out) == IMAGES
    assert not train & held_out
    again = bop_poses(dataset, "obj_000003")
    assert isinstance(again, PhotographedPoses)
    assert [p.path for p in again.held_out] == [p.path for p in source.held_out]


def test_samples_depend_on_seed_and_index_alone(source: PhotographedPoses) -> None:
    one = samples(source, "train")
    two = pickle.loads(pickle.dumps(samples(source, "train")))
    other = samples(source, "train", seed=2)
    np.testing.assert_array_equal(one[7].image, two[7].image)
    assert not np.array_equal(one[7].keypoints, other[7].keypoints)
    # another round over the photographs shows them in another order and place
    count = len(source.train)
    shown = [tuple(one[i].T_camera_object[:3, 3]) for i in range(2 * count)]
    assert len(set(shown[:count])) == len(set(shown[count:])) == count
    assert shown[:count] != shown[count:]
    with pytest.raises(IndexError):
        one[40]


def test_no_more_photographs_are_used_than_asked_for(source: PhotographedPoses) -> None:
    few = samples(source, "train", layers=3)
    shown = [tuple(few[i].T_camera_object[:3, 3]) for i in range(12)]
    assert len(set(shown)) == 3


def test_only_training_crops_are_spoilt(source: PhotographedPoses) -> None:
    def untouched(split: Split) -> float:
        background = samples(source, split)[3].image == cube_world.BACKGROUND
        return float(background.all(axis=2).mean())

    assert untouched("held_out") > 0.3
    assert untouched("train") < 0.3


def test_what_is_hardly_visible_is_left_out(dataset: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(dataset, tmp_path / "copy")
    scene = copy / SCENE_FOLDER
    truth = json.loads((scene / "scene_gt.json").read_text())
    hidden = sorted(truth)[:4]
    info = {image: [{"visib_fract": 0.1 if image in hidden else 0.8}] for image in truth}
    (scene / "scene_gt_info.json").write_text(json.dumps(info))
    opened = bop_poses(copy, str(OBJECT))
    assert isinstance(opened, PhotographedPoses)
    shown = {p.path.stem for p in (*opened.train, *opened.held_out)}
    assert len(shown) == IMAGES - 4
    assert not shown & {f"{int(image):06d}" for image in hidden}
    assert samples(opened, "train")[0].visible_fraction == 0.8


def test_several_folders_of_training_images_are_joined_and_other_objects_left_out(
    tmp_path: Path,
) -> None:
    root = write_cube_dataset(tmp_path / "cubes", images=IMAGES, split="train_pbr")
    shutil.copytree(root / "train_pbr", root / "train_real")
    shutil.copytree(root / "train_pbr", root / "test")
    file = root / "train_real" / f"{SCENE:06d}" / "scene_gt.json"
    truth = json.loads(file.read_text())
    for number, entries in enumerate(truth.values()):
        # another object before the cube, and in every other image no cube at all
        entries.insert(0, {**entries[0], "obj_id": 9})
        del entries[1 + number % 2 :]
    file.write_text(json.dumps(truth))
    opened = bop_poses(root, str(OBJECT))
    assert isinstance(opened, PhotographedPoses)
    places = [p.path.parts[-4] for p in (*opened.train, *opened.held_out)]
    assert places.count("train_pbr") == IMAGES
    assert places.count("train_real") == IMAGES // 2
    assert "test" not in places
    masks = {p.mask.name[-10:] for p in opened.train if "train_real" in p.path.parts if p.mask}
    assert masks == {"000001.png"}


def test_a_dataset_without_training_images_gives_renders_and_says_so(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_cube_dataset(tmp_path / "cubes", images=2)
    opened = bop_poses(root, f"cube={OBJECT}", cache)
    assert isinstance(opened, RenderedPoses)
    assert (opened.model.name, opened.cache) == ("cube", cache)
    assert "no training images show object 3; renders" in capsys.readouterr().err


def test_an_object_file_brings_its_own_keypoints(dataset: Path, tmp_path: Path) -> None:
    BopDataset(dataset).create_object(OBJECT, tmp_path, name="mine")
    file = tmp_path / "mine.yaml"
    entries = yaml.safe_load(file.read_text())
    entries["keypoints"] = entries["keypoints"][:5]
    entries["parts"] = {"all": [0, 1, 2, 3, 4]}
    file.write_text(yaml.safe_dump(entries))
    opened = bop_poses(dataset, f"{file}={OBJECT}")
    assert opened.model.name == "mine"
    assert len(opened.model.keypoints) == 5
    del entries["diameter"]
    file.write_text(yaml.safe_dump({**entries, "scale": 2.0}))
    with pytest.raises(DatasetError, match="they are not the same object"):
        bop_poses(dataset, f"{file}={OBJECT}")


def test_what_is_missing_is_named(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist; unpack a dataset"):
        bop_poses(tmp_path / "nowhere", "3")
    for which in ("spot", "7", "can=7", "can="):
        with pytest.raises(DatasetError, match=rf"--object {which}: .*it has 3.*--object can=3"):
            bop_poses(dataset, which)
    few = write_cube_dataset(tmp_path / "few", images=2, split="train")
    with pytest.raises(DatasetError, match="in 2 photographs to train on and in 0 that are held"):
        bop_poses(few, "3")
    next((few / "train").glob("*/rgb/*")).unlink()
    with pytest.raises(DatasetError, match=r"no image 0000\d\d in rgb/ or gray/; unpack"):
        bop_poses(few, "3")
    next((few / "train").glob("*/scene_gt.json")).unlink()
    with pytest.raises(DatasetError, match=r"scene_gt\.json does not exist"):
        bop_poses(few, "3")
