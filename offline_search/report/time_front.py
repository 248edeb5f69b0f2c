# SPDX-License-Identifier: Apache-2.0
"""The section on a search of two objectives: loss over time, and what no other candidate beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from offline_search.report.page import Chart, Charts, Section
from offline_search.report.scatter import Mark, front, scatter
from offline_search.report.search_record import SearchRecord
from offline_search.report.svg import Axis

_TONES: Final = (0, 2, 3)
_CLOCKS: Final = {
    "network": "each network was measured as a whole",
    "parts": "the measured times of a network's parts were added up",
}


def time_front(record: SearchRecord) -> Section | None:
    """Candidates of a search that weighs time; None for others."""
    rows: Sequence[Mapping[str, Any]] = record.outcome.get("trials") or []
    latency = record.outcome.get("latency")
    if not rows or not latency:
        return None
    tones = dict(zip(dict.fromkeys(row["stage"] for row in rows), _TONES, strict=False))
    marks = [_mark(row, tones[row["stage"]]) for row in rows]
    found = [row for row in rows if row["architecture"] == record.outcome["architecture"]]
    marks += [_mark(row, 1, "this network", "star") for row in found[:1]]
    # A front of scores rises; losses fall.
    steps = [(x, -y) for x, y in front([(mark.x, -mark.y) for mark in marks])]
    measure = record.judged_by
    times, losses = [mark.x for mark in marks], [mark.y for mark in marks]
    drawing = scatter(
        marks,
        x=Axis("ms", min(times) - _room(times), max(times) + _room(times)),
        y=Axis(f"held-out {measure}", min(losses) - _room(losses), max(losses) + _room(losses)),
        steps=steps,
        width=1040,
        height=360,
        description=f"held-out {measure} over time of the candidates",
    )
    text = (
        f"Time is that of ONNX Runtime {latency['runtime_version']} with {latency['threads']} "
        f"thread on {latency['processor']}: {_CLOCKS[latency['of']]}. It is no part of the "
        "search's compute."
    )
    caption = "Dashed: the front, which no other point beats in both."
    legend = [("this network", 1), *tones.items()]
    chart = Chart(f"{measure.capitalize()} over time", drawing, caption, legend)
    return Section("time-front", "What no other candidate beats", text, [Charts([chart])])


def _mark(row: Mapping[str, Any], tone: int, label: str = "", shape: Any = "dot") -> Mark:
    ms, loss = row["ms"], row["score"]
    tip = f"{label or row['stage']}: {ms:.3f} ms, {loss:.4f}, {row['macs'] / 1e6:.2f} MMACs"
    return Mark(ms, loss, tip, label, tone, shape)


def _room(values: Sequence[float]) -> float:
    return 0.08 * (max(values) - min(values)) or 0.05
