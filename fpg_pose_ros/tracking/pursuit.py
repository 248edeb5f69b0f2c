# SPDX-License-Identifier: Apache-2.0
"""Following one bundle's objects from image to image, with as little work as will do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fpg_pose_ros.estimates import EstimateResult, PoseEstimate, StageClock
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.localise import Detection, overlap
from fpg_pose_ros.memory import Remembered
from fpg_pose_ros.preprocess import Image
from fpg_pose_ros.solve import SolveError
from fpg_pose_ros.steps import RejectedError
from fpg_pose_ros.tracking.settings import TrackingSettings
from fpg_pose_ros.tracking.tracks import ObjectTracks, Track

# A detection whose box overlaps a track's expected one by so much shows the same place.
_SAME_PLACE: Final = 0.3
# How many things beyond those that are looked for the locator may see, so that a stronger rival
# does not hide a tracked thing from it.
_RIVALS: Final = 3
# How much better a new thing's score must be to end a track where only so many are looked for.
_CHALLENGE: Final = 0.1


@dataclass(frozen=True, eq=False)
class _Look:
    """An image, and what is noted of it on the way."""

    image: Image
    camera: Camera
    stamp_ns: int
    frame_id: str
    settings: TrackingSettings
    clock: StageClock = field(default_factory=StageClock)
    rejected: dict[str, str] = field(default_factory=dict)


class Pursuit:
    """Follows the objects of one bundle.

    In most images each track's expected pose says where to look, and one crop a track is all the
    work. The locator runs in addition where it is needed: in every image while there is no track,
    after `locate_period`, and when a track has found nothing where it looked. Then what it does not
    see is not followed up, and what no track accounts for begins one.

    Args:
        estimator: of the bundle.
    """

    def __init__(self, estimator: Estimator) -> None:
        """Begins without any track."""
        self._estimator = estimator
        self._objects = [
            ObjectTracks(item.model, item.network.memory) for item in estimator.bundle.objects
        ]
        self._located_ns = 0
        self._lost = False

    def follow(
        self,
        image: Image,
        camera: Camera,
        stamp_ns: int,
        frame_id: str,
        seconds: float,
        settings: TrackingSettings,
    ) -> EstimateResult:
        """Takes in the next image.

        Args:
            image: (H, W, 3) uint8 RGB.
            camera: of this image.
            stamp_ns: time of the image.
            frame_id: the camera's frame.
            seconds: since the last image.
            settings: how things are tracked.

        Returns:
            The tracks' poses in this image, the highest score first.
        """
        look = _Look(image, camera, stamp_ns, frame_id, settings)
        for things in self._objects:
            things.predict(seconds, settings.noise, camera)
        tracks = [track for things in self._objects for track in things.tracks]
        since = (stamp_ns - self._located_ns) * 1e-9
        due = not tracks or self._lost or since >= settings.locate_period
        detections = self._locate(look, bool(tracks)) if due else None
        for class_index, things in enumerate(self._objects):
            self._look_where_expected(look, class_index, things, detections)
        if detections is None and any(track.measured is None for track in tracks):
            detections = self._locate(look, any_track=True)
        for detection in detections or ():
            self._look_further(look, detection)
        self._lost = any(track.measured is None for track in tracks)
        most = self._estimator.limits.max_instances
        found = [pose for item in self._objects for pose in item.settle(stamp_ns, settings, most)]
        found.sort(key=lambda estimate: -estimate.score)
        return EstimateResult(
            tuple(found), look.clock.times(), tuple(detections or ()), look.rejected
        )

    def _locate(self, look: _Look, any_track: bool) -> list[Detection]:
        """Looks for things in the whole image."""
        look.clock.skip()
        self._located_ns = look.stamp_ns
        further = _RIVALS if any_track else 0
        return self._estimator.locate(look.image, look.camera, clock=look.clock, further=further)

    def _look_where_expected(
        self,
        look: _Look,
        class_index: int,
        things: ObjectTracks,
        detections: list[Detection] | None,
    ) -> None:
        """Measures an object's tracks in their expected boxes.

        Where the locator has run, only those that it has seen. Of two that overlap it may see but
        one: a detection speaks for every track in its place.
        """
        measured: list[tuple[Track, PoseEstimate]] = []
        for track in things.tracks:
            if track.box is None:
                continue
            if detections is not None:
                scores = [
                    item.score
                    for item in detections
                    if item.class_index == class_index
                    and overlap(item.box, track.box) >= _SAME_PLACE
                ]
                if not scores:
                    continue
                track.detection_score = max(scores)
            detection = Detection(class_index, track.detection_score, track.box)
            remembered = () if track.past is None else track.past.recall(look.stamp_ns)
            estimate = self._measure(look, detection, remembered)
            if estimate is not None:
                measured.append((track, estimate))
        left = things.assign([estimate for _, estimate in measured], look.settings.gate)
        for track, estimate in measured:
            if track.measured is None and estimate in left:
                track.refused = estimate

    def _look_further(self, look: _Look, detection: Detection) -> None:
        """Follows up what the locator saw, unless a track accounts for it already.

        With fresh eyes: what a network remembers may be what has led it astray.
        """
        things = self._objects[detection.class_index]
        here = [
            track
            for track in things.tracks
            if track.box is not None and overlap(detection.box, track.box) >= _SAME_PLACE
        ]
        if any(track.measured is not None for track in here):
            return
        weakest = min(things.tracks, key=lambda track: track.score, default=None)
        full = len(things.tracks) >= self._estimator.limits.max_instances
        if not here and full and weakest and detection.score <= weakest.detection_score:
            return
        estimate = self._measure(look, detection)
        if estimate is None or not things.assign([estimate], look.settings.gate):
            return
        if here:
            here[0].refused = estimate
            return
        if full and weakest:
            if estimate.score <= weakest.score + _CHALLENGE:
                return
            things.end(weakest, look.stamp_ns)
        things.begin(estimate, detection.score, look.settings.noise)

    def _measure(
        self, look: _Look, detection: Detection, remembered: Remembered = ()
    ) -> PoseEstimate | None:
        """The pose in a box, or None and a note why there is none."""
        look.clock.skip()
        try:
            return self._estimator.follow_up(
                look.image,
                look.camera,
                detection,
                look.stamp_ns,
                look.frame_id,
                clock=look.clock,
                remembered=remembered,
            )
        except (SolveError, RejectedError) as error:
            name = self._estimator.bundle.objects[detection.class_index].model.name
            look.rejected[name] = str(error)
            return None
