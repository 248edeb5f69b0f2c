# SPDX-License-Identifier: Apache-2.0
"""Sections on what was measured in a run: accuracy against ground truth, and latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from offline_search.metrics.recall import ADD_THRESHOLD
from offline_search.report.judgement import MIN_VISIBLE, Judged
from offline_search.report.page import Chart, Charts, Section, Table
from offline_search.report.recording import STAGES, Answer
from offline_search.report.svg import Axis, Rule, Series, histogram, line_chart, number

#: What the project promises of the node on one core.
LATENCY_GOAL_MS: Final = 25.0
_ADD_LOW, _ADD_HIGH = 0.003, 3.0


def accuracy(run_frames: Sequence[Judged]) -> Section:
    """Errors over time and their distribution."""
    frames = [frame for frame in run_frames if frame.counts]
    time = [frame.time_s for frame in frames]
    seconds = Axis("time, s", 0.0, max(time, default=1.0))
    # A miss has no finite error: it stands at the top edge.
    add = [min(frame.add_d, _ADD_HIGH) for frame in frames]
    right = [value if value < ADD_THRESHOLD else np.nan for value in add]
    wrong = [value if value >= ADD_THRESHOLD else np.nan for value in add]
    posed = [frame for frame in frames if frame.pose is not None]
    rotations = [frame.rotation_deg for frame in posed]
    translations = [frame.translation_mm for frame in posed]
    goal = [Rule(ADD_THRESHOLD, f"{ADD_THRESHOLD:g} d")]
    over_time = Charts(
        [
            Chart(
                "Error over time",
                line_chart(
                    [
                        Series("right", time, right, 0, "dots"),
                        Series("wrong", time, wrong, 1, "dots"),
                    ],
                    x=seconds,
                    y=Axis("ADD / diameter", _ADD_LOW, _ADD_HIGH, log=True),
                    rules=goal,
                    description="ADD over the diameter for each frame",
                ),
                "One dot a frame; misses stand at the top edge.",
                [("right", 0), ("wrong or missed", 1)],
            ),
            Chart(
                "In sight",
                line_chart(
                    [
                        Series(
                            "visible",
                            [frame.time_s for frame in run_frames],
                            [frame.visible * 100 for frame in run_frames],
                            2,
                        )
                    ],
                    x=seconds,
                    y=Axis("share of the object, %", 0.0, 105.0),
                    rules=[Rule(MIN_VISIBLE * 100, "scored above")],
                    description="share of the object that is neither hidden nor outside the image",
                ),
                "How much of the object is inside the image and behind nothing.",
            ),
            _error_histogram("Rotation error", rotations, "degrees", 0),
            _error_histogram("Translation error", translations, "mm", 0),
        ]
    )
    return Section(
        "accuracy",
        "Accuracy against ground truth",
        "The scene is rendered, so the true pose of every frame is known exactly.",
        [over_time],
    )


def _error_histogram(heading: str, values: Sequence[float], unit: str, tone: int) -> Chart:
    if not values:
        empty = histogram([], x=Axis(unit, 0, 1), description=heading)
        return Chart(heading, empty, "No pose was found.")
    high = max(float(np.percentile(values, 95)) * 1.25, 1e-3)
    median = float(np.median(values))
    drawing = histogram(
        values,
        x=Axis(unit, 0.0, high),
        rules=[Rule(median, f"median {number(median)}")],
        description=f"{heading}: histogram over frames",
        tone=tone,
    )
    beyond = sum(value > high for value in values)
    caption = f"{beyond} larger errors are counted in the last bar." if beyond else ""
    return Chart(heading, drawing, caption)


def latency(answers: Sequence[Answer]) -> Section:
    """Times of all answers, end to end and by stage."""
    if not answers:
        return Section("latency", "Latency", "The node answered nothing.")
    end_to_end = [answer.latency_ms for answer in answers]
    inside = [answer.times_ms["total"] for answer in answers]
    high = max(float(np.percentile(end_to_end, 99.5)) * 1.1, LATENCY_GOAL_MS)
    rows = []
    for name, values in [
        *((stage, [a.times_ms[stage] for a in answers]) for stage in STAGES),
        ("end to end", end_to_end),
    ]:
        p50, p99 = np.percentile(values, [50, 99])
        rows.append([name, f"{p50:.2f}", f"{p99:.2f}", f"{max(values):.2f}"])
    charts = Charts(
        [
            Chart(
                "End to end",
                histogram(
                    end_to_end,
                    x=Axis("ms", 0.0, high),
                    rules=[
                        Rule(float(np.percentile(end_to_end, 50)), "median"),
                        Rule(float(np.percentile(end_to_end, 99)), "99 %"),
                        Rule(LATENCY_GOAL_MS, "goal"),
                    ],
                    description="latency from camera stamp to received pose",
                ),
                "From the camera's stamp, taken before the image is published, to the pose in the "
                "recorder.",
            ),
            Chart(
                "Inside the node",
                histogram(
                    inside,
                    x=Axis("ms", 0.0, max(float(np.percentile(inside, 99.5)) * 1.1, 1.0)),
                    rules=[Rule(float(np.percentile(inside, 50)), "median")],
                    description="time from the image's arrival in the node to its poses",
                    tone=2,
                ),
                "From the image's arrival in the node's callback to its poses.",
            ),
        ]
    )
    table = Table(
        ("stage", "median, ms", "99 %, ms", "longest, ms"),
        rows,
        "By stage",
        "As the node reports them in each message; total is from arrival to poses.",
    )
    text = "Both are wall-clock times of every answered frame, the first ones included."
    return Section("latency", "Latency", text, [charts, table])
