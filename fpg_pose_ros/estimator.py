# SPDX-License-Identifier: Apache-2.0
"""From an image and its camera to object poses: locate, crop, infer, decode, solve.

The heart of the package. It knows no ROS, keeps no state between images, and undistorts points,
never images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.bundle import Bundle, BundleObject
from fpg_pose_ros.decode import DecodeParameters, KeypointObservations
from fpg_pose_ros.errors import CameraError
from fpg_pose_ros.geometry import Array, Camera
from fpg_pose_ros.infer import Backend, OnnxRuntimeBackend
from fpg_pose_ros.localise import Box, Detection, locate
from fpg_pose_ros.preprocess import Image, letterbox_affine, resample, to_tensor
from fpg_pose_ros.silhouette import Silhouette
from fpg_pose_ros.solve import PnPSolution, SolveError
from fpg_pose_ros.steps import (
    RejectedError,
    crop_affine,
    decode,
    refine,
    reprojection_error,
    solve_observations,
    to_image,
)

# Reprojection error, in sides of the object's box, at which the score's third part is one half.
_HALF_SCORE_ERROR = 0.06


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """Where an object is.

    Attributes:
        object_name: as in the bundle.
        instance_id: 0 for the best instance of an object, then 1, 2, ...
        T_camera_object: (4, 4), maps object points into the camera's frame, m.
        covariance: (6, 6) of translation x, y, z (m), then rotation vector (rad), about the
            camera's axes: T_true = (exp(w) R, t + dt).
        score: 0..1, from the locator's score, the keypoints' confidence and their agreement.
        reprojection_error: weighted root mean square over the agreeing keypoints, image px.
        box: x0, y0, x1, y1 of the whole object, image px.
        stamp_ns: time of the image, ns.
        frame_id: the camera's frame.
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


@dataclass(frozen=True)
class StageTimes:
    """What one image cost, ms: all objects together, and `total_ms` includes the rest."""

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


class Estimator:
    """Estimates the poses of a bundle's objects.

    Not thread-safe: one estimator a thread.

    Args:
        bundle: a checked bundle.
        threads: threads the networks may use.
        min_score: poses with a lower score are rejected, 0..1.
        max_reprojection_error: poses with a larger one are rejected; in sides of the object's box,
            since a network's errors grow with the object's picture.
        min_detection_score: detections with a lower locator score are not followed up, 0..1.
        make_backend: loads a network from the contents of its ONNX file.

    Raises:
        BundleError: a network cannot be loaded.
        ValueError: a limit is out of range.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 1,
        min_score: float = 0.3,
        max_reprojection_error: float = 0.12,
        min_detection_score: float = 0.2,
        make_backend: Callable[[bytes, int], Backend] = OnnxRuntimeBackend,
    ) -> None:
        """Loads the networks and runs each once, so that the first image is not slow."""
        if threads < 1:
            raise ValueError(f"threads is {threads}; at least 1 is needed")
        if not 0.0 <= min_score <= 1.0 or not 0.0 <= min_detection_score <= 1.0:
            raise ValueError("scores are in 0..1")
        if not max_reprojection_error > 0.0:
            raise ValueError("max_reprojection_error must be positive")
        self.bundle = bundle
        self.min_score = min_score
        self.max_reprojection_error = max_reprojection_error
        self.min_detection_score = min_detection_score
        specs = [bundle.locator, *(item.network for item in bundle.objects)]
        files = sorted({spec.file for spec in specs})
        self._backends = {file: make_backend(bundle.files[file], threads) for file in files}
        self._decoding = [DecodeParameters.from_extra(o.network.extra) for o in bundle.objects]
        self._silhouettes = [
            Silhouette(item.model.mesh) if item.network.has_mask else None
            for item in bundle.objects
        ]
        for spec in specs:
            self._backends[spec.file].run(np.zeros((1, 3, *spec.input_size), dtype=np.float32))

    def estimate(
        self, image: Image, camera: Camera, stamp_ns: int = 0, frame_id: str = ""
    ) -> EstimateResult:
        """Finds the objects in an image and their poses.

        Args:
            image: (H, W, 3) uint8 RGB, as the lens distorts it.
            camera: of this image.
            stamp_ns: time of the image, handed on to the poses.
            frame_id: the camera's frame, handed on to the poses.

        Raises:
            CameraError: image and camera differ in size.
        """
        _check_image(image, camera)
        clock = _Clock()
        A = letterbox_affine((camera.height, camera.width), self.bundle.locator.input_size)
        small = resample(image, A, self.bundle.locator.input_size)
        clock.lap("preprocess")
        detections = self._locate(small, A)
        clock.lap("locate")
        estimates, rejected = [], {}
        for detection in detections:
            name = self.bundle.objects[detection.class_index].model.name
            try:
                estimates.append(
                    self._follow_up(image, camera, detection, clock, stamp_ns, frame_id)
                )
            except (SolveError, RejectedError) as error:
                rejected[name] = str(error)
        estimates.sort(key=lambda estimate: -estimate.score)
        return EstimateResult(tuple(estimates), clock.times(), tuple(detections), rejected)

    def estimate_in_box(
        self, image: Image, camera: Camera, class_index: int, box: Box
    ) -> PoseEstimate:
        """Estimates the pose of one object whose box (x0, y0, x1, y1, px) is known.

        Raises:
            CameraError: image and camera differ in size.
            SolveError, RejectedError: no pose, or none that can be trusted.
        """
        _check_image(image, camera)
        return self._follow_up(image, camera, Detection(class_index, 1.0, box), _Clock(), 0, "")

    def _locate(self, small: Image, A: Array) -> list[Detection]:
        spec = self.bundle.locator
        heat, sides = self._backends[spec.file].run(to_tensor(small, spec))
        return locate(
            heat[0], sides[0], stride=spec.extra["stride"], A=A, min_score=self.min_detection_score
        )

    def _follow_up(
        self,
        image: Image,
        camera: Camera,
        detection: Detection,
        clock: _Clock,
        stamp_ns: int,
        frame_id: str,
    ) -> PoseEstimate:
        """From a detection to a pose."""
        item = self.bundle.objects[detection.class_index]
        A = crop_affine(detection.box, item.network)
        crop = resample(image, A, item.network.input_size)
        tensor = to_tensor(crop, item.network)
        clock.lap("preprocess")
        outputs = self._backends[item.network.file].run(tensor)
        clock.lap("infer")
        try:
            seen = decode(outputs, item.network, self._decoding[detection.class_index])
            observations = to_image(seen, A)
            solution = solve_observations(item.model, observations, camera)
            silhouette = self._silhouettes[detection.class_index]
            if silhouette is not None:
                solution = refine(solution, outputs, item.network, silhouette, camera, A)
            return self._judge(item, camera, detection, observations, solution, stamp_ns, frame_id)
        finally:
            clock.lap("solve")

    def _judge(
        self,
        item: BundleObject,
        camera: Camera,
        detection: Detection,
        observations: KeypointObservations,
        solution: PnPSolution,
        stamp_ns: int,
        frame_id: str,
    ) -> PoseEstimate:
        """Scores a pose, and rejects it below the limits."""
        error = reprojection_error(item.model, camera, observations, solution)
        x0, y0, x1, y1 = detection.box
        relative = error / max(x1 - x0, y1 - y0)
        if not relative <= self.max_reprojection_error:
            raise RejectedError(
                f"its keypoints miss the pose by {relative:.2f} of its box's side, "
                f"{self.max_reprojection_error:g} is allowed"
            )
        agreement = float(np.mean(observations.confidence * solution.inliers))
        score = pose_score(detection.score, agreement, relative)
        if score < self.min_score:
            raise RejectedError(f"its score is {score:.2f}, {self.min_score:g} is needed")
        return PoseEstimate(
            object_name=item.model.name,
            instance_id=0,
            T_camera_object=solution.T_camera_object,
            covariance=solution.covariance * item.network.extra.get("pose_covariance_scale", 1.0),
            score=score,
            reprojection_error=error,
            box=detection.box,
            stamp_ns=stamp_ns,
            frame_id=frame_id,
        )


def pose_score(detection: float, agreement: float, error: float) -> float:
    """Geometric mean (0..1) of what speaks for a pose.

    Args:
        detection: the locator's score, 0..1.
        agreement: mean over keypoints of confidence, where they agree with the pose, 0..1.
        error: reprojection error, in sides of the object's box.
    """
    fit = 1.0 / (1.0 + (error / _HALF_SCORE_ERROR) ** 2)
    return float(np.cbrt(detection * agreement * fit))


def _check_image(image: NDArray[np.uint8], camera: Camera) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the image must be (H, W, 3) uint8, it is {image.shape} {image.dtype}")
    if image.shape[:2] != (camera.height, camera.width):
        raise CameraError(
            f"the image is {image.shape[1]} x {image.shape[0]} px, the camera's width x height "
            f"{camera.width} x {camera.height}; give the calibration of this image size"
        )


class _Clock:
    """Adds up the time between laps by stage."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._spent = dict.fromkeys(("preprocess", "locate", "infer", "solve"), 0.0)

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._spent[stage] += 1e3 * (now - self._last)
        self._last = now

    def times(self) -> StageTimes:
        total = 1e3 * (time.perf_counter() - self._start)
        return StageTimes(**{f"{k}_ms": ms for k, ms in self._spent.items()}, total_ms=total)
