# SPDX-License-Identifier: Apache-2.0
"""The score of ESA's spacecraft pose estimation challenges, SPEED (2019) and SPEED+ (2021).

Source: Kisantal et al., "Satellite Pose Estimation Challenge", arXiv 1911.02050, and Park et al.,
"SPEED+", arXiv 2110.03101. Lower is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fpg_pose_ros.geometry import Array
from offline_search.metrics.pose_error import re, te

ROTATION_FLOOR_RAD = float(np.deg2rad(0.169))
"""Below this angle the testbed's own ground truth is no surer: such an error counts as none."""

TRANSLATION_FLOOR = 2.173e-3
"""Below this relative distance the testbed's own ground truth is no surer."""


@dataclass(frozen=True)
class SpeedScore:
    """The score with its two parts: `score = mean(translation + rotation)`.

    Attributes:
        score: mean of both errors' sum over the images.
        translation: (N,) distance between the positions over the true distance.
        rotation: (N,) angle between the attitudes in radians.
    """

    score: float
    translation: Array
    rotation: Array


def speed_score(estimate: Array, truth: Array, *, testbed: bool = False) -> SpeedScore:
    """Score one estimated pose an image.

    Args:
        estimate: (N, 4, 4) estimated `T_camera_object`, metres.
        truth: (N, 4, 4) the true ones.
        testbed: score as for the robotic testbed's images (SPEED+ lightbox and sunlamp), where
            errors below the calibration's own accuracy count as zero.
    """
    translation = te(estimate, truth) / np.linalg.norm(truth[..., :3, 3], axis=-1)
    rotation = re(estimate, truth)
    if testbed:
        translation = np.where(translation < TRANSLATION_FLOOR, 0.0, translation)
        rotation = np.where(rotation < ROTATION_FLOOR_RAD, 0.0, rotation)
    return SpeedScore(float(np.mean(translation + rotation)), translation, rotation)
