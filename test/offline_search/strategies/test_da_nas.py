# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path as Folder
from typing import Any

import numpy as np
import pytest
from drawn_search import KEYPOINTS, SPACE, drawn_problem

from offline_search.space.meter import MacsMeter, PriceBook
from offline_search.strategies.contest import contest
from offline_search.strategies.da_nas import DaNas
from offline_search.strategies.effects import effects, survivors
from offline_search.strategies.problem import SearchError
from offline_search.strategies.repair import NEVER, Preference
from offline_search.strategies.single_path import Path
from offline_search.training.journal import read_metrics

TOGETHER = 4


def test_effects_are_found_whatever_the_batches_are_like() -> None:
    rng, sizes = np.random.default_rng(0), [3, 2]
    truth = [np.array([-0.2, 0.0, 0.2]), np.array([0.1, -0.1])]
    taken = np.stack([rng.integers(size, size=400) for size in sizes], axis=1)
    losses = sum(effect[column] for effect, column in zip(truth, taken.T, strict=True))
    losses = losses + np.repeat(rng.normal(size=100), TOGETHER)  # how hard each batch is
    losses = losses + 0.01 * rng.normal(size=400)
    found = effects(sizes, taken, losses, TOGETHER)
    for values, errors, wanted in zip(found.values, found.errors, truth, strict=True):
        assert values - values.mean() == pytest.approx(wanted, abs=0.01)
        assert (errors > 0).all()
    assert found.certainty(0)[0] > 3
    assert found.certainty(0)[2] < -3


def test_what_was_never_compared_has_no_effect_and_no_certainty() -> None:
    taken = np.array([[0, 0], [1, 0]] * 20)
    found = effects([3, 2], taken, np.array([0.1, 0.3] * 20), 2)
    assert found.values[0][2] == pytest.approx(0.0)
    assert found.certainty(1)[1] == pytest.approx(0.0)
    assert found.values[0][0] < 0 < found.values[0][1]


@pytest.mark.parametrize(
    ("keep", "kept"), [(0.5, [[1, 2], [0]]), (0.7, [[1, 2, 4], [0]]), (1.0, [[1, 2, 4], [0]])]
)
def test_the_worse_share_of_what_is_left_goes_and_one_always_stays(
    keep: float, kept: list[list[int]]
) -> None:
    values = [np.array([-9.0, -0.2, -0.1, -9.0, 0.3]), np.array([0.5])]
    assert survivors(values, [[1, 2, 4], [0]], keep) == kept


def test_of_equal_candidates_the_first_stay() -> None:
    assert survivors([np.zeros(4)], [[0, 1, 2, 3]], 0.5) == [[0, 1]]


def test_what_was_pruned_is_not_brought_back_by_the_last_choice() -> None:
    structure = (0,) * len(SPACE.genes)
    book = PriceBook(SPACE, KEYPOINTS, MacsMeter())
    path = Path(structure, (0, 0, 0, 0))
    problem = drawn_problem(budget=path.cost(book) / 0.98)
    wanted = path.preference(SPACE)
    pruned = SPACE.slots[3].candidates.index("sep_k3")
    rng = np.random.default_rng(0)
    found = {}
    for name, log_odds in (("pruned", NEVER), ("left", -1.0)):
        wanted.gates[3][pruned] = log_odds
        preference = Preference(wanted.gates, wanted.genes)
        ranked = contest(problem, preference, lambda network: float(rng.random()), 24)
        found[name] = [one.architecture.layers[3] for one in ranked]
    assert any("sep_k3" in names for names in found["left"])
    assert set(found["pruned"]) == {("mb_k3_e3",)}


def test_the_trace_tells_what_fell_in_which_stage(tmp_path: Folder) -> None:
    outcome = DaNas(compared=2).search(drawn_problem(images=160), tmp_path)
    first, second, last = outcome.details["pruning"]
    assert [stage["easiest_of"] for stage in (first, second, last)] == [3, 2, 1]
    for index, slot in enumerate(SPACE.slots):
        at_first, then, at_last = (stage["layers"][index] for stage in (first, second, last))
        assert sorted(at_first["left"] + at_first["fell"]) == sorted(slot.candidates)
        assert list(then["effects"]) == at_first["left"]
        assert at_last["left"] == then["left"]
        assert at_last["fell"] == []
        assert len(then["left"]) == 1
    # Easier samples first, by what is measured; nothing hides this world's object.
    hard = [sum(stage["hardness"].values()) for stage in (first, second, last)]
    assert max(hard[:2]) < hard[2]
    rows = read_metrics(tmp_path, "search")
    left_open = [row["left"] for row in rows]
    assert left_open == sorted(left_open, reverse=True)
    assert {"loss_train", "loss_held_out", "expected", "foreshortened"} <= set(rows[0])


@pytest.mark.parametrize(
    ("name", "value"), [("easiest_of", ()), ("easiest_of", [0]), ("keep", 0.0), ("compared", 1)]
)
def test_a_setting_that_cannot_be_is_named_with_what_can(name: str, value: Any) -> None:
    with pytest.raises(SearchError, match=f"strategy da_nas: {name} must be"):
        DaNas(**{name: value})
