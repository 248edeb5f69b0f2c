# SPDX-License-Identifier: Apache-2.0
"""Camera calibrations from files, in the forms that are about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import yaml

from fpg_pose_ros.errors import CameraError
from fpg_pose_ros.geometry import Camera, CameraModel

#: Names under which a folder of images keeps its calibration.
CAMERA_FILES: Final = ("camera.json", "camera.yaml", "camera.yml", "camera_info.yaml")
_MAX_BYTES: Final = 2**20


def read_camera(path: str | Path) -> Camera:
    """Reads a camera from a JSON or YAML file.

    Three forms are known: this project's (`width`, `height`, `K` as 3x3 or 9 numbers, `model`,
    `distortion`), BOP's camera.json (`width`, `height`, `fx`, `fy`, `cx`, `cy`), and the one that
    ROS's camera_calibration writes (`image_width`, `camera_matrix: {data}`, ...).

    Raises:
        CameraError: the file is missing or a field is not usable; the message names both.
    """
    place = Path(path)
    try:
        if place.stat().st_size > _MAX_BYTES:
            raise CameraError(f"{place} is too large for a camera calibration")
        data = yaml.safe_load(place.read_text(encoding="utf-8"))  # JSON is YAML, too
    except OSError as error:
        raise CameraError(f"{place}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError):
        raise CameraError(f"{place} is neither JSON nor YAML") from None
    if not isinstance(data, Mapping):
        raise CameraError(f"{place} is no camera calibration; width, height and K are needed")
    try:
        return camera_from_mapping(data)
    except CameraError as error:
        raise CameraError(f"{place}: {error}") from None


def camera_to_mapping(camera: Camera) -> dict[str, Any]:
    """Returns plain values for JSON or YAML, in this project's form."""
    return {
        "width": camera.width,
        "height": camera.height,
        "K": camera.K.tolist(),
        "model": camera.model,
        "distortion": camera.distortion.tolist(),
    }


def camera_from_mapping(data: Mapping[str, Any]) -> Camera:
    """Reads any of the forms of `read_camera` from what JSON or YAML gave.

    Raises:
        CameraError: a field is missing or not usable; the message names it.
    """
    if "camera_matrix" in data:
        data = {
            "width": data.get("image_width"),
            "height": data.get("image_height"),
            "K": _matrix_data(data, "camera_matrix"),
            "distortion": _matrix_data(data, "distortion_coefficients", ()),
            "model": data.get("distortion_model", "plumb_bob"),
        }
    elif "fx" in data:
        missing = [name for name in ("fy", "cx", "cy") if name not in data]
        if missing:
            raise CameraError(f"camera {missing[0]} is missing")
        matrix = [data["fx"], 0, data["cx"], 0, data["fy"], data["cy"], 0, 0, 1]
        data = {**data, "K": matrix}
    for name in ("width", "height", "K"):
        if data.get(name) is None:
            raise CameraError(f"camera {name} is missing")
    distortion = data.get("distortion", ())
    try:
        K = np.asarray(data["K"], dtype=np.float64)
        return Camera(
            width=data["width"],
            height=data["height"],
            K=K.reshape(3, 3) if K.size == 9 else K,
            distortion=np.asarray(distortion, dtype=np.float64),
            model=cast(
                CameraModel, data.get("model", "plumb_bob" if any(distortion) else "pinhole")
            ),
        )
    except (TypeError, ValueError) as error:
        raise CameraError(f"camera K or distortion is not made of numbers ({error})") from None


def _matrix_data(data: Mapping[str, Any], key: str, default: Any = None) -> Any:
    entry = data.get(key, default)
    return entry.get("data", default) if isinstance(entry, Mapping) else entry
