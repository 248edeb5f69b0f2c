# SPDX-License-Identifier: Apache-2.0
"""Pose estimates in the CSV form that the BOP benchmark takes.

One row an estimate, `scene_id,im_id,obj_id,score,R,t,time`: R row by row, t in millimetres, time
the seconds spent on the whole image, or -1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, make_transform

HEADER = ("scene_id", "im_id", "obj_id", "score", "R", "t", "time")


@dataclass(frozen=True, eq=False)
class BopResult:
    """One estimate.

    Attributes:
        scene_id: number of the scene.
        image_id: number of the image.
        obj_id: number of the object.
        score: confidence; larger is surer.
        T_camera_object: (4, 4) estimated pose, metres.
        seconds: spent on the whole image, the same for all estimates of it; -1 if unknown.
    """

    scene_id: int
    image_id: int
    obj_id: int
    score: float
    T_camera_object: Array
    seconds: float = -1.0


def write_results(path: Path, results: Iterable[BopResult]) -> None:
    """Write estimates so that reading them gives back the same numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for result in results:
            T = result.T_camera_object
            ids = (result.scene_id, result.image_id, result.obj_id)
            R, t = _words(T[:3, :3]), _words(T[:3, 3] * 1e3)
            writer.writerow((*ids, repr(float(result.score)), R, t, repr(float(result.seconds))))


def read_results(path: Path) -> tuple[BopResult, ...]:
    """Read estimates.

    Raises:
        DatasetError: the file is missing or a row is not of the form; the message names the row.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from None
    if not rows or tuple(rows[0]) != HEADER:
        raise DatasetError(f"{path}: its first line is not {','.join(HEADER)}")
    return tuple(_parse(path, number, row) for number, row in enumerate(rows[1:], start=2) if row)


def _parse(path: Path, number: int, row: list[str]) -> BopResult:
    try:
        scene_id, image_id, obj_id, score, R, t, seconds = row
        rotation = np.array(R.split(), dtype=np.float64).reshape(3, 3)
        translation = np.array(t.split(), dtype=np.float64).reshape(3) / 1e3
        T = make_transform(rotation, translation)
        ids = int(scene_id), int(image_id), int(obj_id)
        return BopResult(*ids, float(score), T, float(seconds))
    except ValueError as error:
        raise DatasetError(f"{path}: line {number} is not {','.join(HEADER)} ({error})") from None


def _words(values: Array) -> str:
    return " ".join(repr(float(value)) for value in values.ravel())
