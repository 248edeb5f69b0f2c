# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path as File
from typing import Any

import numpy as np
import pytest
import torch
from drawn_search import KEYPOINTS, SPACE, drawn_problem

from offline_search.space.operators import last_norm
from offline_search.space.supernet import Supernet
from offline_search.strategies.bn_nas import BnNas
from offline_search.strategies.evolution import Evolution, crossed, mutated
from offline_search.strategies.gammas import GammaScore, train_last_norms_only
from offline_search.strategies.problem import SearchError
from offline_search.strategies.session import CHECKPOINT_FILE
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.strategies.single_path import Path, draw, everything
from offline_search.training.checkpoint import load_checkpoint
from offline_search.training.distributed import ALONE

STRUCTURE = (0, 0, 0, 0, 0, 0)  # widths 16, 32, 64; gene 3 chooses 32 or 40


def supernet() -> Supernet:
    made = Supernet(SPACE, KEYPOINTS, seed=0, apart=True)
    train_last_norms_only(made)
    return made


def test_operators_that_are_apart_share_no_weight() -> None:
    made = Supernet(SPACE, KEYPOINTS, seed=0, apart=True)
    assert made.families == [slot.candidates for slot in SPACE.slots]


def test_only_the_last_norm_of_each_operator_is_trained_and_all_start_alike() -> None:
    made = supernet()
    trained = {name for name, p in made.named_parameters() if p.requires_grad}
    # Four slots of mb and sep; one of them also has skip, which has no norm.
    assert len(trained) == 2 * 4 * 2
    assert all(name.startswith("body.layers.") for name in trained)
    for layer in made.body.layers:
        for one in layer.operators:
            norm = last_norm(one)
            if norm is not None:
                assert (norm.weight == 1).all()
                assert (norm.bias == 0).all()


def test_the_score_is_the_sum_of_mean_gammas_and_the_identity_has_none() -> None:
    made = supernet()
    with torch.no_grad():
        for slot, layer in enumerate(made.body.layers):
            for index, one in enumerate(layer.operators):
                norm = last_norm(one)
                if norm is not None:
                    # Signs do not count; channels beyond the structure's width do not either.
                    norm.weight.fill_(-(slot + 1.0) if index else 0.5 * (slot + 1.0))
                    width = 32 if SPACE.slots[slot].stage == 1 else len(norm.weight)
                    norm.weight[width:] = 100.0
    raw = GammaScore.read(SPACE, made, normalised=False)
    assert raw.layer(2, STRUCTURE).tolist() == [1.5, 3.0, 0.0]
    assert raw.of(Path(STRUCTURE, (0, 0, 0, 0))) == 0.5 + 1.0 + 1.5 + 2.0
    assert raw.of(Path(STRUCTURE, (1, 0, 2, 1))) == 1.0 + 1.0 + 0.0 + 4.0
    wider = (0, 0, 0, 1, 0, 0)
    assert raw.layer(1, wider)[0] == pytest.approx((32 * 1.0 + 8 * 100.0) / 40)
    even = GammaScore.read(SPACE, made, normalised=True)
    assert even.layer(2, STRUCTURE).tolist() == [0.5, 1.0, 0.0]
    assert even.of(Path(STRUCTURE, (1, 0, 2, 1))) == 1.0 + 0.5 + 0.0 + 1.0


def test_a_step_moves_last_norms_and_nothing_else(tmp_path: File) -> None:
    problem = drawn_problem(images=200)
    BnNas(generations=0, population=4).search(problem, tmp_path)
    tensors, _ = load_checkpoint(tmp_path / CHECKPOINT_FILE)
    fresh = SharedWeights(problem, ALONE, apart=True)
    train_last_norms_only(fresh.supernet)
    moved = {
        name
        for name, value in fresh.supernet.named_parameters()
        if not torch.equal(tensors[f"supernet.{name}"], value)
    }
    assert moved
    assert moved <= {name for name, p in fresh.supernet.named_parameters() if p.requires_grad}


def test_evolution_finds_the_best_that_fits() -> None:
    # Each gene and operator is worth its index; few may be worth much.
    def score(path: Path) -> float:
        return float(sum(path.picks))

    def fits(path: Path) -> bool:
        return path.picks.count(2) <= 1 and path.choices[3] == 1

    def first(rng: np.random.Generator) -> Path:
        return Path((0, 0, 0, 1, 0, 0), tuple(int(rng.integers(2)) for _ in SPACE.slots))

    rng = np.random.default_rng(0)
    ranked, best = Evolution().run(SPACE, first, score, fits, rng)
    assert all(fits(path) for path, _ in ranked)
    assert ranked[0][1] == 5.0  # one operator of index 2, three of index 1
    assert [value for _, value in ranked] == sorted((v for _, v in ranked), reverse=True)
    assert len(best) == 21
    assert best == sorted(best)
    again, _ = Evolution().run(SPACE, first, score, fits, np.random.default_rng(0))
    assert again == ranked


def test_mutants_differ_as_often_as_said_and_children_have_one_of_two_parents_parts() -> None:
    rng = np.random.default_rng(0)
    one, other = (draw(SPACE, everything(SPACE), rng) for _ in range(2))
    assert mutated(SPACE, one, 0.0, rng) == one
    kept = [mutated(SPACE, one, 0.1, rng).picks[0] == one.picks[0] for _ in range(2000)]
    assert np.mean(kept) == pytest.approx(1 - 0.1 / 2, abs=0.02)  # of two candidates
    for _ in range(20):
        child = crossed(one, other, rng)
        assert all(p in pair for p, *pair in zip(child.picks, one.picks, other.picks, strict=True))


@pytest.mark.parametrize(
    ("name", "value"), [("share", 0.0), ("rate", 0.0), ("normalised", 1), ("chance", 2.0)]
)
def test_a_setting_that_cannot_be_is_named_with_what_can(name: str, value: Any) -> None:
    with pytest.raises(SearchError, match=f"strategy bn_nas: {name} must be"):
        BnNas(**{name: value})
