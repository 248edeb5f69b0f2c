# SPDX-License-Identifier: Apache-2.0
"""What the estimator is asked for, and what it gives: poses, their cost, what was seen besides."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from fpg_pose_ros.geometry import Array
from fpg_pose_ros.localise import Box, Detection
from fpg_pose_ros.memory import Glimpse


@dataclass(frozen=True)
class Limits:
    """What is followed up, and what is reported.

    Attributes:
        min_detection_score: detections with a lower locator score are not followed up, 0..1.
        min_score: poses with a lower score are rejected, 0..1.
        max_reprojection_error: poses with a larger one are rejected; in sides of the object's box,
            since a network's errors grow with the object's picture.
        max_instances: of each object that are looked for in an image.

    Raises:
        ValueError: a limit is out of range.
    """

    min_detection_score: float = 0.2
    min_score: float = 0.3
    max_reprojection_error: float = 0.12
    max_instances: int = 1

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if not 0.0 <= self.min_score <= 1.0 or not 0.0 <= self.min_detection_score <= 1.0:
            raise ValueError("scores are in 0..1")
        if not self.max_reprojection_error > 0.0:
            raise ValueError("max_reprojection_error must be positive")
        if self.max_instances < 1:
            raise ValueError(f"max_instances is {self.max_instances}; at least 1 is needed")


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """Where an object is.

    Attributes:
        object_name: as in the bundle.
        instance_id: of a single image's estimate 0 for the best instance of an object, then 1, 2,
            ...; of a tracked one the number that stays with the thing.
        T_camera_object: (4, 4), maps object points into the camera's frame, m.
        covariance: (6, 6) of translation x, y, z (m), then rotation vector (rad), about the
            camera's axes: T_true = (exp(w) R, t + dt); of a calibrated bundle that of right poses.
        score: 0..1, from the locator's score, the keypoints' confidence and their agreement; of
            a calibrated bundle the probability that the pose is right, see `calibration`.
        reprojection_error: weighted root mean square over the agreeing keypoints, image px.
        box: x0, y0, x1, y1 of the whole object, image px.
        stamp_ns: time of the image, ns.
        frame_id: the camera's frame.
        glimpse: what there is to be remembered of it, for whoever asked for that.
    """

    object_name: str
    instance_id: int
    T_camera_object: Array
    covariance: Array
    score: float
    reprojection_error: float
    box: Box
    stamp_ns: int = 0
    frame_id: str = ""
    glimpse: Glimpse | None = None


@dataclass(frozen=True)
class StageTimes:
    """What one image cost, ms: all objects together, and `total_ms` includes the rest.

    A stage that was not needed cost 0: a tracker that knows where to look does not locate.
    """

    preprocess_ms: float
    locate_ms: float
    infer_ms: float
    solve_ms: float
    total_ms: float


@dataclass(frozen=True, eq=False)
class EstimateResult:
    """What was found in one image.

    Attributes:
        estimates: poses, the highest score first.
        times: what it cost.
        detections: what the locator saw, whether or not a pose came of it.
        rejected: why a detected object gave no pose, by object name.
    """

    estimates: tuple[PoseEstimate, ...]
    times: StageTimes
    detections: tuple[Detection, ...]
    rejected: Mapping[str, str] = field(default_factory=dict)


class StageClock:
    """Adds up the time between laps by stage."""

    def __init__(self) -> None:
        """Starts."""
        self._start = self._last = time.perf_counter()
        self._spent = dict.fromkeys(("preprocess", "locate", "infer", "solve"), 0.0)

    def lap(self, stage: str) -> None:
        """Counts the time since the last lap as this stage's."""
        now = time.perf_counter()
        self._spent[stage] += 1e3 * (now - self._last)
        self._last = now

    def skip(self) -> None:
        """Counts the time since the last lap as no stage's; it is part of the total."""
        self._last = time.perf_counter()

    def times(self) -> StageTimes:
        """Returns what was spent so far."""
        total = 1e3 * (time.perf_counter() - self._start)
        return StageTimes(**{f"{k}_ms": ms for k, ms in self._spent.items()}, total_ms=total)
