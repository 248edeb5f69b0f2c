# SPDX-License-Identifier: Apache-2.0
"""Samples of the spacecraft Tango from SPEED and SPEED+, and the images to judge on.

    SPEED:   PATH/train.json  PATH/images/train/*.jpg  (PATH/camera.json)
    SPEED+:  PATH/synthetic/{train.json,validation.json}  PATH/synthetic/images/*.jpg
             PATH/{lightbox,sunlamp}/test.json  PATH/{lightbox,sunlamp}/images/*.jpg
             PATH/camera.json

Neither comes with a model of Tango. Either its keypoints lie in the folder, as tangoPoints.mat (of
the datasets' authors, github.com/tpark94/speedplusbaseline, src/utils) or as keypoints.json,
{"keypoints_m": [[x, y, z], ...]}; its mesh is then their convex hull, and so is the silhouette that
networks with a mask are taught. Or an object file says what Tango is. Networks see no image
but those of the synthetic training and validation sets.
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
from offline_search.data.photographed_poses import PhotographedPoses, is_held_out
from offline_search.data.photographs import Photograph
from offline_search.data.speed import SPEED_SITE, read_camera, read_keypoints, read_labels

#: Of SPEED as published: 17.6 mm before pixels of 5.86 um. It comes without a camera file.
SPEED_CAMERA: Final = Camera(
    1920, 1200, np.array([[0.0176 / 5.86e-6, 0, 960], [0, 0.0176 / 5.86e-6, 600], [0, 0, 1]])
)
#: SPEED+'s domains; SPEED has the first alone.
DOMAINS: Final = ("synthetic", "lightbox", "sunlamp")
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
        raise DatasetError(f"{root} does not exist; unpack {SPEED_SITE} there")
    labels, images, camera = _synthetic(root)
    thing = load_object(which) if which.endswith((".yaml", ".yml")) else _tango(root, which)
    train = _photographs(labels / "train.json", images, camera)
    validation = labels / "validation.json"
    if validation.is_file():
        held_out = _photographs(validation, images, camera)
        return PhotographedPoses(thing, tuple(train.values()), tuple(held_out.values()))
    return PhotographedPoses.split(thing, train.items())


def speed_images(root: Path, domain: str = "synthetic") -> dict[str, Photograph]:
    """The images to judge on, by their files' names.

    Of SPEED those that are held out from training, as its own test set's poses were never
    published; of SPEED+ the validation set of `synthetic`, or all of `lightbox` or `sunlamp`.

    Args:
        root: The dataset's folder.
        domain: One of `DOMAINS`.

    Raises:
        DatasetError: The folder lacks a file, or one is malformed.
        CameraError: The camera file is malformed.
    """
    if domain not in DOMAINS:
        raise DatasetError(f"--split {domain}: SPEED+ has {', '.join(DOMAINS)}")
    if not root.is_dir():
        raise DatasetError(f"{root} does not exist; unpack {SPEED_SITE} there")
    if domain != "synthetic":
        place = root / domain
        if not place.is_dir():
            raise DatasetError(f"{place} does not exist; unpack SPEED+'s {domain} ({SPEED_SITE})")
        camera = read_camera(root / "camera.json")
        return _photographs(place / "test.json", _folder(place / "images"), camera)
    labels, images, camera = _synthetic(root)
    validation = labels / "validation.json"
    if validation.is_file():
        return _photographs(validation, images, camera)
    shown = _photographs(labels / "train.json", images, camera)
    held_out = {name: photograph for name, photograph in shown.items() if is_held_out(name)}
    if not held_out:
        raise DatasetError(
            f"{labels}: none of its {len(shown)} images is held out from training (one in ten is), "
            f"and there is no validation.json; unpack all of {SPEED_SITE}"
        )
    return held_out


def _synthetic(root: Path) -> tuple[Path, Path, Camera]:
    """Returns the folders of labels and images, and the camera, of the synthetic images."""
    plus = root / "synthetic"
    if plus.is_dir():
        return plus, _folder(plus / "images"), read_camera(root / "camera.json")
    if (root / "train.json").is_file():
        return root, _folder(root / "images" / "train"), _speed_camera(root)
    raise DatasetError(
        f"{root} holds neither train.json (SPEED) nor synthetic/ (SPEED+); give the folder that "
        f"{SPEED_SITE} was unpacked to"
    )


def _folder(images: Path) -> Path:
    if not images.is_dir():
        raise DatasetError(f"{images} does not exist; unpack the images of {SPEED_SITE}, too")
    return images


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
