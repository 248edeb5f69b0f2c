# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose bench strategies`: strategies judged on a table, in seconds."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Judgement:
    """What a table says of the strategies.

    Attributes:
        of: What was judged, for files.
        rows: A strategy and a compute each.
        tau_of_seeds: See `Truth.tau_of_seeds`.
    """

    of: Mapping[str, Any]
    rows: tuple[Row, ...]
    tau_of_seeds: float

    def lines(self) -> list[str]:
        """Markdown: what was judged, and the strategies' table."""
        of = self.of
        return [
            f"{of['networks']} networks of the space {of['space']} for {of['object']}, "
            f"{of['within_budget']} of them within {of['budget_macs'] / 1e6:g} MMACs; "
            f"trained on {of['images']} images each on {of['machine']}.",
            f"Kendall's tau of two seeds of the very training, in the budget's band: "
            f"{of['tau_of_seeds']}. A network drawn blindly from the band's {of['band']} has a "
            f"mean regret of {of['blind_regret']} nats.",
            "Means, and 90 % bootstrap intervals of the means, over searches made for real or "
            "replayed from the table; compute in trainings in full of a network of the budget.",
            "",
            *markdown(self.rows),
        ]

    def picture(self) -> str:
        """Regret and tau over compute, an SVG file."""
        return picture(self.rows, self.tau_of_seeds)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {**self.of, "rows": [row.to_json() for row in self.rows]}


def judge(table_file: Path, *, seeds: int) -> Judgement:
    """Judges every strategy that a table knows of.

    Args:
        table_file: See `table`.
        seeds: Searches that are replayed, and resamples of the intervals.

    Raises:
        TableError: The table cannot be used.
    """
    table = read_table(table_file)
    truth, replay = Truth(table), RandomReplay(table)
    courses = recorded(table)
    courses += [replay.course(seed) for seed in tqdm(range(seeds), desc="replay", unit="search")]
    ceiling = truth.tau_of_seeds()
    of = {
        "object": table.about.object,
        "space": table.about.space,
        "networks": len(table.networks),
        "within_budget": len(truth.allowed),
        "band": len(truth.band),
        "budget_macs": table.about.budget_macs,
        "images": table.about.images,
        "recipe": table.about.recipe,
        "machine": table.about.machine,
        "tau_of_seeds": None if math.isnan(ceiling) else round(ceiling, 4),
        "blind_regret": round(truth.blind_regret(), 4),
        "best": truth.allowed[0],
    }
    return Judgement(of, tuple(rows(courses, truth, seeds)), ceiling)


def judge_strategies(table_file: Path, out: Path, *, seeds: int) -> list[str]:
    """Judges as `judge` does; writes JSON, CSV, Markdown and SVG into the folder `out`.

    Returns:
        `Judgement.lines`.

    Raises:
        TableError: The table cannot be used.
        TrainingError: The folder cannot be written.
    """
    judgement = judge(table_file, seeds=seeds)
    lines = judgement.lines()
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for suffix, content in (
        ("json", json.dumps(judgement.to_json(), indent=1) + "\n"),
        ("csv", _csv(judgement.rows)),
        ("md", "".join(line + "\n" for line in lines)),
        ("svg", judgement.picture()),
    ):
        write_atomic(out / f"{NAME}.{suffix}", content.encode())
    return lines


def _csv(judged: Sequence[Row]) -> str:
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
