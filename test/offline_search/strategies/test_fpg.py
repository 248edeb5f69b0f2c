# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from drawn_search import KEYPOINTS, SPACE, drawn_problem

from offline_search.space import cost
from offline_search.strategies.fpg import Fpg, FpgSettings
from offline_search.strategies.problem import Outcome, SearchError
from offline_search.strategies.session import CHECKPOINT_FILE, GATES_FILE
from offline_search.training.checkpoint import save_checkpoint
from offline_search.training.config import TrainingError
from offline_search.training.journal import read_metrics
from offline_search.training.loop import TrainingStopped


def run(out: Path, problem: dict[str, Any] | None = None, **settings: Any) -> Outcome:
    return Fpg(**settings).search(drawn_problem(**(problem or {})), out)


def course(out: Path, name: str) -> list[float]:
    """A figure of the journal's rows that have it."""
    return [row[name] for row in read_metrics(out, "search") if name in row]


def gates(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / GATES_FILE).read_text())
    return document


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_network_costs_what_the_budget_says_at_every_seed(tmp_path: Path, seed: int) -> None:
    problem = drawn_problem(seed=seed, images=200)
    outcome = Fpg().search(problem, tmp_path)
    for network, estimate in ((outcome.architecture, outcome.estimate), *outcome.rivals):
        assert problem.budget.holds(cost(network).macs)
        assert network.head.outputs == KEYPOINTS
        assert SPACE.point(network)
        assert estimate is not None
        assert math.isfinite(estimate)
    assert outcome.why == ""
    assert outcome.images > 0
    assert outcome.minutes > 0
    assert json.loads(json.dumps(dict(outcome.details)))["settings"]


@pytest.mark.parametrize(
    "settings", [{"cost_term": "log"}, {"probes": 0, "weight_steps": 1, "warmup": 0.0}]
)
def test_whatever_the_settings_the_budget_is_met(tmp_path: Path, settings: dict[str, Any]) -> None:
    outcome = run(tmp_path, **settings)
    assert outcome.why == ""
    assert drawn_problem().budget.holds(cost(outcome.architecture).macs)


def test_a_single_gate_leaves_one_operator_a_layer(tmp_path: Path) -> None:
    single = [p for p in SPACE.points() if all(len(names) == 1 for names in p.opened)]
    largest = max(cost(SPACE.architecture(point, KEYPOINTS)).macs for point in single)
    outcome = run(tmp_path, {"budget": largest / 0.98}, gate="single")
    assert SPACE.point(outcome.architecture) in single
    assert cost(outcome.architecture).macs >= 0.95 * largest / 0.98


def test_the_course_is_written_down(tmp_path: Path) -> None:
    run(tmp_path, {"images": 200})
    document = gates(tmp_path)
    assert [tuple(slot["candidates"]) for slot in document["slots"]] == [
        slot.candidates for slot in SPACE.slots
    ]
    assert [gene["name"] for gene in document["genes"]] == [gene.name for gene in SPACE.genes]
    spent = [time["spent"] for time in document["times"]]
    assert spent == sorted(spent)
    assert 2 <= len(spent) <= 60
    for time in document["times"]:
        assert [len(p) for p in time["gates"]] == [len(slot.candidates) for slot in SPACE.slots]
        assert all(0 <= p <= 1 for slot in time["gates"] for p in slot)
        assert all(sum(p) == pytest.approx(1, abs=1e-3) for p in time["genes"])
    rows = read_metrics(tmp_path, "search")
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
    wanted = {"loss_train", "loss_held_out", "expected", "discrete", "budget", "entropy", "tau"}
    assert wanted | {"lambda", "spent", "minutes"} <= {name for row in rows for name in row}
    tau = course(tmp_path, "tau")
    assert all(a > b for a, b in pairwise(tau))


def test_the_multiplier_rises_while_over_the_budget_and_falls_while_under_it(
    tmp_path: Path,
) -> None:
    # Only the least networks of the space cost less than the first budget, all less than the other.
    still = {"logit_rate": 1e-6, "multiplier": 0.2, "multiplier_rate": 0.05, "warmup": 0.0}
    run(tmp_path / "over", {"budget": 0.95e6, "images": 300}, **still)
    over = course(tmp_path / "over", "lambda")
    assert min(course(tmp_path / "over", "expected")) > 0.95e6
    assert over[0] > 0.2
    assert all(a < b for a, b in pairwise(over))
    still |= {"multiplier_rate": 0.5, "start": 0.6}
    run(tmp_path / "under", {"budget": 3e6, "images": 100}, **still)
    under = course(tmp_path / "under", "lambda")
    assert max(course(tmp_path / "under", "expected")) < 3e6
    assert all(a >= b for a, b in pairwise(under))
    assert under[-1] == 0.0


def test_over_the_budget_the_hinge_brings_the_cost_down(tmp_path: Path) -> None:
    expected = {}
    for multiplier in (0.0, 10.0):
        out = tmp_path / str(multiplier)
        problem = {"budget": 1.0e6, "images": 300}
        run(out, problem, multiplier=multiplier, multiplier_rate=0.0, logit_rate=0.1, warmup=0.0)
        expected[multiplier] = course(out, "expected")
    assert expected[10.0][-1] < expected[10.0][0]
    assert expected[10.0][-1] < expected[0.0][-1]


def test_under_the_budget_the_hinge_is_silent_and_the_logarithm_is_not(tmp_path: Path) -> None:
    expected = []
    for name, settings in {
        "nothing": {"multiplier": 0.0},
        "hinge": {"multiplier": 10.0},
        "log": {"multiplier": 10.0, "cost_term": "log"},
    }.items():
        run(tmp_path / name, {"budget": 3e6}, multiplier_rate=0.0, warmup=0.0, **settings)
        expected.append(course(tmp_path / name, "expected"))
    assert gates(tmp_path / "hinge") == gates(tmp_path / "nothing")
    assert expected[2][-1] < expected[0][-1]
    assert set(course(tmp_path / "log", "lambda")) == {10.0}


def test_stopped_and_run_again_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, first, second = (tmp_path / name for name in ("whole", "first", "second"))
    reference = run(whole, {"images": 200})
    with pytest.raises(TrainingStopped, match="run the same command again"):
        run(first, {"images": 200, "stop_at": 50})
    spent = course(first, "spent")
    assert not spent or spent[-1] < 0.6
    shutil.copytree(first, second)
    outcomes = [run(second, {"images": 200})]
    # As after a kill between the writing of the two files: the gates know more than the checkpoint.
    shutil.copy(second / GATES_FILE, first / GATES_FILE)
    outcomes.append(run(first, {"images": 200}))
    timed = ("minutes",)
    for out, outcome in zip((second, first), outcomes, strict=True):
        assert outcome.architecture == reference.architecture
        assert outcome.estimate == reference.estimate
        assert outcome.rivals == reference.rivals
        assert outcome.images == reference.images
        assert gates(out) == gates(whole)
        rows = [
            [{k: v for k, v in row.items() if k not in timed} for row in read_metrics(o, "search")]
            for o in (out, whole)
        ]
        assert rows[0] == rows[1]


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path / "0")
    run(tmp_path / "2", {"workers": 2})
    assert gates(tmp_path / "0") == gates(tmp_path / "2")


def test_a_checkpoint_that_is_not_of_the_search_is_refused_with_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / CHECKPOINT_FILE
    save_checkpoint(place, {}, {"step": 3})
    with pytest.raises(SearchError, match=rf"{CHECKPOINT_FILE} .*delete"):
        run(tmp_path)
    place.write_bytes(b"\x00" * 40)
    with pytest.raises(TrainingError, match=rf"{CHECKPOINT_FILE} .*delete"):
        run(tmp_path)


def test_a_loss_that_is_not_finite_ends_with_advice(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="lower lr"):
        run(tmp_path, {"lr": 1e20})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gate", "many"),
        ("warmup", 1.0),
        ("warmup", -0.1),
        ("weight_steps", 0),
        ("logit_rate", 0.0),
        ("temperature", (5.0, 0.0)),
        ("probes", -1),
        ("cost_term", "square"),
        ("multiplier", -1.0),
        ("multiplier_rate", -1.0),
        ("log_base", 1.0),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_what_can(name: str, value: Any) -> None:
    with pytest.raises(SearchError, match=f"strategy fpg: {name} must be"):
        FpgSettings(**{name: value})
