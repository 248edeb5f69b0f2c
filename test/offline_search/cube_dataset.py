# SPDX-License-Identifier: Apache-2.0
"""A BOP dataset of pictures of the cube that the hand-made bundle finds, as object 3."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from fpg_pose_ros.bundle import MESHES, pack_meshes, write_bundle
from fpg_pose_ros.geometry import Camera, exp_so3, make_transform, quaternion_wxyz, transform
from offline_search.data.depth import depth_of
from offline_search.data.meshes import TexturedMesh
from offline_search.data.renderer import EmbreeRenderer

# The hand-made bundle lives with the estimator's tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "fpg_pose_ros"))
import cube_world

K = np.array([[600.0, 0.0, 322.3], [0.0, 604.0, 238.6], [0.0, 0.0, 1.0]])
SCENE, OBJECT = 1, 3


def write_cube_bundle(place: Path, name: str = "cube") -> Path:
    """Write the bundle, with its object called `name`."""
    manifest, files = cube_world.cube_manifest(), cube_world.cube_files()
    manifest["objects"][0]["model"]["name"] = name
    files[MESHES] = pack_meshes([replace(cube_world.cube_model(), name=name)])
    write_bundle(place, manifest, files)
    return place


def write_cube_dataset(
    root: Path, images: int, hidden: int = 0, split: str = "test", *, depth: bool = False
) -> Path:
    """Write `images` pictures of the cube and `hidden` pictures that should show it and do not.

    Each comes with the mask of the cube's silhouette, as BOP's training images do, and, where asked
    for, with its depth image in steps of 0.1 mm.
    """
    camera = Camera(640, 480, K)
    scene = root / split / f"{SCENE:06d}"
    for folder in ("rgb", "mask"):
        (scene / folder).mkdir(parents=True)
    rng = np.random.default_rng(3)
    cameras, truths, targets = {}, {}, []
    cube, renderer = cube_world.cube_model().mesh, EmbreeRenderer()
    mesh = TexturedMesh(cube.vertices, cube.faces)
    for number in range(images + hidden):
        # Numbers with gaps, as BOP's subsets have them.
        image_id = 5 + 7 * number
        place = rng.uniform([-0.14, -0.08, 0.72], [0.14, 0.08, 0.95])
        T = make_transform(exp_so3(rng.normal(size=3) * 1.2), place)
        picture = np.full((480, 640, 3), cube_world.BACKGROUND, np.uint8)
        if number < images:
            picture = cube_world.photograph(camera, T)
        cv2.imwrite(str(scene / "rgb" / f"{image_id:06d}.png"), picture[..., ::-1])
        cv2.imwrite(str(scene / "mask" / f"{image_id:06d}_000000.png"), _silhouette(camera, T))
        if depth:
            (scene / "depth").mkdir(exist_ok=True)
            steps = np.round(depth_of(renderer, mesh, T, camera) * 1e4).astype(np.uint16)
            cv2.imwrite(str(scene / "depth" / f"{image_id:06d}.png"), steps)
        cameras[image_id] = {"cam_K": K.ravel().tolist(), "depth_scale": 0.1}
        truth = {"cam_R_m2c": T[:3, :3].ravel().tolist(), "cam_t_m2c": (T[:3, 3] * 1e3).tolist()}
        truths[image_id] = [{**truth, "obj_id": OBJECT}]
        targets.append({"scene_id": SCENE, "im_id": image_id, "obj_id": OBJECT, "inst_count": 1})
    for name, value in (("scene_camera", cameras), ("scene_gt", truths)):
        (scene / f"{name}.json").write_text(json.dumps(value))
    (root / "test_targets_bop19.json").write_text(json.dumps(targets))
    _write_model(root / "models_eval", cube_world.cube_model())
    return root


def write_cube_speedplus(root: Path, domain: str, images: int, hidden: int = 0) -> Path:
    """Write one domain of SPEED+, with the cube for its spacecraft."""
    camera = Camera(640, 480, K)
    (root / domain / "images").mkdir(parents=True)
    rng, labels = np.random.default_rng(4), []
    for number in range(images + hidden):
        T = make_transform(exp_so3(rng.normal(size=3)), rng.uniform([-0.1, 0, 0.7], [0.1, 0, 0.9]))
        shown = [T] if number < images else []
        name = f"img{number:06d}.jpg"
        picture = cube_world.photograph(camera, *shown)[..., ::-1]
        cv2.imwrite(str(root / domain / "images" / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 100])
        pose = {"q_vbs2tango_true": quaternion_wxyz(T[:3, :3]).tolist()}
        labels.append({"filename": name, **pose, "r_Vo2To_vbs_true": T[:3, 3].tolist()})
    file = "validation.json" if domain == "synthetic" else "test.json"
    (root / domain / file).write_text(json.dumps(labels))
    described = {"Nu": 640, "Nv": 480, "cameraMatrix": K.tolist(), "distCoeffs": [0.0] * 5}
    (root / "camera.json").write_text(json.dumps(described))
    return root


def write_cube_linemod(root: Path, dataset: Path, test: int) -> Path:
    """Write the first images of a dataset of `write_cube_dataset` as Linemod_preprocessed.

    The first `test` are to test on, as many more to train on.
    """
    scene = dataset / "test" / f"{SCENE:06d}"
    place = root / "data" / f"{OBJECT:02d}"
    cameras = json.loads((scene / "scene_camera.json").read_text())
    truths = json.loads((scene / "scene_gt.json").read_text())
    numbers = [int(number) for number in cameras][: 2 * test]
    for kind, suffix in (("rgb", ""), ("depth", ""), ("mask", "_000000")):
        (place / kind).mkdir(parents=True)
        for number in numbers:
            source = scene / kind / f"{number:06d}{suffix}.png"
            (place / kind / f"{number:04d}.png").write_bytes(source.read_bytes())
    for name, table in (("info", cameras), ("gt", truths)):
        by_number = {number: table[str(number)] for number in numbers}
        (place / f"{name}.yml").write_text(yaml.safe_dump(by_number))
    for name, listed in (("test", numbers[:test]), ("train", numbers[test:])):
        (place / f"{name}.txt").write_text("".join(f"{number:04d}\n" for number in listed))
    (root / "models").mkdir()
    mesh = (dataset / "models_eval" / f"obj_{OBJECT:06d}.ply").read_bytes()
    (root / "models" / f"obj_{OBJECT:02d}.ply").write_bytes(mesh)
    info = json.loads((dataset / "models_eval" / "models_info.json").read_text())
    described = {int(number): entry for number, entry in info.items()}
    (root / "models" / "models_info.yml").write_text(yaml.safe_dump(described))
    return root


def _silhouette(camera: Camera, T_camera_object: NDArray[np.float64]) -> NDArray[np.uint8]:
    corners = camera.project(transform(T_camera_object, cube_world.cube_model().keypoints))
    mask = np.zeros((camera.height, camera.width), np.uint8)
    outline = cv2.convexHull(np.round(corners * 16).astype(np.int32))
    return cv2.fillConvexPoly(mask, outline, 255, shift=4)


def _write_model(folder: Path, model: Any) -> None:
    folder.mkdir()
    mesh = model.mesh
    lines = ["ply", "format ascii 1.0", f"element vertex {len(mesh.vertices)}"]
    lines += [f"property float {axis}" for axis in "xyz"]
    lines += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices"]
    lines += ["end_header"]
    lines += [" ".join(f"{1e3 * value:.6f}" for value in vertex) for vertex in mesh.vertices]
    lines += ["3 " + " ".join(map(str, face)) for face in mesh.faces]
    (folder / f"obj_{OBJECT:06d}.ply").write_text("\n".join(lines) + "\n")
    info = {str(OBJECT): {"diameter": 1e3 * model.diameter}}
    (folder / "models_info.json").write_text(json.dumps(info))
