# SPDX-License-Identifier: Apache-2.0
"""The comparison of all strategies: what it runs, and how it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import methods, report_methods
from benchmarks.methods import MethodRun
from benchmarks.searched import SEARCHED
from offline_search.search_stages import check
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import Budget
from offline_search.strategies.registry import strategies

KEYPOINTS = 16


def row(method: str, add_auc: float, seed: int = 0, **others: Any) -> dict[str, Any]:
    run = MethodRun("spot", 30, method, seed, images=8000)
    return {
        "object": "spot",
        "budget_macs": 30_000_000,
        "method": method,
        "seed": seed,
        "macs": 29_300_000,
        "params": 353_201,
        "add01": 2 * add_auc,
        "add_auc": add_auc,
        "rotation_deg_median": 20.0,
        "search_minutes": 3.0,
        "search_compute": 0.98,
        "train_minutes": 1.0,
        "images_seen": 8000,
        "machine": "a machine",
        "date": "2026-01-02",
        "command": run.command,
        **others,
    }


def test_every_strategy_is_compared() -> None:
    # A temporal cell is for a network that is trained already, and is compared elsewhere.
    names = {entry.name for entry in strategies()} - {"temporal"}
    assert {method.strategy for method in SEARCHED.values()} == names


@pytest.mark.parametrize("name", SEARCHED)
def test_a_method_can_search_its_space_within_the_budget(name: str) -> None:
    method, budget = SEARCHED[name], Budget(methods.BUDGET * 1e6, MacsMeter())
    check(load_space(method.space), KEYPOINTS, budget, method.strategy, method.settings, seed=0)


def test_all_methods_run_with_a_seed_before_any_runs_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[MethodRun] = []
    monkeypatch.setattr(methods, "carry_out", lambda runs, *_: planned.extend(runs) or 0)
    asked = ["--methods", "fpg,posenfs", "--seeds", "0,1", "--work", str(tmp_path)]
    assert methods.main(asked) == 0
    assert [run.name for run in planned] == [
        "spot-30-fpg-0",
        "spot-30-posenfs-0",
        "spot-30-fpg-1",
        "spot-30-posenfs-1",
    ]
    assert planned[1].command == "python benchmarks/methods.py --methods posenfs --seeds 0"


def test_the_best_method_comes_first_and_fabrics_are_compared_seed_by_seed() -> None:
    rows = [
        row("fpg", 0.1, layers_with_several=2),
        row("posenfs", 0.3),
        row("posenfs", 0.2, seed=1),
        row("posenfs_1", 0.25),
    ]
    lines = report_methods.lines(rows)
    tables = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    shown = {cells[0]: dict(zip(tables[0], cells, strict=True)) for cells in tables[2:5]}
    assert list(shown)[-1] == "fpg"
    assert shown["posenfs"]["ADD AUC"] == "0.250 ± 0.071"
    assert shown["posenfs"]["layers with several operators"] == "-"
    assert shown["fpg"]["compute spent, of what was given"] == "0.98"
    difference = tables[-1]
    assert (difference[0], difference[1], difference[3]) == (
        "difference, seed by seed",
        "1",
        "0.050",
    )
    assert not any("fabrics" in line for line in report_methods.lines(rows[:1]))


def test_the_picture_has_a_dot_for_each_mean_and_a_ring_for_each_seed() -> None:
    drawing = report_methods.picture(
        [row("fpg", 0.1), row("fpg", 0.3, seed=1), row("bn_nas", 0.25)]
    )
    root = ElementTree.fromstring(drawing)
    name = "{http://www.w3.org/2000/svg}"
    tips = [tip.text for tip in root.iter(f"{name}title")]
    assert tips[:2] == ["bn_nas: 0.250 ± 0.000", "fpg: 0.200 ± 0.141"]
    rings = [c for c in root.iter(f"{name}circle") if c.get("fill") == "#fff"]
    assert len(rings) == 2 * 3  # in both panels
