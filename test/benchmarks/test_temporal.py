# SPDX-License-Identifier: Apache-2.0
"""The benchmark of networks that remember: what it compares, and how it judges."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import temporal
from benchmarks.report_temporal import lines
from benchmarks.temporal import BUDGET, LEFT, BenchmarkError, Run, scores, shipped_locator, widest
from fpg_pose_ros.bundle import read_bundle
from fpg_pose_ros.geometry import exp_so3, make_transform
from offline_search.data.objects import load_object
from offline_search.retrain import VALIDATION_SEED
from offline_search.search_stages import SELECTION_SEED
from offline_search.space import cost
from offline_search.training.loop import load_result

SPOT = temporal.ROOT / "models" / "spot"


def test_both_networks_are_the_widest_of_one_family_within_what_they_may_cost() -> None:
    single, grown = widest(BUDGET, 16), widest(BUDGET - LEFT, 16)
    for network, most in ((single, BUDGET), (grown, BUDGET - LEFT)):
        last = network.stages[-1]
        wider = replace(last, width=last.width + 1)
        assert cost(network).macs <= most
        assert cost(replace(network, stages=(*network.stages[:-1], wider))).macs > most
    narrow = replace(single.stages[-1], width=grown.stages[-1].width)
    assert replace(single, stages=(*single.stages[:-1], narrow)) == grown
    with pytest.raises(BenchmarkError, match="no network of the family"):
        widest(1000, 16)


def test_no_film_that_is_judged_is_of_a_seed_that_anything_learns_from() -> None:
    judged = range(temporal.TEST_SEED, temporal.TEST_SEED + temporal.FILMS)
    assert not {VALIDATION_SEED, SELECTION_SEED} & set(judged)
    # a film of a store of whatever seed is the scene of a number from 2^32 on
    assert judged.stop < 1 << 32
    assert judged.start > 900_001


def test_the_command_of_a_row_makes_that_run_again() -> None:
    run = Run("cell", 2, images=40, film_images=24, film_frames=32)
    options = temporal._parser().parse_args(shlex.split(run.command)[2:])
    made = Run(*options.methods, *options.seeds, options.images, options.film_images, 32)
    assert made == run
    assert options.film_frames == 32


def test_true_poses_score_best_and_missing_ones_count_against_it() -> None:
    model = load_object("spot").model
    truths = [
        make_transform(exp_so3(np.array([0.1 * i, 0, 0])), np.array([0, 0, 1.0])) for i in range(20)
    ]
    perfect = scores(model, truths, truths)
    assert perfect == {
        "add01": 1.0,
        "add_auc": 1.0,
        "position_percent_p95": 0.0,
        "rotation_deg_p95": 0.0,
    }
    half = scores(model, truths, [*truths[:10], *[None] * 10])
    assert half["add01"] == 0.5
    assert half["rotation_deg_p95"] is None
    off = [T @ make_transform(np.eye(3), np.array([0.05 * model.diameter, 0, 0])) for T in truths]
    assert scores(model, truths, off)["position_percent_p95"] == pytest.approx(5.0)
    assert scores(model, truths, off)["add_auc"] == pytest.approx(0.5, abs=0.01)


def test_the_locator_is_that_of_the_shipped_bundle(tmp_path: Path) -> None:
    found = load_result(shipped_locator(tmp_path / "locator"))
    described = read_bundle(SPOT).locator
    assert cost(found.network.architecture).macs == described.macs
    assert found.extra == described.extra


def test_the_table_has_each_pose_of_both_networks_and_the_difference_seed_by_seed() -> None:
    aucs = {("single", 0): 0.5, ("single", 1): 0.7, ("cell", 0): 0.4, ("cell", 1): 0.5}
    rows = [_row(method, seed, value) for (method, seed), value in aucs.items()]
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines(rows)[:11]]
    found = {(cells[0], cells[1]): cells[4] for cells in table[2:]}
    assert table[0][4] == "ADD AUC"
    assert found["filtered", "single"] == "0.600 ± 0.141"
    assert found["filtered", "cell"] == "0.450 ± 0.071"
    assert found["filtered", "cell less single, seed by seed"] == "-0.150 ± 0.071"
    assert {pose for pose, _ in found} == {"measured", "filtered", "alone"}
    assert not any("less single" in line for line in lines(rows[:1]))


def _row(method: str, seed: int, add_auc: float) -> dict[str, Any]:
    judged = {
        "add01": 0.8,
        "add_auc": add_auc,
        "position_percent_p95": 9.0,
        "rotation_deg_p95": 19.0,
    }
    return {
        "method": method,
        "seed": seed,
        "macs": 29_000_000,
        "cell_macs": 0,
        "train_minutes": 3.0,
        "images_seen": 26_000,
        "machine": "a machine",
        "date": "2026-01-01",
        "command": "the command of this row",
        **dict.fromkeys(("measured", "filtered", "alone"), judged),
    }
