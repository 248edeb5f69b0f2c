# SPDX-License-Identifier: Apache-2.0
"""One figure of a pose by which networks compare that find different numbers of keypoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from fpg_pose_ros.decode import DecodeParameters
from fpg_pose_ros.geometry import Array, transform
from fpg_pose_ros.objects import ObjectModel
from offline_search.space.architecture import Architecture
from offline_search.training.pose_labels import in_crop
from offline_search.training.pose_validation import Prediction, observe, solve

_WORST: Final = 1.0


def crop_error(
    prediction: Prediction,
    architecture: Architecture,
    model: ObjectModel,
    symmetries: Array,
    parameters: DecodeParameters,
) -> float:
    """How far the pose that a prediction leads to puts the object's keypoints from where they are.

    Args:
        prediction: Of a crop of the network's input size.
        architecture: The network's; its outputs are the first keypoints.
        model: The object with all its keypoints. All of them count, found or not.
        symmetries: (S, 4, 4) what turns it into itself.
        parameters: Of decoding.

    Returns:
        The mean distance in shares of the crop's side, that of the nearest symmetry-equivalent
        pose; at most 1, which is also what no pose counts.
    """
    found = model.first_keypoints(architecture.head.outputs)
    pose = solve(prediction, observe(prediction, architecture, parameters), found)
    if pose is None or (transform(pose.T_camera_object, model.keypoints)[:, 2] <= 0).any():
        return _WORST
    K, A, truth = prediction.K, prediction.A, prediction.T_camera_object
    placed = in_crop(model, pose.T_camera_object, K, A)
    labels = np.stack([in_crop(model, truth @ symmetry, K, A) for symmetry in symmetries])
    distance = np.linalg.norm(labels - placed, axis=2).mean(axis=1).min()
    return min(_WORST, float(distance) / architecture.input_size[1])


def resized(prediction: Prediction, scale: float) -> Prediction:
    """The same with its crop `scale` times as large; its output is of that crop already."""
    # Pixel centres are whole numbers, edges lie half a pixel outside.
    outside = 0.5 * (scale - 1.0)
    A = scale * prediction.A
    A[:, 2] += outside
    return replace(prediction, labels=scale * prediction.labels + outside, A=A)
