# SPDX-License-Identifier: Apache-2.0
"""The section on what a pruning search left out, and when: a table of stages and one of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from offline_search.report.page import Block, Section, Table
from offline_search.report.search_record import SearchRecord

_NOTHING = "–"


def pruning(record: SearchRecord) -> Section | None:
    """The stages of a search that prunes; None for others."""
    stages: Sequence[Mapping[str, Any]] = record.outcome.get("pruning") or []
    if not stages:
        return None
    text = (
        "The search begins on easy samples with all candidates; at the end of a stage the worse of "
        "each layer's are left out, and the next one goes on with harder samples. What is easy is "
        "measured: how much of the object is hidden, how small it is in the camera's image, and "
        "how foreshortened; 0 is easiest, 1 hardest. An effect is what a candidate adds to the "
        "loss of a network, in thousandths of a nat: below zero is better."
    )
    blocks: list[Block] = [_stages(stages), _layers(record, stages)]
    return Section("pruning", "What was pruned, and when", text, blocks)


def _stages(stages: Sequence[Mapping[str, Any]]) -> Table:
    names = list(stages[0]["hardness"])
    rows = [
        [
            str(number),
            "all samples" if stage["easiest_of"] == 1 else f"easiest of {stage['easiest_of']}",
            f"{stage['spent']:.0%}",
            f"{stage['compared']:,}",
            *[f"{stage['hardness'][name]:.3f}" for name in names],
            str(sum(len(layer["effects"]) for layer in stage["layers"])),
            str(sum(len(layer["left"]) for layer in stage["layers"])),
        ]
        for number, stage in enumerate(stages, 1)
    ]
    columns = (
        *("stage", "shown", "ended at", "networks compared", *names),
        *("candidates at first", "at the end"),
    )
    return Table(columns, rows, "Stages")


def _layers(record: SearchRecord, stages: Sequence[Mapping[str, Any]]) -> Table:
    kept = record.architecture.layers
    rows = []
    for index, opened in enumerate(kept):
        layers = [stage["layers"][index] for stage in stages]
        rows.append(
            [
                str(index + 1),
                *[_listed(layer["fell"], layer["effects"]) for layer in layers[:-1]],
                _listed(layers[-1]["left"], layers[-1]["effects"]),
                ", ".join(opened),
            ]
        )
    fell = [f"fell after stage {number}" for number in range(1, len(stages))]
    columns = ("layer", *fell, "left to the end", "in the network found")
    return Table(columns, rows, "Layers, with effects")


def _listed(names: Sequence[str], effects: Mapping[str, float]) -> str:
    """Best first."""
    ordered = sorted(names, key=effects.__getitem__)
    return ", ".join(f"{name}\u00a0{1e3 * effects[name]:+.1f}" for name in ordered) or _NOTHING
