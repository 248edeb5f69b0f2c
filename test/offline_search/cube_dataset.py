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
from numpy.typing import NDArray

from fpg_pose_ros.bundle import MESHES, pack_meshes, write_bundle
from fpg_pose_ros.geometry import Camera, exp_so3, make_transform, transform

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


def write_cube_dataset(root: Path, images: int, hidden: int = 0, split: str = "test") -> Path:
    """Write `images` pictures of the cube and `hidden` pictures that should show it and do not.

    Each comes with the mask of the cube's silhouette, as BOP's training images do.
    """
    camera = Camera(640, 480, K)
    scene = root / split / f"{SCENE:06d}"
    for folder in ("rgb", "mask"):
        (scene / folder).mkdir(parents=True)
    rng = np.random.default_rng(3)
    cameras, truths, targets = {}, {}, []
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
        cameras[image_id] = {"cam_K": K.ravel().tolist(), "depth_scale": 1.0}
        truth = {"cam_R_m2c": T[:3, :3].ravel().tolist(), "cam_t_m2c": (T[:3, 3] * 1e3).tolist()}
        truths[image_id] = [{**truth, "obj_id": OBJECT}]
        targets.append({"scene_id": SCENE, "im_id": image_id, "obj_id": OBJECT, "inst_count": 1})
    for name, value in (("scene_camera", cameras), ("scene_gt", truths)):
        (scene / f"{name}.json").write_text(json.dumps(value))
    (root / "test_targets_bop19.json").write_text(json.dumps(targets))
    _write_model(root / "models_eval", cube_world.cube_model())
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
