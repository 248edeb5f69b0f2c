# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from drawn_search import KEYPOINTS, SPACE, drawn_problem
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from offline_search.latency import LatencyMeter
from offline_search.search_stages import rank
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.search_space import load_space
from offline_search.strategies.candidates import Candidate, front
from offline_search.strategies.problem import Outcome, SearchError
from offline_search.strategies.single_path import Path as OnePath
from offline_search.strategies.sm_nas import SmNas
from offline_search.strategies.structures import structural_path, structure_sizes
from offline_search.strategies.trials import TRIALS_FILE
from offline_search.training.checkpoint import load_checkpoint
from offline_search.training.loop import WEIGHTS_FILE, TrainingStopped

STRUCTURAL, MODULAR, IMAGES = 4, 4, 12
COMPUTE = (STRUCTURAL + MODULAR) * (IMAGES + 64)
"""In images of a training: a score costs 64."""
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
SETTINGS: dict[str, Any] = {"structural": STRUCTURAL, "modular": MODULAR, "population": 3}


def run(out: Path, *, stop_at: int = -1, **settings: Any) -> Outcome:
    problem = drawn_problem(images=COMPUTE, cache=out.parent / "cache", stop_at=stop_at)
    return SmNas(**{**SETTINGS, **settings}).search(problem, out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """An uninterrupted search."""
    out = tmp_path_factory.mktemp("whole")
    return out, run(out)


def trials(outcome: Outcome, stage: str) -> list[dict[str, Any]]:
    return [row for row in outcome.details["trials"] if row["stage"] == stage]


def test_modules_are_evolved_from_structures_that_no_other_beats(
    whole: tuple[Path, Outcome],
) -> None:
    out, outcome = whole
    structural, modular = trials(outcome, "structural"), trials(outcome, "modular")
    assert (len(structural), len(modular)) == (STRUCTURAL, MODULAR)
    amount = drawn_problem().budget.amount
    assert all(0.5 * amount <= row["macs"] <= amount for row in structural)
    assert all(0.95 * amount <= row["macs"] <= amount for row in modular)
    for row in outcome.details["trials"]:
        faster = [other["score"] for other in outcome.details["trials"] if other["ms"] < row["ms"]]
        if row["front"]:
            assert all(score > row["score"] for score in faster)
    assert any(row["front"] for row in outcome.details["trials"])
    # The first of them is the structure of the least loss.
    best = Architecture.from_json(min(structural, key=lambda row: row["score"])["architecture"])
    storage = JournalStorage(JournalFileBackend(str(out / TRIALS_FILE)))
    (name,) = [name for name in optuna.get_all_study_names(storage) if name.endswith("-modular")]
    study = optuna.load_study(study_name=name, storage=storage)
    layers = zip(SPACE.slots, best.layers, strict=True)
    picks = [slot.candidates.index(names[0]) for slot, names in layers]
    assert study.trials[0].params == {
        "base": 0,
        **{f"slot_{slot}": pick for slot, pick in enumerate(picks)},
    }


def test_the_least_loss_within_the_budget_is_chosen(whole: tuple[Path, Outcome]) -> None:
    _, outcome = whole
    budget = drawn_problem().budget
    within = [row["score"] for row in outcome.details["trials"] if budget.holds(row["macs"])]
    assert outcome.estimate == min(within)
    assert budget.holds(cost(outcome.architecture).macs)
    networks = [outcome.architecture, *(network for network, _ in outcome.rivals)]
    assert len({network.digest for network in networks}) == len(networks)
    assert {row["score"] for row in trials(outcome, "modular")} <= set(within)


def test_each_new_network_is_timed_and_trained_once_with_group_norm(
    whole: tuple[Path, Outcome],
) -> None:
    out, outcome = whole
    rows = outcome.details["trials"]
    times = {Architecture.from_json(row["architecture"]).digest: row["ms"] for row in rows}
    assert all(ms > 0 for ms in times.values())
    folders = list((out / "trials").iterdir())
    assert {folder.name.split("-")[-1] for folder in folders} == {key[:8] for key in times}
    assert len(folders) == len(times) == outcome.details["trained"]
    assert outcome.images == len(times) * IMAGES
    assert 0 < outcome.details["compute"] <= 1
    for folder in folders:
        tensors, _ = load_checkpoint(folder / WEIGHTS_FILE)
        assert any(name.endswith("parametrizations.weight.original") for name in tensors)
        assert not any("running_mean" in name for name in tensors)
    assert outcome.details["latency"]["of"] == "network"
    assert outcome.details["latency"]["runtime"] == "onnxruntime"


def test_stopped_in_every_trial_it_ends_as_if_it_had_not_been(
    tmp_path: Path, whole: tuple[Path, Outcome]
) -> None:
    stops, again = 0, None
    while again is None:
        try:
            again = run(tmp_path, stop_at=5)
        except TrainingStopped:
            stops += 1
    assert stops == whole[1].details["trained"]
    assert again.architecture == whole[1].architecture
    assert again.estimate == whole[1].estimate
    assert again.rivals == whole[1].rivals
    assert again.details["trials"] == whole[1].details["trials"]


def test_times_of_another_machine_are_not_mixed_in(
    tmp_path: Path, whole: tuple[Path, Outcome]
) -> None:
    other = LatencyMeter(tmp_path)
    other.machine["processor"] = "another"
    problem = drawn_problem(images=COMPUTE)
    with pytest.raises(SearchError, match="machines of one kind"):
        SmNas(**SETTINGS).search(replace(problem, clock=lambda: other), whole[0])


def test_a_structure_is_one_family_in_every_layer_as_deep_as_each_stage_is() -> None:
    space = load_space("small")
    sizes = structure_sizes(space)
    assert sizes["depth_2"] == 4
    family = space.slots[0].candidates.index("sep_k5")
    values = {name: size - 1 for name, size in sizes.items()}
    path = structural_path(space, {**values, "family": family, "depth_1": 0, "depth_2": 1})
    network = path.architecture(space, KEYPOINTS)
    assert [[name for (name,) in stage.layers] for stage in network.stages] == [
        ["sep_k5", "sep_k5"],
        ["sep_k5", "skip", "skip"],
        ["sep_k5", "sep_k5", "skip", "skip"],
    ]
    assert network.input_size == (144, 144)


def test_the_front_is_what_no_other_beats_in_loss_and_time() -> None:
    rng = np.random.default_rng(0)
    some = OnePath((0,) * len(SPACE.genes), (0,) * len(SPACE.slots))
    network = some.architecture(SPACE, KEYPOINTS)
    candidates = [
        Candidate("modular", network, some, "", float(ms), float(loss), 1, 0.0)
        for ms, loss in rng.integers(0, 12, (40, 2))
    ]
    kept = front(candidates)
    assert {(one.ms, one.loss) for one in kept} == {
        (one.ms, one.loss)
        for one in candidates
        if not any(
            other.ms <= one.ms
            and other.loss <= one.loss
            and (other.ms, other.loss) != (one.ms, one.loss)
            for other in candidates
        )
    }
    assert [one.ms for one in kept] == sorted({one.ms for one in kept})


class Slowness:
    """A clock for what is not about time."""

    machine: Mapping[str, Any] = {"processor": "none"}

    def measure(self, architecture: Architecture) -> float:
        return cost(architecture).macs / 1e6

    total = measure


def test_necks_and_numbers_of_keypoints_are_structure_too_and_poses_are_compared(
    tmp_path: Path,
) -> None:
    few = (4, KEYPOINTS)
    space = replace(SPACE, name="open", necks=("none", "spp"), keypoints=few)
    assert {"neck", "keypoints"} <= structure_sizes(space).keys()
    problem = replace(drawn_problem(images=10 * (IMAGES + 64)), space=space, clock=Slowness)
    outcome = SmNas(structural=8, modular=2, population=4).search(problem, tmp_path)
    rows = outcome.details["trials"]
    heads = [
        Architecture.from_json(row["architecture"]).head for row in trials(outcome, "structural")
    ]
    assert {head.neck for head in heads} == {"none", "spp"}
    assert {head.outputs for head in heads} == set(few)
    assert all(0 < row["score"] <= 1 for row in rows)
    assert problem.budget.holds(cost(outcome.architecture).macs)
    assert outcome.details["judged_by"] == "pose error"
    assert "least pose error within" in outcome.details["trials_text"]
    # The check of the estimates compares the same.
    other = next(row for row in rows if row["score"] != outcome.estimate)
    rival = (Architecture.from_json(other["architecture"]), other["score"])
    ranking = rank(problem, replace(outcome, rivals=(rival,)), IMAGES, 2, tmp_path / "ranking")
    assert ranking is not None
    assert all(0 < row["trained"] <= 1 for row in ranking["candidates"])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"structural": 0}, "structural must be at least 1"),
        ({"modular": 0}, "modular must be at least 1"),
        ({"population": 1}, "population must be at least 2"),
        ({"lowest": 0.0}, "lowest must be above 0"),
        ({"chance": 1.5}, r"chance must be in \[0, 1\]"),
        ({"latency": "guess"}, "latency must be network or parts"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_what_can(
    settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(SearchError, match=f"strategy sm_nas: {named}"):
        SmNas(**settings)
