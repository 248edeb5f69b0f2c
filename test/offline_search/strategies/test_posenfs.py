# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_search import KEYPOINTS, DrawnSource

from fpg_pose_ros.objects import ObjectModel
from offline_search.search_stages import check, find, make_problem
from offline_search.space.cost import cost, head_cost
from offline_search.space.fabric_architecture import FabricArchitecture
from offline_search.space.fabric_network import FabricHead
from offline_search.space.fabric_space import FabricSpace
from offline_search.space.meter import MacsMeter
from offline_search.space.network import build
from offline_search.space.search_space import load_space
from offline_search.strategies.fabric_budget import ExpectedCost, bare, discretised, roomy
from offline_search.strategies.object_parts import parts_of
from offline_search.strategies.posenfs import Posenfs
from offline_search.strategies.problem import Budget, Outcome, Problem, SearchError
from offline_search.strategies.registry import default_strategy
from offline_search.training.config import TrainConfig
from offline_search.training.journal import read_metrics
from offline_search.training.loop import TrainingStopped

FABRICS = load_space("fabric_tiny")
assert isinstance(FABRICS, FabricSpace)
AMOUNT = 5.4e6
BUDGET = Budget(AMOUNT, MacsMeter())
THREE = (("a", (0, 1)), ("b", (2, 3)), ("c", (3, 4)))


def problem(*, stop_at: int = -1, images: int = 24) -> Problem:
    config = TrainConfig(
        batch=4, sigma_px=3.0, workers=0, validation=4, validations=0, checkpoint_images=8,
        images=images,
    )  # fmt: skip
    return make_problem(DrawnSource(stop_at), FABRICS, BUDGET, config)


def run(out: Path, *, stop_at: int = -1, **settings: Any) -> Outcome:
    return Posenfs(**{"parts": 2, **settings}).search(problem(stop_at=stop_at), out)


def drawn(architecture: FabricArchitecture, seed: int) -> FabricArchitecture:
    """With random alpha and beta."""
    rng = np.random.default_rng(seed)

    def some(count: int) -> tuple[float, ...]:
        return tuple(rng.normal(size=count).tolist())

    parts = tuple(
        replace(
            part,
            alpha=some(4),
            cells=tuple(replace(cell, beta=some(len(cell.beta))) for cell in part.cells),
        )
        for part in architecture.fabric.parts
    )
    return replace(architecture, fabric=replace(architecture.fabric, parts=parts))


@pytest.mark.parametrize("mode", ["sync", "bilevel", "random"])
def test_it_ends_with_fabrics_within_the_budget(tmp_path: Path, mode: str) -> None:
    outcome = run(tmp_path, mode=mode)
    found = outcome.architecture
    assert isinstance(found, FabricArchitecture)
    assert outcome.why == ""
    assert BUDGET.holds(cost(found).macs)
    assert len(found.fabric.parts) == 2
    assert found.fabric.learned == (mode == "sync")
    assert outcome.images == (0 if mode == "random" else pytest.approx(24, abs=6))
    logits = {value for part in found.fabric.parts for value in part.alpha}
    assert len(logits) > 4, "alpha has not moved"
    again = find(problem(), "posenfs", {"mode": "random", "parts": 2}, tmp_path / "again")
    assert (again.architecture == found) == (mode == "random")


@pytest.mark.parametrize("mode", ["sync", "bilevel"])
def test_stopped_and_run_again_it_ends_as_if_it_had_not_been(tmp_path: Path, mode: str) -> None:
    whole = run(tmp_path / "whole", mode=mode)
    with pytest.raises(TrainingStopped, match="run the same command again"):
        run(tmp_path / "stopped", stop_at=10, mode=mode)
    again = run(tmp_path / "stopped", mode=mode)
    assert again.architecture == whole.architecture
    assert again.images == whole.images
    rows = [read_metrics(tmp_path / name, "search")[-1] for name in ("whole", "stopped")]
    for row in rows:
        del row["minutes"]
    assert rows[0] == rows[1]
    assert {"loss_train", "expected", "budget"} <= set(rows[0])


def test_whole_fabrics_of_even_weights_are_expected_to_cost_what_they_do() -> None:
    whole = replace(FABRICS, parts=THREE).whole(4, KEYPOINTS)
    head = build(whole, seed=0).head
    assert isinstance(head, FabricHead)
    expected = ExpectedCost(whole)
    assert float(expected(head).detach()) == pytest.approx(cost(whole).macs)
    expected(head).backward()
    with torch.no_grad():
        for parameter in head.parameters():
            if parameter.grad is not None:
                parameter -= 1e-6 * parameter.grad
    assert float(expected(head).detach()) < 0.999 * cost(whole).macs


@pytest.mark.parametrize("share", [0.72, 0.8, 0.9, 1.0, 1.02])
def test_the_weakest_edges_go_until_the_budget_holds(share: float) -> None:
    whole = drawn(replace(FABRICS, parts=THREE).whole(8, KEYPOINTS), 0)
    least, most = cost(bare(whole)).macs, cost(whole).macs
    budget = Budget(least + share * (most - least), MacsMeter())
    found, why = discretised(whole, budget)
    assert why == ""
    assert budget.holds(cost(found).macs)
    pairs = zip(whole.fabric.parts, found.fabric.parts, strict=True)
    for before, after in pairs:
        assert before.alpha == after.alpha
        for old, new in zip(before.cells, after.cells, strict=True):
            kept = dict(zip(old.connections, old.beta, strict=True))
            assert all(kept[n] == b for n, b in zip(new.connections, new.beta, strict=True))
    assert (found == whole) == (most <= budget.amount)


def test_a_band_that_no_set_of_edges_meets_is_answered_with_less_and_why() -> None:
    whole = drawn(FABRICS.whole(16, KEYPOINTS), 1)
    budget = Budget(cost(bare(whole)).macs * 1.0005, MacsMeter(), low=0.9999)
    found, why = discretised(whole, budget)
    assert cost(found).macs <= budget.amount
    assert bool(why) != budget.holds(cost(found).macs)


def test_the_width_is_the_least_that_leaves_something_to_drop() -> None:
    whole = roomy(FABRICS, KEYPOINTS, BUDGET, 1.5)
    widths = FABRICS.widths
    narrower = FABRICS.whole(widths[widths.index(whole.fabric.width) - 1], KEYPOINTS)
    left = AMOUNT - (cost(whole).macs - head_cost(whole).macs)
    assert head_cost(narrower).macs < 1.5 * left <= head_cost(whole).macs


def test_mistakes_are_told_before_anything_is_trained() -> None:
    def checked(budget: float, strategy: str = "posenfs", space: str = "fabric_tiny") -> None:
        check(load_space(space), KEYPOINTS, Budget(budget, MacsMeter()), strategy, {}, 0)

    checked(AMOUNT)
    for arguments, named in (
        ((1e6,), "networks cost"),
        ((1e9,), "networks cost"),
        ((AMOUNT, "fpg"), "fpg does not search the space fabric_tiny; these do: posenfs"),
        ((2e6, "posenfs", "tiny"), "posenfs does not search the space tiny; these do: .*fpg"),
    ):
        with pytest.raises(SearchError, match=named):
            checked(*arguments)  # type: ignore[arg-type]
    for settings, named in (({"mode": "magic"}, "mode"), ({"parts": -1}, "parts")):
        with pytest.raises(SearchError, match=named):
            Posenfs(**settings)
    assert default_strategy(FABRICS) == "posenfs"
    assert default_strategy(load_space("tiny")) == "fpg"


def model(parts: dict[str, tuple[int, ...]]) -> ObjectModel:
    base = DrawnSource().model
    return replace(base, parts=parts)


def test_an_object_has_the_parts_of_its_file() -> None:
    named = model({"top": (0, 4), "side": (4, 2, 2)})
    assert parts_of(named, 1) == (("whole", (0, 1, 2, 3, 4)),)
    found = dict(parts_of(named, 0))
    assert found["top"][:1] == (0,)
    assert {2, 4} <= set(found["side"])
    assert 4 in found["top"]
    assert {index for indices in found.values() for index in indices} == set(range(5))


def test_parts_that_nobody_named_are_clusters_the_same_each_time() -> None:
    found = parts_of(model({}), 0)
    assert found == parts_of(model({}), 0) == parts_of(model({"x": (0,)}), 4)
    assert sorted(index for _, indices in found for index in indices) == list(range(5))
    assert len(parts_of(model({}), 3)) == 3
    with pytest.raises(SearchError, match="6 parts of 5 keypoints"):
        parts_of(model({}), 6)
