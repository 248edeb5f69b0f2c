# SPDX-License-Identifier: Apache-2.0
"""The search for a temporal cell."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filmed_world import BUDGET, LITTLE, temporal_problem, trained

from offline_search.data.film_poses import FilmFrames
from offline_search.search_stages import check
from offline_search.space import cost
from offline_search.space.search_space import load_space
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.problem import Outcome, SearchError
from offline_search.strategies.registry import default_strategy, make_strategy
from offline_search.training.journal import read_metrics
from offline_search.training.loop import TrainingStopped


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("seed") / "single")


def search(folder: Path, cache: Path, out: Path, **changes: Any) -> Outcome:
    problem = temporal_problem(folder, cache, **{"images": 96, "batch": 4, **changes})
    return make_strategy("temporal", {}).search(problem, out)


@pytest.fixture(scope="module")
def found(
    folder: Path, layer_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("temporal")
    return out, search(folder, layer_cache, out)


def test_it_ends_with_the_network_and_a_cell_within_the_budget(
    found: tuple[Path, Outcome],
) -> None:
    out, outcome = found
    assert outcome.why == ""
    assert cost(outcome.architecture).macs <= BUDGET
    assert replace(outcome.architecture, cell=None) == LITTLE
    assert outcome.architecture.cell is not None
    assert outcome.estimate is not None
    assert math.isfinite(outcome.estimate)
    assert all(estimate >= outcome.estimate for _, estimate in outcome.rivals)
    details = json.loads(json.dumps(dict(outcome.details)))
    assert details["settings"]["cycles"] == 3
    assert details["compute"] > 0
    rows = read_metrics(out, "search")
    assert {"loss_train", "loss_held_out", "expected", "lambda"} <= set(rows[-1])
    # as open as can be paid from the start: the cost alone decides nothing
    first = next(row for row in rows if "expected" in row)
    assert first["expected"] <= 1.02 * BUDGET


def test_stopped_and_run_again_it_ends_as_if_it_had_not_been(
    tmp_path: Path,
    folder: Path,
    layer_cache: Path,
    found: tuple[Path, Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, drawn = FilmFrames.place, []

    def stopping(frames: FilmFrames, index: int) -> tuple[int, int]:
        drawn.append(index)
        if len(drawn) == 60:
            signal.raise_signal(signal.SIGTERM)
        return place(frames, index)

    with monkeypatch.context() as patched:
        patched.setattr(FilmFrames, "place", stopping)
        with pytest.raises(TrainingStopped, match="run the same command again"):
            search(folder, layer_cache, tmp_path)
    again, whole = search(folder, layer_cache, tmp_path), found[1]
    assert again.architecture == whole.architecture
    assert (again.estimate, again.rivals) == (whole.estimate, whole.rivals)
    assert again.images == whole.images


def test_a_network_over_the_budget_or_of_another_object_is_refused(
    tmp_path: Path, folder: Path, layer_cache: Path
) -> None:
    with pytest.raises(SearchError, match="without a cell and"):
        temporal_problem(folder, layer_cache, budget=cost(LITTLE).macs)
    other = replace(LITTLE, head=replace(LITTLE.head, outputs=17))
    with pytest.raises(SearchError, match="network of this object"):
        temporal_problem(trained(tmp_path / "other", other), layer_cache)


def test_it_searches_cells_and_nothing_else(folder: Path, layer_cache: Path) -> None:
    space, budget = load_space("temporal"), temporal_problem(folder, layer_cache).budget
    assert isinstance(space, TemporalSpace)
    assert default_strategy(space) == "temporal"
    check(space, 16, budget, "temporal", {}, 0)
    with pytest.raises(SearchError, match="these do: temporal"):
        check(space, 16, budget, "fpg", {}, 0)
    with pytest.raises(SearchError, match="does not search the space tiny"):
        check(load_space("tiny"), 16, budget, "temporal", {}, 0)
    with pytest.raises(SearchError, match="cycles must be at least 1"):
        make_strategy("temporal", {"cycles": 0})
