# SPDX-License-Identifier: Apache-2.0
"""Samples of the spacecraft Tango from SPEED and SPEED+.

    SPEED:   PATH/train.json  PATH/images/train/*.jpg  (PATH/camera.json)
    SPEED+:  PATH/synthetic/{train.json,validation.json}  PATH/synthetic/images/*.jpg
             PATH/camera.json

Neither comes with a model of Tango. Either its keypoints lie in the folder, as tangoPoints.mat (of
the datasets' authors, github.com/tpark94/speedplusbaseline, src/utils) or as keypoints.json,
{"keypoints_m": [[x, y, z], ...]}; its mesh is then their convex hull, and so is the silhouette that
networks with a mask are taught. Or an object file says what Tango is. No image but those of the
training and validation sets is ever read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import trimesh

from fpg_pose_ros.errors import DatasetError, MeshError
from fpg_pose_ros.geometry import Array, Camera
from offline_search.data.create import cluster_parts
from offline_search.data.meshes import TexturedMesh
from offline_search.data.objects import RenderableObject, load_object, make_object
from offline_search.data.photographed_poses import PhotographedPoses
from offline_search.data.photographs import Photograph
from offline_search.data.speed import read_camera, read_keypoints, read_labels

#: Of SPEED as published: 17.6 mm before pixels of 5.86 um. It comes without a camera file.
SPEED_CAMERA: Final = Camera(
    1920, 1200, np.array([[0.0176 / 5.86e-6, 0, 960], [0, 0.0176 / 5.86e-6, 600], [0, 0, 1]])
)
KEYPOINT_FILES: Final = ("tangoPoints.mat", "keypoints.json")
_NAME: Final = "tango"
_PARTS: Final = 4
_FLAT: Final = 1e-3  # m


def speed_poses(root: Path, which: str) -> PhotographedPoses:
    """Opens SPEED or SPEED+.

    SPEED+'s own validation set, where it is there, is what is held out.

    Args:
        root: The dataset's folder.
        which: `tango`, made of the keypoints in the folder, or an object file.

    Raises:
        DatasetError: The folder lacks a file, or one is malformed.
        CameraError: The camera file is malformed.
        MeshError: The object file cannot be used, or the keypoints span no body.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} does not exist; unpack SPEED or SPEED+ there")
    plus = root / "synthetic"
    if plus.is_dir():
        labels, images, camera = plus, plus / "images", read_camera(root / "camera.json")
    elif (root / "train.json").is_file():
        labels, images, camera = root, root / "images" / "train", _speed_camera(root)
    else:
        raise DatasetError(
            f"{root} holds neither train.json (SPEED) nor synthetic/ (SPEED+); give the folder "
            "that the dataset was unpacked to"
        )
    if not images.is_dir():
        raise DatasetError(f"{images} does not exist; unpack the dataset's images, too")
    thing = load_object(which) if which.endswith((".yaml", ".yml")) else _tango(root, which)
    train = _photographs(labels / "train.json", images, camera)
    validation = labels / "validation.json"
    if validation.is_file():
        held_out = _photographs(validation, images, camera)
        return PhotographedPoses(thing, tuple(train.values()), tuple(held_out.values()))
    return PhotographedPoses.split(thing, train.items())


def tango(keypoints: Array, name: str = _NAME) -> RenderableObject:
    """Makes an object of keypoints (K, 3), m: its mesh is their convex hull.

    Raises:
        MeshError: They span no body.
    """
    if np.linalg.matrix_rank(keypoints - keypoints.mean(axis=0), tol=_FLAT) < 3:
        raise MeshError(f"the {len(keypoints)} keypoints of {name} span no body")
    hull = trimesh.convex.convex_hull(keypoints)
    mesh = TexturedMesh(np.asarray(hull.vertices), np.asarray(hull.faces, dtype=np.int32))
    return make_object(
        name=name, mesh=mesh, keypoints=keypoints, parts=cluster_parts(keypoints, _PARTS)
    )


def _tango(root: Path, which: str) -> RenderableObject:
    if which != _NAME:
        raise DatasetError(
            f"--object {which}: SPEED and SPEED+ show one spacecraft; give --object {_NAME}, or an "
            "object file of it"
        )
    files = [root / name for name in KEYPOINT_FILES if (root / name).is_file()]
    if not files:
        raise DatasetError(
            f"{root} holds no keypoints of {_NAME} ({' or '.join(KEYPOINT_FILES)}): copy "
            "tangoPoints.mat of github.com/tpark94/speedplusbaseline there, or give an object file "
            "as --object"
        )
    return tango(read_keypoints(files[0]))


def _speed_camera(root: Path) -> Camera:
    file = root / "camera.json"
    return read_camera(file) if file.is_file() else SPEED_CAMERA


def _photographs(labels: Path, images: Path, camera: Camera) -> dict[str, Photograph]:
    """Returns the photographs of a label file by their files' names."""
    return {
        label.filename: Photograph(
            path=images / label.filename,
            K=camera.K,
            T_camera_object=label.T_camera_object,
            camera=camera,
        )
        for label in read_labels(labels)
    }
