# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose bench strategies`: strategies judged on a table, in seconds."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from offline_search.tabular.judgement import Row, Truth, rows
from offline_search.tabular.replay import RandomReplay, recorded
from offline_search.tabular.shown import markdown, picture
from offline_search.tabular.table import read_table
from offline_search.training.checkpoint import disk_errors, write_atomic

NAME: Final = "strategies"
"""Of the files, before their suffixes."""


def judge_strategies(table_file: Path, out: Path, *, seeds: int) -> list[str]:
    """Judges every strategy that the table knows of; writes JSON, CSV, Markdown and SVG.

    Args:
        table_file: See `table`.
        out: Folder of the files.
        seeds: Searches that are replayed, and resamples of the intervals.

    Returns:
        Markdown lines: what was judged, and the strategies' table.

    Raises:
        TableError: The table cannot be used.
        TrainingError: The folder cannot be written.
    """
    table = read_table(table_file)
    truth, replay = Truth(table), RandomReplay(table)
    courses = recorded(table)
    bar = tqdm(range(seeds), desc="replay", unit="search")
    courses += [replay.course(seed) for seed in bar]
    judged = rows(courses, truth, seeds)
    ceiling = truth.tau_of_seeds()
    result = {
        "object": table.about.object,
        "space": table.about.space,
        "networks": len(table.networks),
        "within_budget": len(truth.allowed),
        "budget_macs": table.about.budget_macs,
        "images": table.about.images,
        "recipe": table.about.recipe,
        "machine": table.about.machine,
        "tau_of_seeds": None if math.isnan(ceiling) else round(ceiling, 4),
        "best": truth.allowed[0],
        "rows": [row.to_json() for row in judged],
    }
    lines = [*_headline(result), "", *markdown(judged)]
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for suffix, content in (
        ("json", json.dumps(result, indent=1) + "\n"),
        ("csv", _csv(judged)),
        ("md", "".join(line + "\n" for line in lines)),
        ("svg", picture(judged, ceiling)),
    ):
        write_atomic(out / f"{NAME}.{suffix}", content.encode())
    return lines


def _headline(result: dict[str, Any]) -> list[str]:
    return [
        f"{result['networks']} networks of the space {result['space']} for {result['object']}, "
        f"{result['within_budget']} of them within {result['budget_macs'] / 1e6:g} MMACs; "
        f"trained on {result['images']} images each on {result['machine']}.",
        f"Kendall's tau of two seeds of the very training, in the budget's band: "
        f"{result['tau_of_seeds']}.",
        "Means, and 90 % bootstrap intervals of the means, over searches made for real or replayed "
        "from the table; compute in trainings in full of a network of the budget.",
    ]


def _csv(judged: list[Row]) -> str:
    figures = ("tau", "regret", "lost_px", "better")
    names = [f"{figure}{end}" for figure in figures for end in ("", "_low", "_high")]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["strategy", "replayed", "compute", "searches", *names])
    for row in judged:
        told = row.to_json()
        head = [told["strategy"], told["replayed"], told["compute"], told["searches"]]
        writer.writerow(head + [value for figure in figures for value in told[figure]])
    return file.getvalue()
