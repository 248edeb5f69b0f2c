# SPDX-License-Identifier: Apache-2.0
"""From an image and its camera to object poses: locate, crop, infer, decode, solve.

The heart of the package. It knows no ROS, keeps no state between images, and undistorts points,
never images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from fpg_pose_ros.backends import Backend, open_backends
from fpg_pose_ros.bundle import Bundle, BundleObject
from fpg_pose_ros.calibration import calibrated_covariance, score_at, score_knots
from fpg_pose_ros.decode import DecodeParameters, KeypointObservations
from fpg_pose_ros.estimates import EstimateResult, Limits, PoseEstimate, StageClock, StageTimes
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.instances import rank
from fpg_pose_ros.localise import Detection, locate
from fpg_pose_ros.memory import Glimpse, Remembered, past_features
from fpg_pose_ros.preprocess import Image, check_image, letterbox_affine, resample, to_tensor
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

__all__ = [
    "EstimateResult",
    "Estimator",
    "Limits",
    "PoseEstimate",
    "StageTimes",
    "pose_score",
]

# Reprojection error, in sides of the object's box, at which the score's third part is one half.
_HALF_SCORE_ERROR = 0.06
_DEFAULT_LIMITS: Final = Limits()


class Estimator:
    """Estimates the poses of a bundle's objects.

    Not thread-safe: one estimator a thread.

    Args:
        bundle: a checked bundle.
        backend: what runs the networks, see `backends.open_backends`; or networks ready to run, by
            their file in the bundle.
        threads: threads the networks may use.
        device: cpu or cuda.
        limits: what is followed up and reported; may be assigned anew between images.

    Raises:
        BackendError: backend or device cannot be had here.
        BundleError: a network cannot be loaded.
        ValueError: `threads` is below 1.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        backend: str | Mapping[str, Backend] = "onnxruntime",
        threads: int = 1,
        device: str = "cpu",
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        """Loads the networks and runs each once, so that the first image is not slow."""
        if threads < 1:
            raise ValueError(f"threads is {threads}; at least 1 is needed")
        self.bundle = bundle
        self.limits = limits
        self._models = {item.model.name: item.model for item in bundle.objects}
        specs = [bundle.locator, *(item.network for item in bundle.objects)]
        self._backends = (
            open_backends(bundle, backend, threads=threads, device=device)
            if isinstance(backend, str)
            else backend
        )
        self._decoding = [DecodeParameters.from_extra(o.network.extra) for o in bundle.objects]
        self._knots = [score_knots(item.network.extra) for item in bundle.objects]
        self._silhouettes = [
            Silhouette(item.model.mesh) if item.network.has_mask else None
            for item in bundle.objects
        ]
        for spec in specs:
            nothing = [np.zeros(shape, dtype=np.float32) for shape in spec.input_shapes]
            self._backends[spec.file].run(*nothing)

    @property
    def runtimes(self) -> dict[str, str]:
        """What runs each network, by its file: onnxruntime, openvino or torch."""
        return {file: backend.runtime for file, backend in self._backends.items()}

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
        check_image(image, camera)
        clock = StageClock()
        detections = self.locate(image, camera, clock=clock)
        estimates, rejected = [], {}
        for detection in detections:
            try:
                estimates.append(
                    self.follow_up(image, camera, detection, stamp_ns, frame_id, clock=clock)
                )
            except (SolveError, RejectedError) as error:
                rejected[self.bundle.objects[detection.class_index].model.name] = str(error)
        return EstimateResult(
            tuple(rank(estimates, self._models)), clock.times(), tuple(detections), rejected
        )

    def locate(
        self, image: Image, camera: Camera, *, clock: StageClock | None = None, further: int = 0
    ) -> list[Detection]:
        """The first step: where in the image objects are, the surest first.

        Args:
            image: as in `estimate`, which checks it.
            camera: of this image.
            clock: takes the time.
            further: how many instances of each object are wanted beyond `limits.max_instances`.
        """
        clock = clock or StageClock()
        spec, limits = self.bundle.locator, self.limits
        A = letterbox_affine((camera.height, camera.width), spec.input_size)
        small = resample(image, A, spec.input_size)
        clock.lap("preprocess")
        heat, sides = self._backends[spec.file].run(to_tensor(small, spec))
        detections = locate(
            heat[0],
            sides[0],
            stride=spec.extra["stride"],
            A=A,
            min_score=limits.min_detection_score,
            max_per_class=limits.max_instances + further,
        )
        clock.lap("locate")
        return detections

    def follow_up(
        self,
        image: Image,
        camera: Camera,
        detection: Detection,
        stamp_ns: int = 0,
        frame_id: str = "",
        *,
        clock: StageClock | None = None,
        remembered: Remembered | None = None,
    ) -> PoseEstimate:
        """The other steps: from a detection, or any box with the object in it, to its pose.

        Args:
            image: as in `estimate`, which checks it.
            camera: of this image.
            detection: the object, its box (image px) and the locator's score.
            stamp_ns: as in `estimate`.
            frame_id: as in `estimate`.
            clock: takes the times.
            remembered: what a network with a memory saw of this thing in earlier images, for each
                of its lags; the pose then holds what it sees in this one. None: the image stands
                alone.

        Raises:
            SolveError, RejectedError: no pose, or none that can be trusted.
        """
        clock = clock or StageClock()
        item = self.bundle.objects[detection.class_index]
        memory = item.network.memory
        A = crop_affine(detection.box, item.network)
        crop = resample(image, A, item.network.input_size)
        inputs = [to_tensor(crop, item.network)]
        if memory is not None:
            inputs.append(past_features(memory, remembered or (), A, camera))
        clock.lap("preprocess")
        outputs = self._backends[item.network.file].run(*inputs)
        clock.lap("infer")
        try:
            seen = decode(outputs, item.network, self._decoding[detection.class_index])
            observations = to_image(seen, A)
            solution = solve_observations(item.model, observations, camera)
            silhouette = self._silhouettes[detection.class_index]
            if silhouette is not None:
                solution = refine(solution, outputs, item.network, silhouette, camera, A)
            pose = self._judge(item, camera, detection, observations, solution, stamp_ns, frame_id)
        finally:
            clock.lap("solve")
        if memory is None or remembered is None:
            return pose
        return replace(pose, glimpse=Glimpse(outputs[-1], A, camera))

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
        limits = self.limits
        error = reprojection_error(item.model, camera, observations, solution)
        x0, y0, x1, y1 = detection.box
        relative = error / max(x1 - x0, y1 - y0)
        if not relative <= limits.max_reprojection_error:
            raise RejectedError(
                f"its keypoints miss the pose by {relative:.2f} of its box's side, "
                f"{limits.max_reprojection_error:g} is allowed"
            )
        agreement = float(observations.confidence @ solution.inliers) / len(solution.inliers)
        extra = item.network.extra
        raw = pose_score(detection.score, agreement, relative)
        score = score_at(raw, self._knots[detection.class_index])
        if score < limits.min_score:
            raise RejectedError(f"its score is {score:.2f}, {limits.min_score:g} is needed")
        return PoseEstimate(
            object_name=item.model.name,
            instance_id=0,
            T_camera_object=solution.T_camera_object,
            covariance=calibrated_covariance(
                solution.covariance * extra.get("pose_covariance_scale", 1.0),
                extra,
                item.model.symmetries,
                solution.T_camera_object,
                relative,
            ),
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
    return float((detection * agreement * fit) ** (1.0 / 3.0))
