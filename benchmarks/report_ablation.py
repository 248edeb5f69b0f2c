# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/ablation.py found, as a table: means over seeds and their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.report_search import Seeds, grouped, origin

_HEADINGS: Final = ("object", "network", "images", "head")
_WITH, _WITHOUT, _GAIN = "with SIC", "without SIC", "difference, seed by seed"
# Heading of a column, key of the row, factor, digits.
_COLUMNS: Final = (
    ("ADD(-S) .1d", "add01", 1.0, 3),
    ("ADD AUC", "add_auc", 1.0, 3),
    ("rotation, median deg", "rotation_deg_median", 1.0, 1),
    ("MMACs", "macs", 1e-6, 1),
    ("training, min", "train_minutes", 1.0, 1),
)


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown lines: what each network loses without it, then where the figures are from."""
    found: dict[tuple[str, str, int], dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        variants = found.setdefault((row["object"], row["network"], row["images_seen"]), {})
        variants.setdefault(row["variant"], {})[row["seed"]] = row
    labelled, keys = [], [key for _, key, _, _ in _COLUMNS]
    for (thing, network, images), variants in sorted(found.items()):
        kept, left_out = variants.get("sic", {}), variants.get("no_sic", {})
        both = sorted(kept.keys() & left_out.keys())
        differences = [difference(kept[seed], left_out[seed], keys) for seed in both]
        parts = ((_WITH, kept.values()), (_WITHOUT, left_out.values()), (_GAIN, differences))
        labelled += [
            ((thing, network, f"{images:,d}", label), Seeds(tuple(part)))
            for label, part in parts
            if part
        ]
    table = grouped(_HEADINGS, labelled, _COLUMNS)
    return [*table, *origin(rows, "python benchmarks/ablation.py")]


def difference(
    first: Mapping[str, Any], second: Mapping[str, Any], keys: Sequence[str]
) -> dict[str, float]:
    """Figures of one row less those of another, where both know them."""
    known = [key for key in keys if first[key] is not None and second[key] is not None]
    return {key: first[key] - second[key] for key in known}
