# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/node.py measured, as tables: figures beside their goals, and stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SHIPPED, _LARGE, _LOCATED = "", "_300", "_every_frame_located"
#: What is shown of each of the three runs: heading, key, how to print it.
_RUNS: Final = (
    ("pose MMACs", "pose_macs", "mega"),
    ("bare, ms", "bare_ms_p50", "{:.2f}"),
    ("bare at 30 Hz, ms", "bare_paced_ms_p50", "{:.2f}"),
    ("node p50, ms", "node_ms_p50", "{:.2f}"),
    ("node p99, ms", "node_ms_p99", "{:.2f}"),
    ("node / bare", "overhead_ratio", "{:.2f}"),
    ("node / bare at 30 Hz", "overhead_ratio_paced", "{:.2f}"),
    ("camera to pose p50, ms", "latency_ms_p50", "{:.1f}"),
    ("p99, ms", "latency_ms_p99", "{:.1f}"),
    ("CPU, %", "cpu_percent", "{:.0f}"),
    ("RSS, MB", "rss_mb", "{:.0f}"),
    ("answered", "answered_share", "{:.3f}"),
    ("with a pose", "with_pose_share", "{:.3f}"),
    ("camera, Hz", "camera_hz", "{:.1f}"),
)
_NAMES: Final = {
    _SHIPPED: "shipped",
    _LARGE: "shipped, with ballast",
    _LOCATED: "shipped, located in every frame",
}
#: Figure, key, how to print it, goal.
_GOALS: Final = (
    ("node / bare inference, 40 MMACs", "overhead_ratio", "{:.2f}", "<= 2.2"),
    ("node / bare inference, 300 MMACs", "overhead_ratio_300", "{:.2f}", "<= 1.3"),
    ("node p99, ms", "node_ms_p99", "{:.2f}", "<= 8"),
    ("frames lost, best effort", "lost_best_effort", "{:d}", "0"),
    ("... of", "sent_best_effort", "{:,d}", ""),
    ("frames lost, reliable", "lost_reliable", "{:d}", "0"),
    ("... of", "sent_reliable", "{:,d}", ""),
    ("four objects, answers a second", "four_objects_hz", "{:.1f}", "30"),
    ("four objects, found in a frame", "four_objects_found_mean", "{:.2f}", "4"),
    ("four objects, node p99, ms", "four_objects_ms_p99", "{:.1f}", "<= 33"),
    ("start to first pose, s", "start_seconds", "{:.2f}", "<= 3"),
)
_MISSING: Final = "-"


def lines(document: Mapping[str, Any]) -> list[str]:
    """Markdown lines of the whole section."""
    return [
        *_table(["figure", "measured", "goal"], _goals(document)),
        "",
        *_table(["run", *(heading for heading, _, _ in _RUNS)], _runs(document)),
        "",
        "Stages, p50 / p99 in ms; a stage counts where it was needed:",
        "",
        *_stages(document),
        "",
        "| section | date | machine | the node is | load before | command |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {of['date']} | {of['machine']} | {of['node']} | {of['load_before']} "
            f"| `{of['command']} --only {name}` |"
            for name, of in document["measured"].items()
        ),
    ]


def _goals(document: Mapping[str, Any]) -> list[list[str]]:
    return [[what, _cell(document.get(key), form), goal] for what, key, form, goal in _GOALS]


def _runs(document: Mapping[str, Any]) -> list[list[str]]:
    return [
        [name, *(_cell(document.get(f"{key}{run}"), form) for _, key, form in _RUNS)]
        for run, name in _NAMES.items()
    ]


def _stages(document: Mapping[str, Any]) -> list[str]:
    runs = {name: document.get(f"stages{run}", {}) for run, name in _NAMES.items()}
    stages = list(dict.fromkeys(stage for of in runs.values() for stage in of))
    rows = [[name, *(_stage(of.get(stage)) for stage in stages)] for name, of in runs.items()]
    return _table(["run", *stages], rows)


def _stage(times: Mapping[str, float] | None) -> str:
    return _MISSING if times is None else f"{times['p50']:.2f} / {times['p99']:.2f}"


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(headings) + " |",
        "| " + " | ".join("---" for _ in headings) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _cell(value: Any, form: str) -> str:
    if value is None:
        return _MISSING
    return f"{value / 1e6:.1f}" if form == "mega" else form.format(value)
