# SPDX-License-Identifier: Apache-2.0
"""Labels, cameras and keypoints of SPEED (2019) and SPEED+ (2021), spacecraft pose datasets.

Kisantal et al., arXiv 1911.02050; Park et al., arXiv 2110.03101. The files are in metres, their
quaternions scalar first, and a point X of the spacecraft is seen at R(q) X + t in the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.io import loadmat

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, Camera, make_transform, rotation_from_quaternion_wxyz
from offline_search.data.fields import numbers, read_json, value

#: Where the datasets are.
SPEED_SITE: Final = (
    "SPEED (https://zenodo.org/records/6327547) or SPEED+ (https://purl.stanford.edu/wv398fc4383)"
)


@dataclass(frozen=True, eq=False)
class SpeedLabel:
    """One image's name and pose.

    Attributes:
        filename: of the image, as in the label file.
        T_camera_object: (4, 4) the spacecraft in the camera's frame, metres.
    """

    filename: str
    T_camera_object: Array


def read_labels(path: Path) -> tuple[SpeedLabel, ...]:
    """Read a label file: SPEED's train.json, or SPEED+'s train/validation/test.json.

    Raises:
        DatasetError: the file is missing, is no such file, or an entry of it is not a pose.
    """
    entries = read_json(path, SPEED_SITE)
    if not isinstance(entries, list):
        raise DatasetError(f"{path}: not a list of labels; give SPEED's or SPEED+'s label file")
    return tuple(_label(path, index, entry) for index, entry in enumerate(entries))


def read_camera(path: Path) -> Camera:
    """Read the camera: SPEED+'s camera.json with its distortion, or a file with K, Nu and Nv.

    Raises:
        DatasetError: the file is missing or lacks a key.
        CameraError: a value in it is impossible.
    """
    data = read_json(path, SPEED_SITE)
    K = numbers(f"{path}: camera matrix", value(path, data, "cameraMatrix", "K"), (3, 3))
    distortion = numbers(f"{path}: distCoeffs", data.get("distCoeffs", []), (-1,))
    return Camera(
        width=int(value(path, data, "Nu")),
        height=int(value(path, data, "Nv")),
        K=K,
        distortion=distortion,
        model="plumb_bob" if distortion.size else "pinhole",
    )


def read_keypoints(path: Path, metres_per_unit: float = 1.0) -> Array:
    """Read the spacecraft's keypoints from a .mat or .json file.

    Args:
        path: SPEED+'s tangoPoints.mat (3, K), or a file of the array `pts` (K, 3) or
            `keypoints_m` (K, 3).
        metres_per_unit: unit of the file; SPEED's `pts` are published in sensor pixels of
            5.86e-6 m.

    Returns:
        (K, 3) points in the spacecraft's frame, metres.

    Raises:
        DatasetError: the file is missing or holds no such array.
    """
    if path.suffix == ".mat":
        try:
            data: Any = loadmat(path)
        except (OSError, ValueError, NotImplementedError) as error:
            raise DatasetError(f"{path}: cannot be read as a MATLAB file ({error})") from None
    else:
        data = read_json(path, SPEED_SITE)
    points = value(path, data, "tango3Dpoints", "pts", "keypoints_m")
    if "tango3Dpoints" in data:
        points = np.transpose(points)
    return numbers(f"{path}: keypoints", points, (-1, 3)) * metres_per_unit


def _label(path: Path, index: int, entry: Any) -> SpeedLabel:
    where = f"{path}: label {index}"
    quaternion = numbers(
        f"{where}: quaternion", value(where, entry, "q_vbs2tango_true", "q_vbs2tango"), (4,)
    )
    if abs(np.linalg.norm(quaternion) - 1) > 1e-3:
        raise DatasetError(f"{where}: its quaternion is not of length 1; the file is damaged")
    key = "r_Vo2To_vbs_true"
    translation = numbers(f"{where}: {key}", value(where, entry, key), (3,))
    T = make_transform(rotation_from_quaternion_wxyz(quaternion), translation)
    return SpeedLabel(str(value(where, entry, "filename")), T)
