# SPDX-License-Identifier: Apache-2.0
"""What holds of all strategies: of those that are added, too."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from drawn_search import KEYPOINTS, SPACE, drawn_problem

from offline_search.space import cost
from offline_search.strategies.problem import Outcome
from offline_search.strategies.registry import Entry, strategies
from offline_search.training.journal import read_metrics
from offline_search.training.loop import TrainingStopped

# Small, for searches of a second.
SETTINGS: dict[str, dict[str, Any]] = {
    "parsec": {"samples": 2},
    "fp_nas": {"samples": 3},
    "da_nas": {"compared": 2},
    "random": {"trials": 2},
    "bn_nas": {"share": 0.3},
    "sm_nas": {"structural": 3, "modular": 3, "population": 2},
}
IMAGES = 96
# Fabrics and cells are of other spaces, and have tests of their own.
LAYERED = [entry for entry in strategies() if entry.kind == "layers"]
RESUMED = ("bn_nas", "da_nas", "fp_nas", "parsec")
Finish = Callable[[Entry], tuple[Path, Outcome]]


def run(entry: Entry, out: Path, **problem: Any) -> Outcome:
    made = entry.make(**SETTINGS.get(entry.name, {}))
    # One cache of measured times for all runs of a session.
    cache = out.parent / "cache"
    return made.search(drawn_problem(images=IMAGES, cache=cache, **problem), out)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finish:
    """Folder and outcome of an uninterrupted search."""

    @cache
    def found(name: str) -> tuple[Path, Outcome]:
        entry = next(entry for entry in strategies() if entry.name == name)
        out = tmp_path_factory.mktemp(name)
        return out, run(entry, out)

    return lambda entry: found(entry.name)


@pytest.mark.parametrize("entry", LAYERED, ids=lambda entry: entry.name)
def test_it_ends_with_a_network_within_the_budget(finished: Finish, entry: Entry) -> None:
    _, outcome = finished(entry)
    assert outcome.why == ""
    assert drawn_problem().budget.holds(cost(outcome.architecture).macs)
    assert outcome.architecture.head.outputs == KEYPOINTS
    assert SPACE.point(outcome.architecture)
    assert outcome.estimate is None or math.isfinite(outcome.estimate)
    estimates = [estimate for _, estimate in outcome.rivals]
    assert estimates == sorted(estimates)
    assert outcome.images > 0
    assert outcome.minutes > 0
    details = json.loads(json.dumps(dict(outcome.details)))
    assert details["settings"]
    assert details["compute"] > 0


@pytest.mark.parametrize(
    "entry",
    [entry for entry in LAYERED if entry.name in RESUMED],
    ids=lambda entry: entry.name,
)
def test_stopped_and_run_again_it_ends_as_if_it_had_not_been(
    tmp_path: Path, finished: Finish, entry: Entry
) -> None:
    out, whole = finished(entry)
    with pytest.raises(TrainingStopped, match="run the same command again"):
        run(entry, tmp_path, stop_at=10)
    again = run(entry, tmp_path)
    assert again.architecture == whole.architecture
    assert again.estimate == whole.estimate
    assert again.rivals == whole.rivals
    assert again.images == whole.images
    rows = [
        [
            {name: value for name, value in row.items() if name != "minutes"}
            for row in read_metrics(place, "search")
        ]
        for place in (out, tmp_path)
    ]
    assert rows[0] == rows[1]
    assert {"loss_train", "expected", "budget"} <= set(rows[0][-1])
