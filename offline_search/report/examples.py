# SPDX-License-Identifier: Apache-2.0
"""Held-out crops with the pose that a network gives them and the true one drawn in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from fpg_pose_ros.decode import DecodeParameters
from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import Array, Camera, apply_affine, make_transform
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.overlay import PALETTE, draw_axes, draw_outline, silhouette
from fpg_pose_ros.silhouette import Silhouette, refine_distance
from fpg_pose_ros.solve import PnPSolution
from offline_search.metrics.pose_error import add, adi, re
from offline_search.report.pictures import write_png
from offline_search.report.search_record import EXAMPLES_FILE, EXAMPLES_FOLDER
from offline_search.training.checkpoint import write_atomic
from offline_search.training.pose_task import PoseTask
from offline_search.training.pose_validation import (
    Prediction,
    distance_evidence,
    observe,
    solve,
)

_CROPS: Final = 96
_OF_EACH: Final = 3
_SHOWN_PX: Final = 384
_WHITE: Final = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class _Example:
    index: int
    prediction: Prediction
    T_camera_object: Array | None
    add_d: float
    """ADD (ADI when the object is symmetric) over the diameter; infinite without a pose."""


def write_examples(
    network: nn.Module,
    task: PoseTask,
    out: Path,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes OUT/examples/*.png and OUT/examples.json: the best, median and worst crops.

    Args:
        network: Its weights are judged on the task's first held-out samples.
        task: Of that network.
        out: Folder of the search.
        extra: Decoding parameters, as `Verdict.extra` has them.

    Raises:
        PictureError: A picture cannot be written.
    """
    parameters = extra or {"sigma_px": task.config.sigma_px}
    # As the task judges: of a network that remembers, with earlier images.
    predictions = task.predictions(network, range(min(_CROPS, 2 * task.config.validation)))
    silhouette_points = Silhouette(task.model.mesh)
    examples = sorted(
        (
            _judged(index, prediction, task, parameters, silhouette_points)
            for index, prediction in enumerate(predictions)
        ),
        key=lambda example: (example.add_d, example.index),
    )
    folder = out / EXAMPLES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for heading, chosen in choose(examples):
        for example in chosen:
            file = f"{EXAMPLES_FOLDER}/{heading.lower()}-{example.index:03d}.png"
            write_png(out / file, picture(task.held_out[example.index].image, example, task.model))
            rows.append(
                {"file": file, "heading": heading, "caption": _caption(example, task.model)}
            )
    write_atomic(out / EXAMPLES_FILE, (json.dumps(rows, indent=1) + "\n").encode())


def choose(examples: Sequence[_Example]) -> list[tuple[str, Sequence[_Example]]]:
    """The best, those about the median and the worst of examples that are in order."""
    start = max((len(examples) - _OF_EACH) // 2, 0)
    return [
        ("Best", examples[:_OF_EACH]),
        ("Typical", examples[start : start + _OF_EACH]),
        ("Worst", examples[-_OF_EACH:]),
    ]


def crop_camera(K: Array, A: Array, size: tuple[int, int]) -> tuple[Camera, Array]:
    """The camera that would have taken a crop itself.

    A crop may be turned in the image's plane; then so is its camera, about the optical axis.

    Args:
        K: (3, 3) intrinsics of the full image.
        A: (2, 3), crop_px = A @ [image_px, 1]; it does not mirror.
        size: (height, width) of the crop, px.

    Returns:
        The camera, and T_crop_camera (4, 4): from the full image's camera frame to its frame.
    """
    (a, b), (c, d) = A[:, :2] @ K[:2, :2]
    # The upper triangular part of an RQ decomposition is the intrinsics', the rest is the turn.
    fy = np.hypot(c, d)
    turn = np.array([[d, -c], [c, d]]) / fy
    intrinsics = np.eye(3)
    intrinsics[:2, :2] = [[(a * d - b * c) / fy, (a * c + b * d) / fy], [0.0, fy]]
    intrinsics[:2, 2] = apply_affine(A, K[:2, 2])
    rotation = np.eye(3)
    rotation[:2, :2] = turn
    height, width = size
    return Camera(width, height, intrinsics), make_transform(rotation, np.zeros(3))


def picture(image: NDArray[np.uint8], example: _Example, model: ObjectModel) -> NDArray[np.uint8]:
    """A crop (R, R, 3), enlarged: in white the truth's outline, in yellow the estimate and axes."""
    factor = max(1, round(_SHOWN_PX / image.shape[0]))
    side = image.shape[0] * factor
    canvas = np.asarray(
        cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.uint8
    )
    prediction = example.prediction
    # Pixel centres are whole numbers, before and after.
    A = factor * prediction.A
    A[:, 2] += 0.5 * (factor - 1)
    camera, T_crop_camera = crop_camera(prediction.K, A, (side, side))
    poses = [(prediction.T_camera_object, _WHITE)]
    if example.T_camera_object is not None:
        poses.append((example.T_camera_object, PALETTE[0]))
    for T, colour in poses:
        T_crop_object = T_crop_camera @ T
        shown = PoseEstimate(
            object_name=model.name,
            instance_id=0,
            T_camera_object=T_crop_object,
            covariance=np.zeros((6, 6)),
            score=1.0,
            reprojection_error=0.0,
            box=(0.0, 0.0, 0.0, 0.0),
        )
        draw_outline(canvas, silhouette(model.mesh, camera, shown), colour)
        if colour != _WHITE:
            draw_axes(canvas, camera, T_crop_object, model.diameter)
    return canvas


def _judged(
    index: int,
    prediction: Prediction,
    task: PoseTask,
    extra: Mapping[str, Any],
    silhouette_points: Silhouette,
) -> _Example:
    solution = _pose(prediction, task, extra, silhouette_points)
    if solution is None:
        return _Example(index, prediction, None, float("inf"))
    model, T = task.model, solution.T_camera_object
    distance = adi if model.symmetries else add
    error = float(distance(T, prediction.T_camera_object, model.mesh.vertices))
    return _Example(index, prediction, T, error / model.diameter)


def _pose(
    prediction: Prediction, task: PoseTask, extra: Mapping[str, Any], silhouette_points: Silhouette
) -> PnPSolution | None:
    """By the same steps as `pose_validation.judge`."""
    observations = observe(prediction, task.architecture, DecodeParameters.from_extra(extra))
    solution = solve(prediction, observations, task.model)
    if solution is None or "silhouette_sigma" not in extra:
        return solution
    ratio = distance_evidence(prediction, solution, silhouette_points, task.architecture)
    return solution if ratio is None else refine_distance(solution, ratio, extra)


def _caption(example: _Example, model: ObjectModel) -> str:
    if example.T_camera_object is None:
        return "no pose was found"
    T, truth = example.T_camera_object, example.prediction.T_camera_object
    angle = np.degrees(re(T, truth, model.symmetries.transforms()))
    shift = 1e3 * np.linalg.norm(T[:3, 3] - truth[:3, 3])
    return f"ADD {example.add_d:.3f} d, {angle:.1f}°, {shift:.1f} mm"
