# SPDX-License-Identifier: Apache-2.0
"""Sections on what a found network is worth: beside others, and against what was foretold of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from offline_search.report.learned import training_charts
from offline_search.report.page import Block, Chart, Charts, Section, Table
from offline_search.report.quantities import decimal
from offline_search.report.scatter import Mark, front, scatter
from offline_search.report.search_record import SearchRecord
from offline_search.report.svg import Axis, Rule

_SCORE: Final = "area under recall of ADD (0 to 0.1 d)"
_FIGURES: Final = {
    "add01": ("ADD below 0.1 d", 3),
    "adds01": ("ADD-S below 0.1 d", 3),
    "add_auc": (_SCORE, 3),
    "rotation_deg": ("rotation, median, degrees", 2),
    "depth_percent": ("depth, median, %", 2),
    "keypoint_px": ("keypoints, median, px", 2),
    "solved": ("share with a pose", 3),
}


def pareto(record: SearchRecord, baselines: Sequence[Mapping[str, Any]]) -> Section | None:
    """Score over MACs of this network, of the ranking's candidates and of other methods."""
    outcome, result = record.outcome, record.retraining
    candidates = _candidates(record)
    others = [row for row in baselines if row["object"] == outcome["object"]]
    groups = _by_method(others)
    marks = [_candidate(row) for row in candidates] + [mark for group in groups for mark in group]
    legend = [("candidates of the ranking", 0)] if candidates else []
    legend += [("other methods", 2)] if others else []
    if result:
        macs, score = outcome["macs"] / 1e6, result["metrics"]["add_auc"]
        tip = f"this network: {macs:.2f} MMACs, {score:.4f}"
        marks.append(Mark(macs, score, tip, "this network", 1, "star"))
        legend.insert(0, ("this network", 1))
    if not marks:
        return None
    budget = outcome["budget"]
    rules = [Rule(budget["amount"] / 1e6, "budget")] if budget["unit"] == "MACs" else []
    drawing = scatter(
        marks,
        x=_wide([mark.x for mark in marks] + [rule.value for rule in rules], "MMACs"),
        y=_range([v for mark in marks for v in (mark.y, *(mark.spread or ()))], _SCORE),
        steps=front([(mark.x, mark.y) for mark in marks]),
        chains=[[(mark.x, mark.y) for mark in group] for group in groups],
        rules=rules,
        width=1040,
        height=360,
        description="score over MACs of this network and of others",
    )
    caption = "Dashed: the front, which no other point beats in both."
    if others:
        caption += " Other methods: means over their seeds, with the range."
    if candidates:
        images = outcome["ranking"].get("images")
        briefly = f" on {images:,} images each" if images else ""
        caption += f" The ranking's candidates are trained only briefly{briefly}."
    chart = Chart("Score over cost", drawing, caption, legend)
    return Section("front", "Accuracy for its cost", "", [Charts([chart])])


def _candidates(record: SearchRecord) -> list[Mapping[str, Any]]:
    return list((record.outcome.get("ranking") or {}).get("candidates", []))


def _candidate(row: Mapping[str, Any]) -> Mark:
    macs, score = row["macs"] / 1e6, row["add_auc"]
    return Mark(macs, score, f"candidate of the ranking: {macs:.2f} MMACs, {score:.4f}")


def _by_method(rows: Sequence[Mapping[str, Any]]) -> list[list[Mark]]:
    """For each method its points, one a budget; the dearest has the label."""
    runs: dict[str, dict[float, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.get("add_auc") is not None:
            runs[row["method"]][row["budget_macs"]].append(row)
    groups = []
    for method, budgets in runs.items():
        group = []
        for _, seeds in sorted(budgets.items()):
            scores = [float(row["add_auc"]) for row in seeds]
            macs, score = np.mean([row["macs"] for row in seeds]) / 1e6, float(np.mean(scores))
            tip = f"{method}: {macs:.2f} MMACs, {score:.4f} ({len(seeds)} seeds)"
            spread = (min(scores), max(scores)) if len(seeds) > 1 else None
            group.append(Mark(float(macs), score, tip, "", 2, "ring", spread))
        last = group[-1]
        group[-1] = Mark(last.x, last.y, last.tip, method, last.tone, last.shape, last.spread)
        groups.append(group)
    return groups


def ranking(record: SearchRecord) -> Section | None:
    """The search's estimates of candidates against what a brief training makes of them."""
    candidates = sorted(_candidates(record), key=lambda row: row["trained"])
    if not candidates:
        return None
    measure = record.judged_by
    names = [chr(ord("A") + place) if place < 26 else "" for place in range(len(candidates))]
    drawing = scatter(
        [_estimate(row, name, record) for row, name in zip(candidates, names, strict=True)],
        x=_range([row["estimate"] for row in candidates], "the search's estimate"),
        y=_range([row["trained"] for row in candidates], f"{measure} after training"),
        description=f"{measure} that the search expected and {measure} after a brief training",
    )
    rows = [
        [
            f"{name}, the network found" if _is_found(row, record) else name,
            f"{row['macs'] / 1e6:.2f}",
            f"{row['params'] / 1e3:,.0f}",
            f"{row['estimate']:.4f}",
            f"{row['trained']:.4f}",
            f"{row['add_auc']:.4f}",
        ]
        for row, name in zip(candidates, names, strict=True)
    ]
    columns = ("candidate", "MMACs", "thousand parameters", "estimate", "after training", "ADD AUC")
    tau = record.outcome["ranking"].get("kendall_tau")
    agreement = "not defined" if tau is None else f"{tau:.2f}"
    text = (
        "The network found and some others of the space were each trained briefly "
        f"{_start(record)}. "
        f"Their held-out {'losses' if measure == 'loss' else measure + 's'} then, lower being "
        "better, stand against what the search expected. "
        "Kendall's τ is 1 where both give the same order and 0 where they have nothing in common; "
        f"here it is {agreement}, of {len(candidates)} networks."
    )
    chart = Chart("Estimate and outcome", drawing, "Letters as in the table below.")
    blocks: list[Block] = [Charts([chart]), Table(columns, rows)]
    return Section("ranking", "What the search foretold", text, blocks)


def _is_found(row: Mapping[str, Any], record: SearchRecord) -> bool:
    return bool(row["architecture"] == record.outcome["architecture"])


def _estimate(row: Mapping[str, Any], name: str, record: SearchRecord) -> Mark:
    macs, estimate, trained = row["macs"] / 1e6, row["estimate"], row["trained"]
    tip = f"{macs:.2f} MMACs: {estimate:.4f} expected, {trained:.4f} after training"
    if _is_found(row, record):
        return Mark(estimate, trained, tip, f"{name}, found", 1, "star")
    return Mark(estimate, trained, tip, name)


def retraining(record: SearchRecord) -> Section | None:
    """The course of the retraining, and its figures."""
    if not record.retraining:
        return None
    metrics = record.retraining["metrics"]
    rows = [
        [label, decimal(metrics[key], digits)]
        for key, (label, digits) in _FIGURES.items()
        if key in metrics
    ]
    blocks: list[Block] = []
    charts = training_charts("Retraining", record.course)
    if charts:
        blocks.append(Charts(charts))
    blocks.append(Table(("figure", "value"), rows, "Held-out figures"))
    start = _start(record)
    text = f"The weights of the search are thrown away: the network found is trained {start}."
    return Section("retraining", "The network by itself", text, blocks)


def _start(record: SearchRecord) -> str:
    """Where the trainings' weights come from."""
    seed = record.outcome.get("seed_network")
    return "from scratch" if seed is None else f"from the weights of the seed network {seed}"


def _wide(values: Sequence[float], label: str) -> Axis:
    """A logarithmic axis with some room left of its values, and right of them room for names."""
    low, high = min(values), max(values)
    reach = max(high / low, 1.5)
    return Axis(label, low / reach**0.05, high * reach**0.2, log=True)


def _range(values: Sequence[float], label: str) -> Axis:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05
    return Axis(label, low - room, high + room)
