# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/temporal.py found, as a table: means over seeds and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.report_ablation import compared
from benchmarks.report_search import grouped, origin

_POSES: Final = ("measured", "filtered", "alone")
_CELL, _SINGLE, _GAIN = "cell", "single", "cell less single, seed by seed"
# Heading of a column, key of the row, factor, digits.
_COLUMNS: Final = (
    ("ADD .1d", "add01", 1.0, 3),
    ("ADD AUC", "add_auc", 1.0, 3),
    ("position, 95th percentile, % of diameter", "position_percent_p95", 1.0, 1),
    ("rotation, 95th percentile, deg", "rotation_deg_p95", 1.0, 1),
    ("MMACs", "macs", 1e-6, 1),
    ("of them in the cell", "cell_macs", 1e-6, 2),
    ("search, min", "search_minutes", 1.0, 1),
    ("training, min", "train_minutes", 1.0, 1),
)


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown lines: each pose that is judged, of both networks, then where they are from."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {_SINGLE: {}, _CELL: {}}
    for row in rows:
        found[row["method"]][row["seed"]] = row
    labelled, keys = [], [key for _, key, _, _ in _COLUMNS]
    for pose in _POSES:
        judged = {
            method: {seed: _judged(row, pose) for seed, row in of_method.items()}
            for method, of_method in found.items()
        }
        pair = compared((_CELL, _SINGLE, _GAIN), judged[_CELL], judged[_SINGLE], keys)
        labelled += [((pose, label), seeds) for label, seeds in pair]
    table = grouped(("pose", "network"), labelled, _COLUMNS)
    return [*table, *origin(rows, "python benchmarks/temporal.py")]


def _judged(row: Mapping[str, Any], pose: str) -> dict[str, Any]:
    """The row's figures of one pose beside its costs."""
    return {**{key: row.get(key) for _, key, _, _ in _COLUMNS}, **row[pose]}
