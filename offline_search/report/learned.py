# SPDX-License-Identifier: Apache-2.0
"""Sections on what a bundle is: how its networks were found and trained, and what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from fpg_pose_ros.bundle import Bundle
from offline_search.report import network
from offline_search.report.architecture_drawing import CAPTION, draw_architecture
from offline_search.report.page import Block, Chart, Charts, Drawing, Section, Table
from offline_search.report.quantities import amount
from offline_search.report.svg import Axis, Series, line_chart
from offline_search.space.architecture import Architecture

#: Validation figures that are shares, and what they are called.
_SHARES: Final = {
    "add01": "ADD below 0.1 d",
    "adds01": "ADD-S below 0.1 d",
    "add_auc": "area under recall of ADD",
    "found": "objects found",
    "iou": "overlap of boxes",
}


def networks(bundle: Bundle) -> Section:
    """Every network, drawn."""
    architecture = bundle.manifest.get("architecture", {})
    blocks: list[Block] = []
    poses = architecture.get("pose", {})
    drawn = [(f"Pose network of {name}", value) for name, value in poses.items()]
    if "locator" in architecture:
        drawn.append(("Locator", architecture["locator"]))
    specs = {
        **{f"Pose network of {o.model.name}": o.network for o in bundle.objects},
        "Locator": bundle.locator,
    }
    for heading, value in drawn:
        spec = specs[heading]
        caption = (
            f"{spec.macs / 1e6:.1f} MMACs, {spec.params / 1e3:,.0f} thousand parameters, "
            f"input {spec.input_size[1]}×{spec.input_size[0]}."
        )
        blocks.append(_drawing(heading, value, caption))
    text = (
        "The locator looks at the whole frame and says where the object is; the pose network looks "
        "at that place, closer, and finds the object's keypoints. A strip is a layer; the larger "
        "its feature map, the taller."
    )
    return Section("networks", "The networks", text, blocks)


def _drawing(heading: str, architecture: Mapping[str, Any], caption: str) -> Drawing:
    """A strip a layer, or boxes side by side where operators are."""
    stages = architecture["stages"]
    if all(len(names) == 1 for stage in stages for names in stage["layers"]):
        return Drawing(heading, network.draw(architecture), caption)
    boxes = draw_architecture(Architecture.from_json(architecture))
    return Drawing(heading, boxes, f"{caption} {CAPTION}")


def searches(bundle: Bundle) -> Section | None:
    """How its pose networks were found; None where they were given."""
    noted = bundle.manifest.get("training", {}).get("searches", {})
    if not noted:
        return None
    text = (
        "The pose network was not drawn by hand. A search chose its operators, widths, input and "
        "head from a space of many, within a budget; what it found was then trained from scratch. "
        "Its course is told by report.html in the search's own folder."
    )
    tables = [
        Table(("fact", "value"), _search_facts(facts), f"Pose network of {name}")
        for name, facts in noted.items()
    ]
    return Section("search", "The search", text, tables)


def _search_facts(facts: Mapping[str, Any]) -> list[list[str]]:
    budget, unit = amount(facts["budget"]["amount"], "MACs")
    macs, _ = amount(facts["macs"], "MACs")
    share = facts["macs"] / facts["budget"]["amount"]
    several, layers = facts["layers_with_several"], facts["layers"]
    rows = [
        ["found", f"{macs} {unit}, {share:.1%} of the budget of {budget}"],
        ["layers that keep two or more operators", f"{several} of {layers}"],
        ["space", f"{facts['space']}, 10^{facts['log10_size']:.1f} architectures"],
        ["strategy", f"{facts['strategy']}, after {facts['paper']}"],
        ["minutes", f"{facts['minutes']:.1f}"],
        ["images", f"{facts['images']:,}, counted once for each network that saw them"],
        ["seed", str(facts["seed"])],
    ]
    return rows + ([["outside the budget's band", facts["why"]]] if facts["why"] else [])


def training(bundle: Bundle) -> Section:
    """Loss and validation of every training, as the manifest has them."""
    noted = bundle.manifest.get("training", {})
    charts = []
    for name, course in noted.get("curves", {}).items():
        charts += training_charts(name, course)
    if not charts:
        return Section("training", "Training", "The bundle's manifest holds no training curves.")
    minutes = noted.get("minutes_by_network", {})
    spent = ", ".join(f"{name} {value:.1f} min" for name, value in minutes.items())
    text = (
        f"From scratch, on {noted.get('data', 'synthetic images')}. Wall time: {spent}. "
        "Validation is on samples that training never saw."
    )
    return Section("training", "Training", text, [Charts(charts)])


def training_charts(name: str, course: Mapping[str, Any]) -> list[Chart]:
    """Loss and validation over images.

    Args:
        name: of the network.
        course: columns of numbers by kind of row (`train`, `validation`), each with `images`.
    """
    rows, checks = course.get("train", {}), _one_of_each(course.get("validation", {}))
    thousand = Axis("thousand images", 0.0, None)
    charts = []
    if rows.get("loss"):
        drawing = line_chart(
            [Series("loss", np.asarray(rows["images"]) / 1e3, rows["loss"], 0)],
            x=thousand,
            y=Axis("loss", 0.0),
            description=f"training loss of {name}",
        )
        charts.append(Chart(f"{name}: loss", drawing))
    shares = [(key, label) for key, label in _SHARES.items() if key in checks]
    if shares:
        drawing = line_chart(
            [
                Series(key, np.asarray(checks["images"]) / 1e3, checks[key], tone)
                for tone, (key, _) in enumerate(shares)
            ],
            x=thousand,
            y=Axis("share", 0.0, 1.0),
            description=f"validation of {name}",
        )
        legend = [(label, tone) for tone, (_, label) in enumerate(shares)]
        charts.append(Chart(f"{name}: validation", drawing, legend=legend))
    return charts


def _one_of_each(checks: Mapping[str, Any]) -> Mapping[str, Any]:
    """Validations without those that a later one follows at once: the last, larger one counts."""
    images = checks.get("images", [])
    after = [*images[1:], float("inf")][: len(images)]
    kept = [i for i, (now, then) in enumerate(zip(images, after, strict=True)) if then > 1.02 * now]
    return {key: [values[i] for i in kept] for key, values in checks.items()}
