# SPDX-License-Identifier: Apache-2.0
"""BOP folders: the real LM-O, a small one made here, and damaged ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import exp_so3, make_transform, transform
from offline_search.data.bop import BopDataset
from offline_search.data.bop_image import BopTarget
from offline_search.data.bop_results import BopResult, read_results, write_results

_CAMERA = {"cam_K": [600.0, 0, 31.5, 0, 600.0, 23.5, 0, 0, 1], "depth_scale": 1.0}
_POSE = {"cam_R_m2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_m2c": [10.0, -20.0, 700.0], "obj_id": 2}
_TETRAHEDRON = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
element face 4
property list uchar int vertex_indices
end_header
0 0 0 255 0 0
60 0 0 0 255 0
0 80 0 0 0 255
0 0 50 9 9 9
3 0 2 1
3 0 1 3
3 0 3 2
3 1 2 3
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of one object and one image, 64 x 48."""
    root = tmp_path / "tiny"
    scene = root / "test" / "000007"
    (scene / "rgb").mkdir(parents=True)
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[..., 2] = 200  # red, in OpenCV's order
    cv2.imwrite(str(scene / "rgb" / "000004.png"), pixels)
    _write(scene / "scene_camera.json", {"4": _CAMERA})
    _write(scene / "scene_gt.json", {"4": [_POSE]})
    _write(scene / "scene_gt_info.json", {"4": [{"visib_fract": 0.25}]})
    _write(
        root / "test_targets_bop19.json",
        [{"im_id": 4, "inst_count": 1, "obj_id": 2, "scene_id": 7}],
    )
    for folder in ("models", "models_eval"):
        (root / folder).mkdir()
        (root / folder / "obj_000002.ply").write_text(_TETRAHEDRON)
        _write(
            root / folder / "models_info.json",
            {
                "2": {
                    "diameter": 100.0,
                    "symmetries_discrete": [[-1, 0, 0, 4, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]],
                    "symmetries_continuous": [{"axis": [0, 0, 1], "offset": [2, 0, 0]}],
                }
            },
        )
    return root


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def _edit(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    _write(path, value)


def test_an_image_comes_with_its_camera_and_poses_in_metres(dataset: Path) -> None:
    opened = BopDataset(dataset)
    assert opened.scene_ids() == (7,)
    (image,) = opened.scene(7)
    assert (image.scene_id, image.image_id) == (7, 4)
    assert (image.camera.width, image.camera.height) == (64, 48)
    np.testing.assert_array_equal(image.camera.K, [[600, 0, 31.5], [0, 600, 23.5], [0, 0, 1]])
    np.testing.assert_array_equal(image.read()[0, 0], [200, 0, 0])
    (instance,) = image.instances
    assert (instance.obj_id, instance.visible_fraction) == (2, 0.25)
    np.testing.assert_allclose(instance.T_camera_object[:3, 3], [0.01, -0.02, 0.7])


def test_depth_is_in_metres_by_the_images_scale(dataset: Path) -> None:
    scene = dataset / "test" / "000007"
    assert BopDataset(dataset).scene(7).image(4).read_depth() is None
    (scene / "depth").mkdir()
    steps = np.zeros((48, 64), np.uint16)
    steps[3, 5] = 7000
    cv2.imwrite(str(scene / "depth" / "000004.png"), steps)
    _edit(scene / "scene_camera.json", lambda d: d["4"].update(depth_scale=0.1))
    depth = BopDataset(dataset).scene(7).image(4).read_depth()
    assert depth is not None
    assert depth[3, 5] == pytest.approx(0.7)
    assert np.count_nonzero(depth) == 1
    cv2.imwrite(str(scene / "depth" / "000004.png"), steps[:40])
    with pytest.raises(DatasetError, match=r"depth/000004\.png: is no depth image of 64x48"):
        BopDataset(dataset).scene(7).image(4).read_depth()


def test_a_dataset_that_tells_no_visibility_is_taken_at_its_word(dataset: Path) -> None:
    (dataset / "test" / "000007" / "scene_gt_info.json").unlink()
    image = BopDataset(dataset).scene(7).image(4)
    assert np.isnan(image.instances[0].visible_fraction)
    assert len(image.most_visible(2, 5)) == 1
    assert image.most_visible(3, 5) == ()


def test_targets_are_those_of_the_file(dataset: Path) -> None:
    assert BopDataset(dataset).targets() == (BopTarget(7, 4, 2, 1),)


def test_an_evaluation_model_and_its_symmetries_are_in_metres(dataset: Path) -> None:
    model = BopDataset(dataset).model(2)
    assert model.diameter == pytest.approx(0.1)
    np.testing.assert_allclose(model.points[1], [0.06, 0, 0])
    assert model.symmetries.discrete[0][0, 3] == pytest.approx(0.004)
    np.testing.assert_allclose(model.symmetries.continuous[0][1], [0.002, 0, 0])


def test_an_object_file_made_of_a_model_keeps_colours_and_symmetries(
    dataset: Path, tmp_path: Path
) -> None:
    made = BopDataset(dataset).create_object(2, tmp_path / "objects", name="wedge")
    assert (tmp_path / "objects" / "wedge.yaml").is_file()
    assert made.model.name == "wedge"
    assert made.model.diameter == pytest.approx(0.1)
    assert made.mesh.vertex_colors is not None
    np.testing.assert_array_equal(made.mesh.vertex_colors[1], [0, 255, 0])
    assert made.model.symmetries.discrete[0][0, 3] == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("scene_gt.json", lambda d: d["4"][0].pop("cam_t_m2c"), "4: lacks the key cam_t_m2c"),
        (
            "scene_gt.json",
            lambda d: d["4"][0].update(cam_R_m2c=[2] * 9),
            "cam_R_m2c is no rotation",
        ),
        ("scene_gt.json", lambda d: d["4"][0].update(cam_t_m2c=[1, 2]), "finite numbers"),
        ("scene_gt.json", lambda d: d.update(x=1), "not a table by image number"),
        ("scene_gt_info.json", lambda d: d["4"].append({}), "image 4 has 2 entries where"),
        ("scene_camera.json", lambda d: d.pop("4"), "scene_camera.json: image 4 is missing"),
        ("scene_camera.json", lambda d: d["4"].pop("cam_K"), "lacks the key cam_K"),
    ],
)
def test_a_damaged_annotation_is_refused_naming_file_and_key(
    dataset: Path, file: str, change: Callable[[Any], None], message: str
) -> None:
    path = dataset / "test" / "000007" / file
    _edit(path, change)
    with pytest.raises(DatasetError, match=message) as raised:
        list(BopDataset(dataset).scene(7))
    assert file in str(raised.value)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("test", "test does not exist; unpack the dataset's test images"),
        ("test/000007/scene_gt.json", "scene_gt.json does not exist; unpack"),
        ("test/000007/rgb", "no image 000004 in rgb/ or gray/"),
        ("test_targets_bop19.json", "test_targets_bop19.json does not exist"),
    ],
)
def test_a_missing_file_is_refused_naming_it(dataset: Path, missing: str, message: str) -> None:
    path = dataset / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DatasetError, match=message):
        _read_everything(dataset)


def _read_everything(dataset: Path) -> None:
    opened = BopDataset(dataset)
    opened.targets()
    for scene_id in opened.scene_ids():
        list(opened.scene(scene_id))


def test_a_folder_that_is_no_dataset_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="unpack a dataset of https://bop"):
        BopDataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no folder models_eval or models"):
        BopDataset(tmp_path).model(1)


def test_an_object_the_dataset_lacks_is_refused_naming_it(dataset: Path) -> None:
    with pytest.raises(DatasetError, match=r"models_info.json: lacks the key 9"):
        BopDataset(dataset).model(9)


def test_lmo_has_its_images_targets_and_models(pose_data: Path) -> None:
    lmo = BopDataset(pose_data / "lmo")
    targets = lmo.targets()
    assert len(targets) == 717
    assert sum(target.obj_id in (5, 8) for target in targets) == 199
    scene = lmo.scene(2)
    assert len(scene.image_ids) == 100
    annotated = {(i, x.obj_id) for i in scene.image_ids for x in scene.image(i).instances}
    assert all((target.image_id, target.obj_id) in annotated for target in targets)
    assert len(lmo.model(10).symmetries.discrete) == 1


def test_lmo_models_project_onto_the_annotated_boxes(pose_data: Path) -> None:
    lmo = BopDataset(pose_data / "lmo")
    scene = lmo.scene(2)
    info = json.loads((scene.folder / "scene_gt_info.json").read_text())
    models = {obj_id: lmo.model(obj_id) for obj_id in (5, 8)}
    for image_id in scene.image_ids[::10]:
        image = scene.image(image_id)
        for index, instance in enumerate(image.instances):
            if instance.obj_id not in models:
                continue
            points = transform(instance.T_camera_object, models[instance.obj_id].points)
            pixels = image.camera.project(points)
            x, y, width, height = info[str(image_id)][index]["bbox_obj"]
            if min(x, y) <= 0 or x + width >= 639 or y + height >= 479:
                continue  # BOP's boxes may be cut at the border
            drawn = [*pixels.min(axis=0), *pixels.max(axis=0)]
            np.testing.assert_allclose(drawn, [x, y, x + width, y + height], atol=2.5)


def test_results_come_back_from_the_csv_as_they_were(tmp_path: Path) -> None:
    pose = make_transform(exp_so3([0.1, -2.0, 0.7]), [0.0123456789, -0.2, 1.7])
    path = tmp_path / "out" / "method_lmo-test.csv"
    write_results(path, [BopResult(2, 17, 5, 0.875, pose, 0.0042)])
    lines = path.read_text().splitlines()
    assert lines[0] == "scene_id,im_id,obj_id,score,R,t,time"
    R, t = lines[1].split(",")[4:6]
    np.testing.assert_allclose([float(x) for x in R.split()], pose[:3, :3].ravel())
    np.testing.assert_allclose([float(x) for x in t.split()], pose[:3, 3] * 1e3)
    (result,) = read_results(path)
    assert (result.scene_id, result.image_id, result.obj_id) == (2, 17, 5)
    assert (result.score, result.seconds) == (0.875, 0.0042)
    np.testing.assert_allclose(result.T_camera_object, pose, atol=1e-15)


def test_results_that_are_malformed_are_refused_naming_the_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n")
    with pytest.raises(DatasetError, match="first line is not scene_id"):
        read_results(path)
    path.write_text("scene_id,im_id,obj_id,score,R,t,time\n2,3,5,0.5,1 0 0,1 2 3,0.1\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_results(path)
