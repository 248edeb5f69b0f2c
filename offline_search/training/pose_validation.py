# SPDX-License-Identifier: Apache-2.0
"""Judges a pose network by the poses that the robot's own decoder and solver make of its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fpg_pose_ros.decode import (
    DecodeParameters,
    KeypointObservations,
    decode_heatmap,
    decode_simcc,
)
from fpg_pose_ros.geometry import (
    Array,
    Camera,
    log_so3,
    rotation_angle,
)
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.silhouette import (
    Silhouette,
    log_distance_ratio,
    refine_distance,
    seen_area,
)
from fpg_pose_ros.solve import PnPSolution, SolveError
from fpg_pose_ros.steps import solve_observations, to_image
from offline_search.data.views import IMAGE_SIZE
from offline_search.metrics.pose_error import add, adi, re
from offline_search.metrics.recall import ADD_THRESHOLD, area_under_recall, recall
from offline_search.space.architecture import Architecture
from offline_search.training.feed import to_input
from offline_search.training.pose_labels import (
    CONTINUOUS_STEPS,
    PoseSampleLike,
    symmetric_labels,
)
from offline_search.training.task import Samples

_BATCH: Final = 32
_WINDOWS_PX: Final = (6.0, 9.0, 14.0, 20.0)
_TEMPERATURES: Final = (0.5, 0.75, 1.0)
_SWEPT: Final = 256
"""Samples that decoding parameters are chosen on: more would cost minutes and change little."""
# Medians of chi-square distributions: two coordinates of a keypoint, six of a pose.
_MEDIAN_CHI2_2: Final = 1.386
_MEDIAN_CHI2_6: Final = 5.348
# Standard deviation over median absolute deviation of a normal distribution.
_SIGMA_OF_MAD: Final = 1.4826
_LEAST_SIGMA: Final = 1e-3
# Of a network whose masks say nothing of the distance.
_USELESS_SIGMA: Final = 10.0


@dataclass(frozen=True, eq=False)
class Prediction:
    """One sample's network output beside its labels.

    Attributes:
        logits: The head's outputs, without the batch axis.
        labels: (S, K, 2) keypoints of all symmetry-equivalent poses, crop px.
        T_camera_object: (4, 4), m.
        K: (3, 3) intrinsics of the full image.
        A: (2, 3), crop_px = A @ [image_px, 1].
    """

    logits: tuple[NDArray[np.float32], ...]
    labels: Array
    T_camera_object: Array
    K: Array
    A: Array

    @property
    def camera(self) -> Camera:
        """Of the full image, without distortion, as training data is rendered."""
        return Camera(*IMAGE_SIZE, self.K)


@torch.no_grad()
def predict(
    network: nn.Module,
    model: ObjectModel,
    samples: Samples[PoseSampleLike],
    indices: Sequence[int],
    past: Callable[[Sequence[int]], Tensor] | None = None,
) -> list[Prediction]:
    """Runs the network (in evaluation mode) over samples.

    Args:
        network: Of the object.
        model: The object.
        samples: With labels.
        indices: Which of them.
        past: Of samples by their indices, what a network with a temporal cell takes beside the
            images, see `Network.conclude`; None: the images alone.
    """
    network.eval()
    device = next(network.parameters()).device
    symmetries = model.symmetries.transforms(CONTINUOUS_STEPS)
    predictions: list[Prediction] = []
    for start in range(0, len(indices), _BATCH):
        chosen = indices[start : start + _BATCH]
        chunk = [samples[index] for index in chosen]
        images = torch.from_numpy(np.stack([sample.image for sample in chunk]))
        memory = () if past is None else (past(chosen).to(device),)
        outputs = network(to_input(images, device), *memory)
        tensors = outputs if isinstance(outputs, tuple) else (outputs,)
        arrays = [tensor.float().cpu().numpy() for tensor in tensors]
        predictions += [
            Prediction(
                tuple(array[i] for array in arrays),
                symmetric_labels(sample, model, symmetries),
                sample.T_camera_object,
                sample.K,
                sample.A,
            )
            for i, sample in enumerate(chunk)
        ]
    return predictions


def observe(
    prediction: Prediction, architecture: Architecture, parameters: DecodeParameters
) -> KeypointObservations:
    """Decodes one prediction."""
    if architecture.head.kind == "simcc":
        x, y = prediction.logits
        return decode_simcc(x, y, architecture.head.bins_per_pixel, parameters)
    maps = prediction.logits[0][: architecture.head.outputs]
    return decode_heatmap(maps, architecture.output_stride, parameters)


def solve(
    prediction: Prediction, observations: KeypointObservations, model: ObjectModel
) -> PnPSolution | None:
    """The pose of one prediction, or None where the keypoints determine none."""
    try:
        return solve_observations(model, to_image(observations, prediction.A), prediction.camera)
    except SolveError:
        return None


def distance_evidence(
    prediction: Prediction, pose: PnPSolution, silhouette: Silhouette, architecture: Architecture
) -> float | None:
    """What the predicted mask says of the pose's distance, see `log_distance_ratio`."""
    T, size = pose.T_camera_object, architecture.input_size
    return log_distance_ratio(
        silhouette.area(T, prediction.camera, prediction.A, size),
        seen_area(prediction.logits[0][-1], architecture.output_stride),
    )


def judge(
    predictions: Sequence[Prediction],
    model: ObjectModel,
    architecture: Architecture,
    extra: Mapping[str, Any],
) -> dict[str, float]:
    """Figures of poses decoded with the parameters `extra`; a missing pose is an infinite error.

    Returns:
        add01: share with ADD (ADI when the object is symmetric) below 0.1 diameter.
        adds01: the same with ADI. add_auc: area under recall up to 0.1 diameter.
        rotation_deg, depth_percent, keypoint_px: medians. solved: share with a pose.
    """
    parameters = DecodeParameters.from_extra(extra)
    points, symmetries = model.mesh.vertices, model.symmetries.transforms()
    silhouette = Silhouette(model.mesh) if "silhouette_sigma" in extra else None
    errors: list[tuple[float, float, float, float]] = []
    pixels: list[float] = []
    for prediction in predictions:
        observations = observe(prediction, architecture, parameters)
        distance = np.linalg.norm(_keypoint_errors(prediction, observations), axis=1)
        pixels.append(float(np.median(distance)))
        solution = solve(prediction, observations, model)
        if solution is None:
            errors.append((np.inf, np.inf, np.inf, np.inf))
            continue
        if silhouette is not None:
            ratio = distance_evidence(prediction, solution, silhouette, architecture)
            if ratio is not None:
                solution = refine_distance(solution, ratio, extra)
        T, truth = solution.T_camera_object, prediction.T_camera_object
        errors.append(
            (
                float(add(T, truth, points)),
                float(adi(T, truth, points)),
                float(re(T, truth, symmetries)),
                abs(float(T[2, 3] / truth[2, 3]) - 1.0),
            )
        )
    add_, adi_, rotation, depth = np.array(errors).T
    own = adi_ if model.symmetries else add_
    limit = ADD_THRESHOLD * model.diameter
    return {
        "add01": recall(own, limit),
        "adds01": recall(adi_, limit),
        "add_auc": area_under_recall(own, limit),
        "rotation_deg": float(np.degrees(np.median(rotation))),
        "depth_percent": float(100 * np.median(depth)),
        "keypoint_px": float(np.median(pixels)),
        "solved": float(np.isfinite(add_).mean()),
    }


def choose_decoding(
    predictions: Sequence[Prediction],
    model: ObjectModel,
    architecture: Architecture,
    sigma_px: float,
) -> dict[str, float]:
    """Decoding parameters with the best ADD area on these predictions, for `NetworkSpec.extra`.

    Window and temperature are swept, each time with the covariances scaled so that keypoint errors
    have the spread that they claim. `pose_covariance_scale` is what the pose's covariance still
    lacks: errors of neighbouring keypoints are alike, which the solver does not know.
    """
    predictions = predictions[:_SWEPT]
    best: dict[str, float] = {}
    best_poses: list[PnPSolution | None] = []
    best_score = -1.0
    for window, temperature in product(_WINDOWS_PX, _TEMPERATURES):
        extra = {"window_px": window, "temperature": temperature, "sigma_px": sigma_px}
        parameters = DecodeParameters.from_extra(extra)
        seen = [observe(prediction, architecture, parameters) for prediction in predictions]
        scale = _keypoint_scale(predictions, seen)
        scaled = [replace(one, covariances=one.covariances * scale) for one in seen]
        poses = [solve(p, one, model) for p, one in zip(predictions, scaled, strict=True)]
        score = _add_area(predictions, poses, model)
        if score > best_score:
            best, best_poses, best_score = {**extra, "covariance_scale": scale}, poses, score
    best["pose_covariance_scale"] = _pose_scale(predictions, best_poses, model)
    if architecture.head.mask:
        best |= _silhouette_noise(predictions, best_poses, model, architecture)
    return best


def _silhouette_noise(
    predictions: Sequence[Prediction],
    poses: Sequence[PnPSolution | None],
    model: ObjectModel,
    architecture: Architecture,
) -> dict[str, float]:
    """Median and robust standard deviation of the log distance's error by the mask."""
    silhouette = Silhouette(model.mesh)
    errors = []
    for prediction, pose in zip(predictions, poses, strict=True):
        ratio = distance_evidence(prediction, pose, silhouette, architecture) if pose else None
        if pose is None or ratio is None:
            continue
        truth, assumed = prediction.T_camera_object[:3, 3], pose.T_camera_object[:3, 3]
        errors.append(ratio - float(np.log(np.linalg.norm(truth) / np.linalg.norm(assumed))))
    if not errors:
        return {"silhouette_bias": 0.0, "silhouette_sigma": _USELESS_SIGMA}
    bias = float(np.median(errors))
    sigma = _SIGMA_OF_MAD * float(np.median(np.abs(np.array(errors) - bias)))
    return {"silhouette_bias": bias, "silhouette_sigma": max(sigma, _LEAST_SIGMA)}


def _add_area(
    predictions: Sequence[Prediction], poses: Sequence[PnPSolution | None], model: ObjectModel
) -> float:
    distance = adi if model.symmetries else add
    errors = [
        float(distance(pose.T_camera_object, p.T_camera_object, model.mesh.vertices))
        if pose
        else np.inf
        for p, pose in zip(predictions, poses, strict=True)
    ]
    # Twice the usual limit, so that poses just missed count for something.
    return area_under_recall(errors, 2 * ADD_THRESHOLD * model.diameter)


def _keypoint_errors(prediction: Prediction, observations: KeypointObservations) -> Array:
    """(K, 2) px, against the nearest of the symmetry-equivalent labels."""
    errors: Array = observations.pixels - prediction.labels
    nearest = int(np.linalg.norm(errors, axis=2).mean(axis=1).argmin())
    return np.asarray(errors[nearest])


def _keypoint_scale(
    predictions: Sequence[Prediction], seen: Sequence[KeypointObservations]
) -> float:
    """Factor that makes half of the keypoint errors lie in their own median ellipse."""
    squares = []
    for prediction, observations in zip(predictions, seen, strict=True):
        errors = _keypoint_errors(prediction, observations)
        white = np.linalg.solve(observations.covariances, errors[:, :, None])[:, :, 0]
        squares.append((white * errors).sum(axis=1))
    return _usable(float(np.median(squares)) / _MEDIAN_CHI2_2)


def _pose_scale(
    predictions: Sequence[Prediction], poses: Sequence[PnPSolution | None], model: ObjectModel
) -> float:
    """Factor that makes half of the pose errors lie in the solver's own median ellipsoid."""
    symmetries = model.symmetries.transforms()
    squares = []
    for prediction, pose in zip(predictions, poses, strict=True):
        if pose is None:
            continue
        T = pose.T_camera_object
        candidates = prediction.T_camera_object @ symmetries
        angles = [rotation_angle(T[:3, :3], candidate[:3, :3]) for candidate in candidates]
        truth = candidates[int(np.argmin(angles))]
        error = np.concatenate([truth[:3, 3] - T[:3, 3], log_so3(truth[:3, :3] @ T[:3, :3].T)])
        squares.append(float(error @ np.linalg.solve(pose.covariance, error)))
    return _usable(float(np.median(squares)) / _MEDIAN_CHI2_6) if squares else 1.0


def _usable(scale: float) -> float:
    # An untrained or a perfect network gives extremes that no parameter may take.
    return float(np.clip(scale, 1e-2, 1e4)) if np.isfinite(scale) else 1.0
