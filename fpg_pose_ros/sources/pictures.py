# SPDX-License-Identifier: Apache-2.0
"""Frames from image files, folders of them, videos, and scenes in BOP's format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import CameraError, DatasetError
from fpg_pose_ros.geometry import Array, Camera, make_transform
from fpg_pose_ros.sources.calibration import CAMERA_FILES, read_camera
from fpg_pose_ros.sources.frame import Frame

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES: Final = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")
BOP_CAMERAS: Final = "scene_camera.json"
#: Frames without times of their own are taken to come at this rate.
DEFAULT_FPS: Final = 30.0


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads an image file as RGB (H, W, 3) uint8.

    Raises:
        DatasetError: it is missing or no image.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such image")
    # The orientation tag is ignored: a calibration describes the pixels as they are stored.
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None:
        raise DatasetError(f"{path} cannot be decoded; is it an image, and whole?")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def image_frames(path: Path, camera: Camera | None) -> Iterator[Frame]:
    """Yields the one frame of an image file; its calibration may lie beside it."""
    yield _frame(path, camera or folder_camera(path.parent), 0)


def folder_frames(folder: Path, camera: Camera | None) -> Iterator[Frame]:
    """Yields the images of a folder in the order of the numbers in their names."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if not paths:
        known = ", ".join(IMAGE_SUFFIXES)
        raise DatasetError(f"{folder} holds no images ({known}) and no {BOP_CAMERAS}")
    camera = camera or folder_camera(folder)
    for index, path in enumerate(sorted(paths, key=natural_order)):
        yield _frame(path, camera, index)


def video_frames(path: Path, camera: Camera | None) -> Iterator[Frame]:
    """Yields the frames of a video file; its calibration may lie beside it."""
    camera = camera or folder_camera(path.parent)
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise DatasetError(f"{path} cannot be opened as a video; convert it to MP4 (H.264)")
        rate = capture.get(cv2.CAP_PROP_FPS)
        period = 1e9 / (rate if np.isfinite(rate) and rate > 0 else DEFAULT_FPS)
        index = 0
        while True:
            found, bgr = capture.read()
            if not found:
                break
            image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            name = f"{path.stem}_{index:06d}"
            _check_size(name, image, camera)
            yield Frame(image, camera, round(index * period), name=name)
            index += 1
        if index == 0:
            raise DatasetError(f"{path} holds no frame that can be decoded; is the file whole?")
    finally:
        capture.release()


def bop_frames(scene: Path, names: Mapping[int, str] | None = None) -> Iterator[Frame]:
    """Yields the images of a BOP scene folder with cameras and true poses (mm become m).

    Args:
        scene: holds scene_camera.json, rgb/ or gray/, and scene_gt.json where poses are known.
        names: object names by BOP's number; `obj_000001` and so on where not given. A further
            instance of an object is called `<name>#1`, `<name>#2`, ...
    """
    cameras = _json(scene / BOP_CAMERAS)
    truths = _json(scene / "scene_gt.json") if (scene / "scene_gt.json").is_file() else {}
    for index, key in enumerate(sorted(cameras, key=int)):
        path = _bop_image(scene, int(key))
        image = read_image(path)
        try:
            K = np.asarray(cameras[key]["cam_K"], dtype=np.float64).reshape(3, 3)
            truth = _bop_truth(truths.get(key, ()), names or {})
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{scene}: image {key} has a malformed entry ({error})") from None
        camera = Camera(image.shape[1], image.shape[0], K)
        stamp = round(index * 1e9 / DEFAULT_FPS)
        yield Frame(image, camera, stamp, truth, f"{scene.name}_{int(key):06d}")


def folder_camera(folder: Path) -> Camera | None:
    """Returns the calibration that lies in a folder, or None."""
    for name in CAMERA_FILES:
        if (folder / name).is_file():
            return read_camera(folder / name)
    return None


def natural_order(path: Path) -> tuple[tuple[int, int | str], ...]:
    """A sort key with which frame_10 comes after frame_9."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts if part)


def _frame(path: Path, camera: Camera | None, index: int) -> Frame:
    image = read_image(path)
    _check_size(str(path), image, camera)
    return Frame(image, camera, round(index * 1e9 / DEFAULT_FPS), name=path.stem)


def _check_size(name: str, image: NDArray[np.uint8], camera: Camera | None) -> None:
    if camera is not None and image.shape[:2] != (camera.height, camera.width):
        raise CameraError(
            f"{name} is {image.shape[1]} x {image.shape[0]} px, its calibration is for "
            f"{camera.width} x {camera.height}; calibrate at this size"
        )


def _bop_image(scene: Path, number: int) -> Path:
    for folder in ("rgb", "gray"):
        for suffix in IMAGE_SUFFIXES:
            path = scene / folder / f"{number:06d}{suffix}"
            if path.is_file():
                return path
    raise DatasetError(f"{scene}: image {number:06d} is in neither rgb/ nor gray/")


def _bop_truth(entries: Any, names: Mapping[int, str]) -> dict[str, Array]:
    truth: dict[str, Array] = {}
    for entry in entries:
        number = int(entry["obj_id"])
        rotation = np.asarray(entry["cam_R_m2c"], dtype=np.float64).reshape(3, 3)
        translation = np.asarray(entry["cam_t_m2c"], dtype=np.float64) * 1e-3
        name = key = names.get(number, f"obj_{number:06d}")
        count = 0
        while key in truth:
            count += 1
            key = f"{name}#{count}"
        truth[key] = make_transform(rotation, translation)
    return truth


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no JSON ({error})") from None
    if not isinstance(data, dict) or not all(str(key).isdigit() for key in data):
        raise DatasetError(f"{path} is not in BOP's format: image numbers must be its keys")
    return data
