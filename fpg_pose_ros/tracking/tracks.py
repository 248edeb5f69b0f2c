# SPDX-License-Identifier: Apache-2.0
"""The tracks of one object: which measurement is whose, and when a track begins and ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from fpg_pose_ros.calibration import with_unseen_turns
from fpg_pose_ros.estimates import PoseEstimate
from fpg_pose_ros.geometry import Array, Camera
from fpg_pose_ros.instances import same_place
from fpg_pose_ros.localise import Box
from fpg_pose_ros.memory import MemorySpec
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.tracking.filter import (
    MotionNoise,
    MotionState,
    compare,
    gate_distance,
    predict,
    start,
    update,
)
from fpg_pose_ros.tracking.foresight import box_in_view, outermost
from fpg_pose_ros.tracking.numbers import Numbers
from fpg_pose_ros.tracking.recollection import Recollection
from fpg_pose_ros.tracking.settings import TrackingSettings
from fpg_pose_ros.tracking.unseen import hold, stop

# After so many refused measurements in a row it is the track that is wrong.
_REFUSALS: Final = 3


@dataclass(eq=False)
class Track:
    """One thing through time.

    Attributes:
        state: at the time of the current image.
        seen_ns: when something was last measured at its place.
        detection_score: the locator's when it last saw it, 0..1.
        score: of its last pose, 0..1.
        hits: measurements taken in.
        number: by which it is reported; None until it is.
        refusals: measurements in a row that lay beyond the gate.
        box: where it is expected in the current image, px; None out of view.
        measured: what was taken in from the current image.
        refused: what was measured at its place in the current image, but lay beyond the gate.
        past: what is remembered of it; None where the network has no memory.
    """

    state: MotionState
    seen_ns: int
    detection_score: float
    score: float
    hits: int = 1
    number: int | None = None
    refusals: int = 0
    box: Box | None = None
    measured: PoseEstimate | None = None
    refused: PoseEstimate | None = None
    past: Recollection | None = None


class ObjectTracks:
    """The tracks of one object's instances. An image goes `predict`, `assign` and others, `settle`.

    Args:
        model: the object.
        memory: of its network.
    """

    def __init__(self, model: ObjectModel, memory: MemorySpec | None = None) -> None:
        """Begins without any track."""
        self.model = model
        self._memory = memory
        self.tracks: list[Track] = []
        self._points = outermost(model.mesh)
        self._numbers = Numbers()

    def predict(self, seconds: float, noise: MotionNoise, camera: Camera) -> None:
        """Moves all tracks on to the time of the next image, and foretells their boxes in it."""
        for track in self.tracks:
            track.state = predict(track.state, seconds, noise)
            track.box = box_in_view(self._points, track.state.T_camera_object, camera)
            track.measured = track.refused = None

    def assign(self, estimates: Iterable[PoseEstimate], gate: float) -> list[PoseEstimate]:
        """Takes measurements into the tracks that they are of, one each, the likeliest first.

        Args:
            estimates: of this object, from the current image.
            gate: probability of an honest measurement to lie within.

        Returns:
            The measurements that are no track's. One of a thing that another one tells of is left
            out altogether.
        """
        left = self._distinct(estimates)
        reach = gate_distance(gate)
        pairs = []
        for estimate in left:
            for track in self.tracks:
                if track.measured is None:
                    reading = self._read(estimate, track.state.T_camera_object)
                    seen = compare(track.state, *reading)
                    if seen.normalised_squared <= reach:
                        pairs.append((track, estimate, seen))
        if len(pairs) > 1:
            pairs.sort(key=lambda pair: pair[2].surprise)
        for track, estimate, seen in pairs:
            if track.measured is None and estimate in left:
                track.state = stop(update(track.state, seen), self.model.symmetries)
                track.measured = estimate
                track.hits, track.refusals = track.hits + 1, 0
                left.remove(estimate)
        return left

    def begin(self, estimate: PoseEstimate, detection_score: float, noise: MotionNoise) -> None:
        """Begins a track from its first measurement."""
        state = start(*self._read(estimate, estimate.T_camera_object), noise)
        past = None if self._memory is None else Recollection(self._memory)
        self.tracks.append(
            Track(
                state,
                estimate.stamp_ns,
                detection_score,
                estimate.score,
                measured=estimate,
                past=past,
            )
        )

    def end(self, track: Track, stamp_ns: int) -> None:
        """Ends a track; its number rests."""
        self.tracks.remove(track)
        if track.number is not None:
            self._numbers.give_back(track.number, track.state.T_camera_object[:3, 3], stamp_ns)

    def settle(
        self, stamp_ns: int, settings: TrackingSettings, max_instances: int
    ) -> list[PoseEstimate]:
        """Counts what was measured, ends the tracks that are lost, and numbers those that are new.

        Returns:
            The poses of the tracks that are reported: those known for long enough and measured in
            the current image, with the filter's pose and covariance.
        """
        for track in list(self.tracks):
            if track.measured is None and track.refused is not None:
                self._refuse(track, track.refused, settings.noise)
            if track.measured is not None:
                track.score, track.seen_ns = track.measured.score, stamp_ns
                if track.past is not None and track.measured.glimpse is not None:
                    track.past.keep(track.measured.glimpse, stamp_ns)
            elif track.number is None or stamp_ns - track.seen_ns > settings.timeout * 1e9:
                self.end(track, stamp_ns)
        for track in sorted(self.tracks, key=lambda item: -item.score)[max_instances:]:
            self.end(track, stamp_ns)
        return [
            self._report(track, track.measured, max_instances)
            for track in self.tracks
            if track.measured is not None and track.hits >= settings.hits
        ]

    def _distinct(self, estimates: Iterable[PoseEstimate]) -> list[PoseEstimate]:
        """The best estimate of each thing that no track has a measurement of yet."""
        known = [track.measured for track in self.tracks if track.measured is not None]
        kept: list[PoseEstimate] = []
        for estimate in sorted(estimates, key=lambda item: -item.score):
            T = estimate.T_camera_object
            if not any(same_place(self.model, o.T_camera_object, T) for o in (*known, *kept)):
                kept.append(estimate)
        return kept

    def _read(self, estimate: PoseEstimate, expected: Array) -> tuple[Array, Array]:
        """A measurement for the filter: of all poses that look alike that nearest the expected."""
        symmetries = self.model.symmetries
        T = symmetries.nearest(estimate.T_camera_object, expected)
        return T, hold(estimate.covariance, symmetries, T)

    def _refuse(self, track: Track, estimate: PoseEstimate, noise: MotionNoise) -> None:
        """Counts a refused measurement; one too many starts the track anew, with its number."""
        track.refusals += 1
        track.seen_ns = estimate.stamp_ns
        if track.number is None or track.refusals >= _REFUSALS:
            reading = self._read(estimate, track.state.T_camera_object)
            track.state = start(*reading, noise)
            track.measured, track.refusals = estimate, 0
            if track.past is not None:
                track.past.clear()

    def _report(self, track: Track, measured: PoseEstimate, max_instances: int) -> PoseEstimate:
        """The track's pose, under its number."""
        T = track.state.T_camera_object
        if track.number is None:
            living = [item.number for item in self.tracks if item.number is not None]
            track.number = self._numbers.take(
                living, T[:3, 3], self.model.diameter, max_instances, measured.stamp_ns
            )
        covariance = with_unseen_turns(track.state.pose_covariance.copy(), self.model.symmetries, T)
        return replace(
            measured,
            instance_id=track.number,
            T_camera_object=T,
            covariance=covariance,
            glimpse=None,
        )
