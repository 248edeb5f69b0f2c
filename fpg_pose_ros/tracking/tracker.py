# SPDX-License-Identifier: Apache-2.0
"""From images in a row to tracked poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Final

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.errors import BundleError
from fpg_pose_ros.estimates import EstimateResult, StageTimes
from fpg_pose_ros.estimator import Estimator, Limits
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.localise import Detection
from fpg_pose_ros.preprocess import Image, check_image
from fpg_pose_ros.tracking.pursuit import Pursuit
from fpg_pose_ros.tracking.settings import TrackingSettings

# A longer gap between two images, or one back in time, is another recording, or another place.
_LONGEST_GAP_S: Final = 3.0
_DEFAULTS: Final = TrackingSettings()


class PoseTracker:
    """Estimates the poses of the objects of one or several bundles through a row of images.

    Not thread-safe: one tracker a thread, and one a camera.

    Args:
        estimators: one a bundle; from now on this tracker's.
        settings: how things are tracked; may be assigned anew between images.

    Raises:
        BundleError: two bundles have an object of the same name.
        ValueError: there is no estimator.
    """

    def __init__(
        self, estimators: Sequence[Estimator], settings: TrackingSettings = _DEFAULTS
    ) -> None:
        """Begins without any track."""
        if not estimators:
            raise ValueError("a tracker needs an estimator")
        self.settings = settings
        self._estimators: Final = tuple(estimators)
        self._pursuits = [Pursuit(estimator) for estimator in self._estimators]
        self._last: tuple[int, str] | None = None
        names: dict[str, str] = {}
        for bundle in self.bundles:
            for item in bundle.objects:
                name = item.model.name
                if name in names:
                    raise BundleError(
                        f"bundles {names[name]} and {bundle.name} both have an object {name}; "
                        "give only one of them"
                    )
                names[name] = bundle.name

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """The bundles whose objects are found, in the order of the estimators."""
        return tuple(estimator.bundle for estimator in self._estimators)

    @property
    def limits(self) -> Limits:
        """What is followed up, and what is reported; assigned to all estimators at once."""
        return self._estimators[0].limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        for estimator in self._estimators:
            estimator.limits = limits

    def reset(self) -> None:
        """Forgets all tracks and numbers."""
        self._forget()
        self._last = None

    def estimate(
        self, image: Image, camera: Camera, stamp_ns: int = 0, frame_id: str = ""
    ) -> EstimateResult:
        """Finds the objects in the next image and their poses.

        Args:
            image: (H, W, 3) uint8 RGB, as the lens distorts it.
            camera: of this image.
            stamp_ns: time of the image; it decides how far things have moved.
            frame_id: the camera's frame, handed on to the poses.

        Returns:
            As an estimator's. Detections count the objects through all bundles.

        Raises:
            CameraError: image and camera differ in size.
        """
        check_image(image, camera)
        settings = self.settings
        if settings.enabled:
            seconds = self._pass_time(stamp_ns, frame_id)
            results = [
                item.follow(image, camera, stamp_ns, frame_id, seconds, settings)
                for item in self._pursuits
            ]
        else:
            if self._last is not None:
                self.reset()
            results = [
                item.estimate(image, camera, stamp_ns, frame_id) for item in self._estimators
            ]
        return results[0] if len(results) == 1 else self._joined(results)

    def _pass_time(self, stamp_ns: int, frame_id: str) -> float:
        """Seconds since the last image; a jump, or another camera, makes a new beginning."""
        before, self._last = self._last, (stamp_ns, frame_id)
        if before is None:
            return 0.0
        seconds = (stamp_ns - before[0]) * 1e-9
        if before[1] == frame_id and 0.0 <= seconds <= _LONGEST_GAP_S:
            return seconds
        self._forget()
        return 0.0

    def _forget(self) -> None:
        self._pursuits = [Pursuit(estimator) for estimator in self._estimators]

    def _joined(self, results: Sequence[EstimateResult]) -> EstimateResult:
        estimates = [estimate for result in results for estimate in result.estimates]
        detections: list[Detection] = []
        rejected: dict[str, str] = {}
        first = 0
        for estimator, result in zip(self._estimators, results, strict=True):
            detections += [
                replace(item, class_index=item.class_index + first) for item in result.detections
            ]
            first += len(estimator.bundle.objects)
            rejected.update(result.rejected)
        times = {
            item.name: sum(getattr(result.times, item.name) for result in results)
            for item in fields(StageTimes)
        }
        estimates.sort(key=lambda estimate: -estimate.score)
        detections.sort(key=lambda detection: -detection.score)
        return EstimateResult(tuple(estimates), StageTimes(**times), tuple(detections), rejected)
