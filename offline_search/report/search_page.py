# SPDX-License-Identifier: Apache-2.0
"""The report of a search: one page from the files of its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from offline_search.report.architecture_drawing import CAPTION, draw_architecture
from offline_search.report.page import (
    Block,
    Code,
    Drawing,
    Picture,
    Pictures,
    Section,
    Table,
    Tile,
    jpeg_uri,
    render_page,
    write_page,
)
from offline_search.report.pruning_trace import pruning
from offline_search.report.quantities import amount, decimal, share
from offline_search.report.search_course import course, gates, trials
from offline_search.report.search_record import SearchRecord, read_search
from offline_search.report.search_scores import pareto, ranking, retraining
from offline_search.report.time_front import time_front

REPORT_FILE = "report.html"


def write_search_report(out: Path, baselines: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Writes OUT/report.html from what a finished search left in OUT.

    Args:
        out: Folder of the search. Retraining, ranking, gates and examples may be missing.
        baselines: Results of other methods to stand beside: rows with method, macs, add_auc, object
            and budget_macs; those of other objects are left out.

    Returns:
        The page's path.

    Raises:
        SearchRecordError: The folder holds no finished search.
    """
    path = out / REPORT_FILE
    write_page(path, search_report(read_search(out), baselines))
    return path


def search_report(record: SearchRecord, baselines: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page as HTML."""
    outcome = record.outcome
    name = str(outcome["object"]).capitalize()
    cost, unit = amount(outcome["cost"], outcome["budget"]["unit"])
    budget, _ = amount(outcome["budget"]["amount"], outcome["budget"]["unit"])
    sections = [
        _poses(record),
        _network(record),
        course(record),
        gates(record),
        pruning(record),
        trials(record),
        time_front(record),
        pareto(record, baselines),
        ranking(record),
        retraining(record),
        _made(record),
    ]
    return render_page(
        kind="search report",
        title=f"{name}: a network of {cost}\u00a0{unit} for a budget of {budget}",
        lead=_lead(record),
        tiles=_tiles(record),
        sections=[section for section in sections if section is not None],
        footer=f"Architecture {record.architecture.digest}.",
    )


def _lead(record: SearchRecord) -> str:
    outcome = record.outcome
    lead = (
        f"Strategy {outcome['strategy']} searched the space {outcome['space']}, "
        f"10^{outcome['log10_size']:.1f} architectures, seed {outcome['seed']}. "
    )
    layers, several = outcome.get("layers"), outcome.get("layers_with_several")
    if layers and several is not None:
        lead += f"Two or more operators share a layer in {several} of {layers} layers. "
    if not outcome["within_budget"]:
        lead += f"The network is not within the budget: {outcome.get('why')}. "
    if record.retraining is None:
        lead += "It is not retrained yet, so nothing is known of its accuracy."
    return lead.strip()


def _tiles(record: SearchRecord) -> list[Tile]:
    outcome, result = record.outcome, record.retraining or {}
    budget, minutes = outcome["budget"], outcome.get("minutes", {})
    cost, unit = amount(outcome["cost"], budget["unit"])
    most, _ = amount(budget["amount"], budget["unit"])
    figures = result.get("metrics", {})
    counted = "" if budget["unit"] == "MACs" else f"{outcome['macs'] / 1e6:.2f} MMACs, "
    within = bool(outcome["within_budget"])
    ratio = outcome["cost"] / budget["amount"]
    retrained, searched = minutes.get("retrain"), minutes.get("search")
    return [
        Tile(
            "Latency" if budget["unit"] == "ms" else "Cost",
            cost,
            unit,
            f"{ratio:.1%} of the budget of {most} {unit}"
            + ("" if within else "; outside the band"),
            "good" if within else "bad",
        ),
        Tile(
            "Parameters",
            f"{outcome['params'] / 1e3:,.0f}",
            "thousand",
            f"{counted}head included; FLOPs are twice the MACs",
        ),
        Tile(
            "Poses right",
            share(figures.get("add01")),
            "%" if "add01" in figures else "",
            "ADD below 0.1 d, after retraining",
        ),
        Tile(
            "ADD AUC",
            decimal(figures.get("add_auc"), 3),
            "",
            "area under recall of ADD, 0 to 0.1 d, after retraining",
        ),
        Tile(
            "Space",
            f"10^{outcome['log10_size']:.1f}",
            "",
            f"architectures in the space {outcome['space']}",
        ),
        Tile(
            "Layers with several",
            decimal(outcome.get("layers_with_several"), 0),
            f"of {outcome.get('layers', '–')}",
            "hold two or more operators, joined by their mean",
        ),
        Tile("Search", decimal(searched, 1), "min", _search_note(searched, retrained)),
        Tile("Retraining", decimal(retrained, 1), "min", _images_note(result.get("images"))),
    ]


def _search_note(searched: float | None, retrained: float | None) -> str:
    if not searched or not retrained:
        return "wall time"
    return f"wall time; {searched / retrained:.2f} of the retraining's"


def _images_note(images: int | None) -> str:
    return "wall time" if images is None else f"wall time, {images:,} images"


def _network(record: SearchRecord) -> Section:
    found = record.architecture
    text = (
        f"Input {found.input_size[1]}×{found.input_size[0]}, total stride {found.stride}, output "
        f"{found.map_size[1]}×{found.map_size[0]} from a {found.head.kind} head."
    )
    drawing = Drawing("From image to output", draw_architecture(found), CAPTION)
    return Section("network", "The network found", text, [drawing])


def _poses(record: SearchRecord) -> Section | None:
    if not record.examples:
        return None
    pictures = [
        Picture(jpeg_uri(example.image), example.heading, example.caption)
        for example in record.examples
    ]
    text = (
        "Held-out crops, as the network sees them. In white the outline of the true pose, in "
        "yellow that of the estimate, with its axes (x red, y green, z blue). They are chosen by "
        "error alone."
    )
    return Section("poses", "What it sees", text, [Pictures(pictures)])


def _made(record: SearchRecord) -> Section:
    outcome = record.outcome
    budget, unit = amount(outcome["budget"]["amount"], outcome["budget"]["unit"])
    run = {
        "strategy": outcome["strategy"],
        "after": outcome.get("paper"),
        "object": outcome["object"],
        "budget": f"{budget} {unit}, from {outcome['budget']['low']:.0%} of it",
        "seed": outcome["seed"],
        "minutes": _listed(outcome.get("minutes")),
        "images": _listed(outcome.get("images")),
        "largest memory": f"{outcome['peak_rss_mb']:,.0f} MB" if "peak_rss_mb" in outcome else None,
    }
    machine = outcome.get("machine") or {}
    if not isinstance(machine, Mapping):
        machine = {"machine": machine}
    tables = [
        ("The run", ("fact", "value"), run),
        ("The strategy's settings", ("field", "value"), outcome.get("settings") or {}),
        ("The request", ("field", "value"), record.request),
        ("The machine", ("part", "what"), machine),
    ]
    blocks: list[Block] = [
        Code(str(outcome.get("command", "not noted")), "This search", "The command that made it.")
    ]
    for heading, columns, facts in tables:
        rows = [[str(key), _shown(value)] for key, value in facts.items() if value is not None]
        if rows:
            blocks.append(Table(columns, rows, heading))
    return Section("made", "How this was made", "", blocks)


def _listed(values: Mapping[str, float] | None) -> str | None:
    if not values:
        return None
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {decimal(value, 1)}"
        for name, value in values.items()
    )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
