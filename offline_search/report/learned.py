# SPDX-License-Identifier: Apache-2.0
"""Sections on what a bundle is: its networks, and the course of their training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from fpg_pose_ros.bundle import Bundle
from offline_search.report import network
from offline_search.report.page import Block, Chart, Charts, Drawing, Section
from offline_search.report.svg import Axis, Series, line_chart

#: Validation figures that are shares, and what they are called.
_SHARES: Final = {
    "add01": "ADD below 0.1 d",
    "adds01": "ADD-S below 0.1 d",
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
        blocks.append(Drawing(heading, network.draw(value), caption))
    text = (
        "The locator looks at the whole frame and says where the object is; the pose network looks "
        "at that place, closer, and finds the object's keypoints. A strip is a layer; the larger "
        "its feature map, the taller."
    )
    return Section("networks", "The networks", text, blocks)


def training(bundle: Bundle) -> Section:
    """Loss and validation of every training, as the manifest has them."""
    noted = bundle.manifest.get("training", {})
    charts = []
    for name, course in noted.get("curves", {}).items():
        charts += _course(name, course)
    if not charts:
        return Section("training", "Training", "The bundle's manifest holds no training curves.")
    minutes = noted.get("minutes_by_network", {})
    spent = ", ".join(f"{name} {value:.1f} min" for name, value in minutes.items())
    text = (
        f"From scratch, on {noted.get('data', 'synthetic images')}. Wall time: {spent}. "
        "Validation is on samples that training never saw."
    )
    return Section("training", "Training", text, [Charts(charts)])


def _course(name: str, course: Mapping[str, Any]) -> list[Chart]:
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
