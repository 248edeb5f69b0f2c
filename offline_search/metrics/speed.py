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
    total = translation + rotation
    return SpeedScore(float(np.mean(total)) if total.size else float("nan"), translation, rotation)


@dataclass(frozen=True)
class SpeedFigures:
    """Scores over images in each of which the spacecraft has to be found; lower is better.

    The challenges take one pose for each image. An image without one counts as if the pose were
    at the camera and turned by half a turn: 1 + pi.

    Attributes:
        images: how many.
        misses: those of them without a pose.
        score: of SPEED, and of SPEED+'s synthetic images.
        score_testbed: with the testbed's thresholds, of SPEED+'s lightbox and sunlamp.
        translation: mean relative distance over the images with a pose; NaN without any.
        rotation_deg: mean angle over them, degrees.
    """

    images: int
    misses: int
    score: float
    score_testbed: float
    translation: float
    rotation_deg: float


def speed_figures(estimate: Array, truth: Array, misses: int) -> SpeedFigures:
    """Sums up.

    Args:
        estimate: (N, 4, 4) estimated poses, one for each image that has one.
        truth: (N, 4, 4) the true ones.
        misses: how many images have none; N + misses is at least 1.
    """
    images = len(estimate) + misses
    plain, testbed = (speed_score(estimate, truth, testbed=flag) for flag in (False, True))
    means = [
        float((np.sum(one.translation + one.rotation) + misses * (1 + np.pi)) / images)
        for one in (plain, testbed)
    ]
    found = len(estimate) > 0
    return SpeedFigures(
        images=images,
        misses=misses,
        score=means[0],
        score_testbed=means[1],
        translation=float(plain.translation.mean()) if found else float("nan"),
        rotation_deg=float(np.rad2deg(plain.rotation.mean())) if found else float("nan"),
    )
