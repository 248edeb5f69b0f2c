# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the head's correction: what differs between its runs, and its table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import search
from benchmarks.ablation import KEY, VARIANTS, Run, main
from benchmarks.report_ablation import lines
from offline_search.retrain import load_architecture
from offline_search.space import cost
from offline_search.space.presets import preset

MAPS = 24 * 24
"""Cells of the maps of `demo`: 96 px by 4."""


def row(variant: str, seed: int, add_auc: float) -> dict[str, Any]:
    return {
        "object": "spot",
        "network": "small",
        "variant": variant,
        "seed": seed,
        "add01": add_auc,
        "add_auc": add_auc,
        "rotation_deg_median": None,
        "macs": 40e6,
        "train_minutes": 1.0,
        "images_seen": 4000,
        "machine": "a machine",
        "date": "2026-01-01",
        "command": "the command of this row",
    }


def test_variants_differ_in_the_correction_alone() -> None:
    kept, left_out = (
        Run("spot", "demo@64", variant, 0, images=16).architecture(9) for variant in VARIANTS
    )
    assert (kept.head.sic, left_out.head.sic) == (True, False)
    assert replace(left_out, head=kept.head) == kept == load_architecture("demo@64", 9)


def test_a_run_is_trained_and_judged_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FPG_POSE_CACHE", str(tmp_path / "cache"))
    for name in ("LAYERS", "VALIDATION", "TEST_SAMPLES"):
        monkeypatch.setattr(search, name, 8)
    run = Run("spot", "demo", "no_sic", 0, images=16)
    made = run.row(tmp_path, 1)
    assert cost(preset("demo", 16)).macs - made["macs"] == 9 * 24 * MAPS
    assert (made["images_seen"], made["input_size"], made["variant"]) == (16, 96, "no_sic")
    assert 0 <= made["add_auc"] <= made["add01"] <= 1
    assert made["command"] == (
        "python benchmarks/ablation.py --objects spot --networks demo --variants no_sic --seeds 0 "
        "--images 16"
    )
    assert set(KEY) <= made.keys()
    (tmp_path / run.name / "row.json").write_text(json.dumps(made))
    options = [*made["command"].split()[2:], "--work", str(tmp_path)]
    assert main([*options, "--results", str(tmp_path / "ablation.json")]) == 0
    assert "1 of 1 runs are finished" in capsys.readouterr().out


def test_the_table_has_means_and_the_difference_seed_by_seed() -> None:
    figures = {("sic", 0): 0.5, ("sic", 1): 0.7, ("no_sic", 0): 0.4, ("no_sic", 1): 0.6}
    rows = [row(variant, seed, value) for (variant, seed), value in figures.items()]
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines(rows)[:5]]
    found = {cells[3]: cells[6] for cells in table[2:]}
    assert table[0][6] == "ADD AUC"
    assert found == {
        "with SIC": "0.600 ± 0.141",
        "without SIC": "0.500 ± 0.141",
        "difference, seed by seed": "0.100",
    }
    alone = lines([*rows[:1]])
    assert "with SIC" in alone[2]
    assert not any("without" in line for line in alone)
