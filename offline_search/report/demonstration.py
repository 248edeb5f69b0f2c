# SPDX-License-Identifier: Apache-2.0
"""The demonstration's report: what its figures are and what is shown beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.geometry import Symmetries
from offline_search.metrics.recall import ADD_THRESHOLD
from offline_search.metrics.trust import degrees_of_freedom
from offline_search.report.judgement import MIN_VISIBLE, Judged
from offline_search.report.learned import networks, searches, training
from offline_search.report.measured import LATENCY_GOAL_MS, accuracy, latency
from offline_search.report.page import (
    Block,
    Charts,
    Code,
    Note,
    Picture,
    Pictures,
    Section,
    Table,
    Tile,
    jpeg_uri,
    render_page,
    webp_uri,
)
from offline_search.report.pictures import Gallery
from offline_search.report.recording import Recording
from offline_search.report.trust import honesty


@dataclass(frozen=True, eq=False)
class Run:
    """All that a report is made of.

    Attributes:
        object_name: what was looked for.
        bundle: what it was looked for with.
        recording: what was recorded.
        frames: every frame, judged.
        figures: see `judgement.summary`.
        gallery: annotated images.
        chosen: heading and frame of those to be shown singly.
        command: that made all this.
        machine: that it ran on.
        notes: further facts by name (seed, cores, ...).
    """

    object_name: str
    bundle: Bundle
    recording: Recording
    frames: Sequence[Judged]
    figures: Mapping[str, Any]
    gallery: Gallery
    chosen: Sequence[tuple[str, Judged]]
    command: str
    machine: Mapping[str, str]
    notes: Mapping[str, str]


def report(run: Run) -> str:
    """The page as HTML."""
    figures = run.figures
    counted = int(figures["frames_scored"])
    right = sum(frame.counts and frame.right for frame in run.frames)
    sections = [
        _seen(run),
        accuracy(run.frames),
        honesty(run.frames, degrees_of_freedom(_symmetries(run))),
        latency(list(run.recording.answers.values())),
        searches(run.bundle),
        networks(run.bundle),
        training(run.bundle),
        _made(run),
    ]
    return render_page(
        title=f"{run.object_name.capitalize()}: {right} of {counted} poses right",
        lead=(
            f"A camera node showed {figures['frames_published']} frames of a moving "
            f"{run.object_name} among clutter; a pose node on one processor core answered over "
            "ROS 2, and all of it was recorded. A pose is right when the object's points lie, on "
            f"average, less than {ADD_THRESHOLD:g} of its diameter from where they truly are."
        ),
        tiles=_tiles(figures),
        sections=[section for section in sections if section is not None],
        footer=f"Bundle {run.bundle.name}, SHA-256 of its manifest {run.bundle.hash}.",
    )


def _symmetries(run: Run) -> Symmetries:
    models = [item.model for item in run.bundle.objects]
    return next(model.symmetries for model in models if model.name == run.object_name)


def _tiles(figures: Mapping[str, Any]) -> list[Tile]:
    lost = int(figures["frames_published"]) - int(figures["frames_received"])
    p99 = figures["latency_ms_p99"]
    found = "median error of the poses found"
    return [
        Tile(
            "Poses right",
            _shown(figures["add01"], 100, 1),
            "%",
            f"ADD below {ADD_THRESHOLD:g} d, of the {figures['frames_scored']} frames with at "
            f"least {MIN_VISIBLE:.0%} of the object in sight; misses are failures",
        ),
        Tile("Rotation", _shown(figures["rotation_deg_median"], 1, 2), "°", found),
        Tile("Translation", _shown(figures["translation_mm_median"], 1, 1), "mm", found),
        Tile(
            "Frames answered",
            f"{figures['frames_received']:,}",
            f"of {figures['frames_published']:,}",
            "none lost" if lost <= 0 else f"{lost} did not reach the node",
        ),
        Tile(
            "Latency, median",
            _shown(figures["latency_ms_p50"], 1, 1),
            "ms",
            "camera stamp to pose in another process, image transport included",
        ),
        Tile(
            "Latency, 99th percentile",
            _shown(p99, 1, 1),
            "ms",
            f"the goal is {LATENCY_GOAL_MS:g} ms",
            "" if p99 is None else ("good" if p99 <= LATENCY_GOAL_MS else "bad"),
        ),
        Tile(
            "Inside the node",
            _shown(figures["node_ms_p50"], 1, 1),
            "ms",
            "median from the image's arrival to the poses; 99th percentile "
            f"{_shown(figures['node_ms_p99'], 1, 1)} ms",
        ),
        Tile(
            "Cost of a frame",
            _shown(figures["macs"], 1e-6, 1),
            "MMACs",
            "locator and pose network, one object; FLOPs are twice that",
        ),
    ]


def _seen(run: Run) -> Section:
    stills, clip = run.gallery.stills, run.gallery.clip
    lead = None
    if clip:
        uri = webp_uri(clip, run.gallery.clip_period_s)
        seconds = len(clip) * run.gallery.clip_period_s
        lead = Picture(uri, "In motion", f"{seconds:.0f} seconds from the middle of the run.")
    pictures = [
        Picture(jpeg_uri(stills[frame.stamp_ns]), heading, _caption(frame))
        for heading, frame in run.chosen
        if frame.stamp_ns in stills
    ]
    text = (
        "In yellow the published pose: outline and axes (x red, y green, z blue). In white the "
        "true outline. Pictures are chosen by error alone: the best, those next to the median, "
        "and the worst."
    )
    return Section("seen", "What the node saw", text, [Pictures(pictures, lead)])


def _caption(frame: Judged) -> str:
    if frame.pose is None:
        return f"missed at {frame.time_s:.1f} s, {frame.visible:.0%} in sight"
    return (
        f"ADD {frame.add_d:.3f} d, {frame.rotation_deg:.1f}°, {frame.translation_mm:.1f} mm "
        f"at {frame.time_s:.1f} s, {frame.visible:.0%} in sight"
    )


def _made(run: Run) -> Section:
    trained = run.bundle.manifest.get("training", {})
    facts = [[key, value] for key, value in run.machine.items()]
    notes = [[key, value] for key, value in run.notes.items()]
    counts = [[topic, f"{n:,}"] for topic, n in sorted(run.recording.messages.items())]
    blocks: list[Block] = [
        Code(run.command, "This report", "The command that made it."),
        Code(
            str(trained.get("command", "not noted")), "The bundle", "The command that trained it."
        ),
        Table(("fact", "value"), notes, "The run"),
        Table(("part", "what"), facts, "The machine"),
        Table(("topic", "messages"), counts, "Recorded", "In the MCAP bag beside this page."),
        Note(
            "All of it ran on one machine at the same time: renderer, camera node and recorder "
            "share the cores that the pose node leaves."
        ),
    ]
    return Section("made", "How this was made", "", [b for b in blocks if not _empty(b)])


def _empty(block: Block) -> bool:
    return (isinstance(block, Charts) and not block.charts) or (
        isinstance(block, Table) and not block.rows
    )


def _shown(value: float | None, scale: float, digits: int) -> str:
    return "–" if value is None else f"{value * scale:,.{digits}f}"
