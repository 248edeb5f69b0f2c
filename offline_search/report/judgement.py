# SPDX-License-Identifier: Apache-2.0
"""Published poses beside the true ones, frame by frame."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fpg_pose_ros.geometry import Array, quaternion_wxyz
from offline_search.metrics.pose_error import add, adi, re, te
from offline_search.metrics.recall import ADD_THRESHOLD, recall
from offline_search.metrics.scores import ObjectGeometry
from offline_search.metrics.trust import nees, pose_error
from offline_search.report.recording import STAGES, Answer, PublishedPose, Recording

#: A frame counts when at least this much of the object is to be seen: inside the image, unoccluded.
MIN_VISIBLE: Final = 0.5


@dataclass(frozen=True, eq=False)
class Judged:
    """One frame of the run.

    Attributes:
        number: of the frame, in the order of stamps.
        stamp_ns: of the image.
        time_s: since the first frame.
        truth: T_camera_object (4, 4), m.
        visible: share of the object that is to be seen, 0..1.
        pose: the best published pose of the object; None for a miss.
        add_d: ADD(-S) over the diameter; infinity for a miss.
        rotation_deg, translation_mm: errors; NaN for a miss.
        nees: error normalised by the published covariance, squared; NaN for a miss.
        answer: all that the node said of the frame; None when it said nothing.
    """

    number: int
    stamp_ns: int
    time_s: float
    truth: Array
    visible: float
    pose: PublishedPose | None
    add_d: float
    rotation_deg: float
    translation_mm: float
    nees: float
    answer: Answer | None

    @property
    def counts(self) -> bool:
        """Whether the frame is scored: enough of the object is to be seen."""
        return self.visible >= MIN_VISIBLE

    @property
    def right(self) -> bool:
        """ADD(-S) below a tenth of the diameter."""
        return self.add_d < ADD_THRESHOLD


def judge(
    recording: Recording,
    name: str,
    geometry: ObjectGeometry,
    visible: Callable[[Array], float],
) -> list[Judged]:
    """Compares what was published of one object with what was true.

    Args:
        recording: the run.
        name: of the object.
        geometry: what errors depend on.
        visible: how much is to be seen of an object in a given true pose, 0..1.
    """
    stamps = [stamp for stamp, poses in recording.truth.items() if name in poses]
    frames = []
    for number, stamp in enumerate(stamps):
        truth = recording.truth[stamp][name]
        answer = recording.answers.get(stamp)
        found = [p for p in (answer.poses if answer else ()) if p.object_name == name]
        pose = found[0] if found else None
        add_d, rotation, translation, squared = _errors(pose, truth, geometry)
        frames.append(
            Judged(
                number=number,
                stamp_ns=stamp,
                time_s=(stamp - stamps[0]) * 1e-9,
                truth=truth,
                visible=visible(truth),
                pose=pose,
                add_d=add_d,
                rotation_deg=rotation,
                translation_mm=translation,
                nees=squared,
                answer=answer,
            )
        )
    return frames


def _errors(
    pose: PublishedPose | None, truth: Array, geometry: ObjectGeometry
) -> tuple[float, float, float, float]:
    if pose is None:
        return float("inf"), float("nan"), float("nan"), float("nan")
    T = pose.T_camera_object
    covariance = np.reshape(pose.covariance, (1, 6, 6))
    error = pose_error(T, truth, geometry.symmetries)[None]
    distance = adi if geometry.symmetric else add
    return (
        float(distance(T, truth, geometry.points)) / geometry.diameter,
        float(np.degrees(re(T, truth, geometry.symmetries))),
        float(te(T, truth)) * 1e3,
        float(nees(covariance, error)[0]),
    )


def summary(
    frames: Sequence[Judged], recording: Recording, published: int, macs: int
) -> dict[str, Any]:
    """The figures of a run; null where there was nothing to measure."""
    counted = [frame for frame in frames if frame.counts]
    posed = [frame for frame in counted if frame.pose is not None]
    answers = list(recording.answers.values())
    latencies = [answer.latency_ms for answer in answers]
    node = [answer.times_ms["total"] for answer in answers]
    return {
        "frames_published": published,
        "frames_received": max((answer.frames_received for answer in answers), default=0),
        "poses": sum(len(answer.poses) for answer in answers),
        "frames_scored": len(counted),
        "add01": _number(recall([frame.add_d for frame in counted], ADD_THRESHOLD), 4),
        "rotation_deg_median": _median([frame.rotation_deg for frame in posed], 3),
        "translation_mm_median": _median([frame.translation_mm for frame in posed], 3),
        "latency_ms_p50": _percentile(latencies, 50),
        "latency_ms_p99": _percentile(latencies, 99),
        "node_ms_p50": _percentile(node, 50),
        "node_ms_p99": _percentile(node, 99),
        "macs": macs,
    }


def write_csv(path: Path, frames: Sequence[Judged]) -> None:
    """All frames as a table: stamps, published and true poses, errors, times."""
    pose = ("x", "y", "z", "qw", "qx", "qy", "qz")
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            [
                *("frame", "stamp_ns", "visible", "object", "score", "reprojection_error_px"),
                *pose,
                *(f"true_{name}" for name in pose),
                *("add_d", "rotation_deg", "translation_mm", "latency_ms"),
                *(f"{stage}_ms" for stage in STAGES),
            ]
        )
        for frame in frames:
            table.writerow([*_published_cells(frame), *_true_cells(frame)])


def _published_cells(frame: Judged) -> list[str]:
    start = [str(frame.number), str(frame.stamp_ns), f"{frame.visible:.3f}"]
    if frame.pose is None:
        return [*start, *[""] * 10]
    p = frame.pose
    measured = [p.object_name, f"{p.score:.4f}", f"{p.reprojection_error:.3f}"]
    return [*start, *measured, *_pose_cells(p.T_camera_object)]


def _true_cells(frame: Judged) -> list[str]:
    errors = [frame.add_d, frame.rotation_deg, frame.translation_mm]
    times: Mapping[str, float] = frame.answer.times_ms if frame.answer else {}
    latency = frame.answer.latency_ms if frame.answer else float("nan")
    figures = [*errors, latency, *(times.get(stage, float("nan")) for stage in STAGES)]
    cells = [f"{value:.5g}" if np.isfinite(value) else "" for value in figures]
    return [*_pose_cells(frame.truth), *cells]


def _pose_cells(T: Array) -> list[str]:
    values = [*T[:3, 3], *quaternion_wxyz(T[:3, :3])]
    return [f"{value:.6f}" for value in values]


def _percentile(values: Sequence[float], share: float) -> float | None:
    return round(float(np.percentile(values, share)), 3) if values else None


def _median(values: Sequence[float], digits: int) -> float | None:
    return round(float(np.median(values)), digits) if values else None


def _number(value: float, digits: int) -> float | None:
    return round(value, digits) if np.isfinite(value) else None
