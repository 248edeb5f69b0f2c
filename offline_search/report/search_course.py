# SPDX-License-Identifier: Apache-2.0
"""Sections on how a search went: its curves, its gates, or the candidates that it tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from offline_search.report.gate_map import Panel, draw_gates, draw_genes, greatest
from offline_search.report.page import Block, Chart, Charts, Drawing, Section
from offline_search.report.quantities import amount
from offline_search.report.search_record import Columns, SearchRecord
from offline_search.report.svg import Axis, Band, Series, line_chart
from offline_search.space.architecture import Architecture
from offline_search.space.fabric_architecture import FabricArchitecture
from offline_search.space.search_space import describe_choice
from offline_search.space.temporal_space import NONE

_PROGRESS: Final = Axis("share of the search, %", 0.0, 100.0)
# Losses of single batches are noise; their mean over this share of the search is not.
_SMOOTHED_SHARE: Final = 0.04


def course(record: SearchRecord) -> Section | None:
    """Cost, losses, entropy and temperature over the search."""
    trace = record.trace
    if not trace.get("spent"):
        return None
    spent = [100 * value for value in trace["spent"]]
    charts = [
        *_cost(trace, spent, record.outcome),
        *_weight_of_cost(trace, spent),
        *_losses(trace, spent),
        *_decision(trace, spent),
        *_samples(trace, spent),
    ]
    text = (
        "Weights learn on one part of the data, gates on another, held-out part; both losses are "
        "of the networks that the gates drew at that moment. The expected cost counts each "
        "operator by the probability of its gate; the discrete one is that of the network which "
        "the gates would give if the search ended there."
    )
    told = record.outcome.get("course_text", text)
    return Section("course", "How the search went", told, [Charts(charts)])


def _cost(trace: Columns, spent: Sequence[float], outcome: Mapping[str, Any]) -> list[Chart]:
    curves = [(name, trace[name]) for name in ("expected", "discrete") if name in trace]
    if not curves or "budget" not in trace:
        return []
    budget, budgets = outcome["budget"], np.asarray(trace["budget"])
    low = budget["low"]
    drawing = line_chart(
        [
            Series(name, spent, np.asarray(values) / budgets, tone)
            for tone, (name, values) in enumerate(curves)
        ],
        x=_PROGRESS,
        y=Axis("cost / budget", 0.0),
        bands=[Band(low, 1.0, "budget")],
        description="expected and discrete cost over the search, in units of the budget",
    )
    value, unit = amount(budget["amount"], budget["unit"])
    caption = f"The band is {low:g} to 1 of the budget, {value} {unit}."
    legend = [(name, tone) for tone, (name, _) in enumerate(curves)]
    return [Chart("Cost", drawing, caption, legend)]


def _weight_of_cost(trace: Columns, spent: Sequence[float]) -> list[Chart]:
    if "lambda" not in trace:
        return []
    drawing = line_chart(
        [Series("lambda", spent, trace["lambda"], 3)],
        x=_PROGRESS,
        y=Axis("λ", 0.0),
        description="the weight of the cost over the search",
    )
    caption = "λ, by which cost beyond the budget is added to the loss: it rises while too dear."
    return [Chart("Weight of the cost", drawing, caption)]


def _losses(trace: Columns, spent: Sequence[float]) -> list[Chart]:
    named = (("loss_train", "training part"), ("loss_held_out", "held-out part"))
    curves = [(label, trace[name]) for name, label in named if name in trace]
    if not curves:
        return []
    raw = [Series(label, spent, values, tone, "faint") for tone, (label, values) in _each(curves)]
    smooth = [
        Series(label, spent, _smoothed(values), tone) for tone, (label, values) in _each(curves)
    ]
    drawing = line_chart(
        [*raw, *smooth],
        x=_PROGRESS,
        y=Axis("loss"),
        description="losses on the training and the held-out part over the search",
    )
    legend = [(label, tone) for tone, (label, _) in _each(curves)]
    return [Chart("Losses", drawing, "Faint: as logged; strong: running means.", legend)]


def _each(curves: Sequence[tuple[str, Sequence[float]]]) -> list[tuple[int, tuple[str, Any]]]:
    return list(enumerate(curves))


def _smoothed(values: Sequence[float]) -> list[float]:
    """Means over a window about each value; NaN where there is none in it."""
    array = np.asarray(values, np.float64)
    reach = max(1, round(_SMOOTHED_SHARE * len(array) / 2))
    known, filled = np.isfinite(array), np.nan_to_num(array, posinf=0.0, neginf=0.0)
    window = np.ones(2 * reach + 1)
    sums = np.convolve(filled * known, window, "full")[reach:-reach]
    counts = np.convolve(known.astype(np.float64), window, "full")[reach:-reach]
    with np.errstate(invalid="ignore"):
        return [float(value) for value in sums / counts]


def _decision(trace: Columns, spent: Sequence[float]) -> list[Chart]:
    curves, legend = [], []
    if "entropy" in trace:
        curves.append(Series("entropy", spent, trace["entropy"], 0))
        legend.append(("entropy, bits a gate", 0))
    caption = "A gate of 1 bit is undecided, one of 0 bits is decided."
    if "tau" in trace and np.isfinite(trace["tau"]).any():
        tau = np.asarray(trace["tau"])
        known = tau[np.isfinite(tau)]  # the weights' warm-up has none
        first, last, largest = known[0], known[-1], float(known.max())
        curves.append(Series("tau", spent, tau / largest, 1))
        legend.append((f"temperature τ / {largest:.3g}", 1))
        caption += f" τ goes from {first:.3g} to {last:.3g}."
    if not curves:
        return []
    drawing = line_chart(
        curves,
        x=_PROGRESS,
        y=Axis("bits, share", 0.0, 1.0),
        description="entropy of the gates and temperature over the search",
    )
    return [Chart("Decision", drawing, caption, legend)]


def _samples(trace: Columns, spent: Sequence[float]) -> list[Chart]:
    if "samples" not in trace or "nats" not in trace:
        return []
    drawing = line_chart(
        [Series("networks", spent, trace["samples"], 0), Series("nats", spent, trace["nats"], 1)],
        x=_PROGRESS,
        y=Axis("networks, nats", 0.0),
        description="networks sampled for a step, and the distribution's entropy over the search",
    )
    legend = [("networks for a step", 0), ("entropy of the distribution, nats", 1)]
    return [Chart("Samples", drawing, "Few suffice where little is undecided.", legend)]


def gates(record: SearchRecord) -> Section | None:
    """The heat maps of gates and of choices of structure."""
    if not record.gates or not record.gates["times"]:
        return None
    times, found = record.gates["times"], record.architecture
    operators = [
        Panel(
            _slot_title(found, slot),
            slot["candidates"],
            [time["gates"][index] for time in times],
            _kept(found, slot),
            _group_title(found, slot),
        )
        for index, slot in enumerate(record.gates["slots"])
    ]
    chosen = _choices(found)
    structure = [
        Panel(
            _gene_title(gene["name"]),
            gene["choices"],
            [time["genes"][index] for time in times],
            [chosen[gene["name"]]],
        )
        for index, gene in enumerate(record.gates["genes"])
        if len(gene["choices"]) > 1
    ]
    single = (record.outcome.get("settings") or {}).get("gate") == "single"
    start, end = (f"{times[index]['spent']:.0%}" for index in (0, -1))
    caption = (
        f"A panel is a layer, a row an operator; time runs to the right, from {start} to {end} "
        f"of the search. The darker, the likelier: the darkest is {greatest(operators):.2f}. A dot "
        "marks what is in the network found."
    )
    blocks: list[Block] = [Drawing("Operators", draw_gates(operators), caption)]
    if structure:
        caption = "The darker, the likelier; the rows of a panel add up to 1."
        blocks.append(Drawing("Structure", draw_genes(structure), caption))
    text = (
        "The operators of a layer compete for one place; so do the choices of structure."
        if single
        else "Every operator of every layer has a gate of its own, so a layer may keep several; "
        "the choices of structure keep one each."
    )
    told = record.outcome.get("gates_text", text)
    return Section("gates", "What the gates did", told, blocks)


def _gene_title(name: str) -> str:
    """`width_0` as people count stages; others as they are."""
    kind, _, number = name.partition("_")
    return f"width, stage {int(number) + 1}" if number.isdigit() else f"{kind} {number}".strip()


def _choices(found: Architecture) -> dict[str, str]:
    """What the network has of each gene, as spaces name them."""
    widths = {f"width_{index}": str(stage.width) for index, stage in enumerate(found.stages)}
    return {
        "input_size": describe_choice(found.input_size[0]),
        "stem": describe_choice((found.stem_width, found.stem_out)),
        "head": describe_choice(found.head),
        "neck": describe_choice(found.head.neck),
        "keypoints": describe_choice(found.head.outputs),
        **widths,
    }


def _slot_title(found: Architecture, slot: Mapping[str, Any]) -> str:
    """Fabrics have two slots a cell, its connections, then its operations; temporal cells lags."""
    if slot["candidates"][0] == NONE:
        return f"lag {slot['layer']}"
    if isinstance(found, FabricArchitecture):
        return f"cell {slot['layer'] // 2 + 1}"
    return f"layer {slot['layer'] + 1}"


def _group_title(found: Architecture, slot: Mapping[str, Any]) -> str:
    if slot["candidates"][0] == NONE:
        return "cell"
    if isinstance(found, FabricArchitecture):
        return found.fabric.parts[int(slot["stage"])].name
    return f"stage {slot['stage'] + 1}"


def _kept(found: Architecture, slot: Mapping[str, Any]) -> Sequence[str]:
    stage, layer = int(slot["stage"]), int(slot["layer"])
    if slot["candidates"][0] == NONE:
        edges = () if found.cell is None else found.cell.edges
        return next((edge.operators for edge in edges if edge.lag == layer), (NONE,))
    if isinstance(found, FabricArchitecture):
        cell = found.fabric.parts[stage].cells[layer // 2]
        return cell.operations if layer % 2 else cell.connections
    if stage < len(found.stages) and layer < len(found.stages[stage].layers):
        return found.stages[stage].layers[layer]
    return ()


def trials(record: SearchRecord) -> Section | None:
    """The candidates that a strategy without gates has tried, in their order."""
    rows = record.outcome.get("trials") or []
    if not rows:
        return None
    numbers = list(range(1, len(rows) + 1))
    losses = np.array([row["score"] for row in rows], np.float64)
    budget = record.outcome["budget"]
    along = Axis("trial", 0.0, len(rows) + 1.0)
    score = line_chart(
        [
            Series("best so far", numbers, np.fmin.accumulate(losses), 1),
            Series("trial", numbers, losses, 0, "dots"),
        ],
        x=along,
        y=Axis(f"held-out {record.judged_by}"),
        description=f"{record.judged_by} of each trial, and the best so far",
    )
    cost = line_chart(
        [Series("MMACs", numbers, [row["macs"] / 1e6 for row in rows], 0, "dots")],
        x=along,
        y=Axis("MMACs", 0.0),
        bands=[Band(budget["low"] * budget["amount"] / 1e6, budget["amount"] / 1e6, "budget")]
        if budget["unit"] == "MACs"
        else [],
        description="cost of each trial",
    )
    legend = [("trial", 0), ("best so far", 1)]
    charts = [
        Chart(
            record.judged_by.capitalize(),
            score,
            "Of each candidate after its brief training.",
            legend,
        ),
        Chart("Cost", cost, "Of each candidate."),
    ]
    drawn = (
        f"{len(rows)} candidates were drawn at random and trained briefly from scratch; the one of "
        "the least loss was kept."
    )
    text = record.outcome.get("trials_text", drawn)
    return Section("trials", "What was tried", text, [Charts(charts)])
