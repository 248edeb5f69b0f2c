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
        pair = compared(
            (_WITH, _WITHOUT, _GAIN), variants.get("sic", {}), variants.get("no_sic", {}), keys
        )
        labelled += [((thing, network, f"{images:,d}", label), seeds) for label, seeds in pair]
    table = grouped(_HEADINGS, labelled, _COLUMNS)
    return [*table, *origin(rows, "python benchmarks/ablation.py")]


def compared(
    labels: tuple[str, str, str],
    first: Mapping[int, Mapping[str, Any]],
    second: Mapping[int, Mapping[str, Any]],
    keys: Sequence[str],
) -> list[tuple[str, Seeds]]:
    """Two variants beside one another; what has no row is left out.

    Args:
        labels: Of the first, of the second, and of their differences.
        first: Its rows by seed.
        second: The other's.
        keys: Figures of which there are differences, where both rows know them.

    Returns:
        The first, the second, and the first less the second where there are both of a seed.
    """
    both = sorted(first.keys() & second.keys())
    gains = [_difference(first[seed], second[seed], keys) for seed in both]
    parts = zip(labels, (first.values(), second.values(), gains), strict=True)
    return [(label, Seeds(tuple(part))) for label, part in parts if part]


def _difference(
    first: Mapping[str, Any], second: Mapping[str, Any], keys: Sequence[str]
) -> dict[str, float]:
    """Figures of one row less those of another, where both know them."""
    known = [key for key in keys if first[key] is not None and second[key] is not None]
    return {key: first[key] - second[key] for key in known}
