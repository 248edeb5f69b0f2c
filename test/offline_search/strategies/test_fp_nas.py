# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_search import drawn_problem

from offline_search.strategies.fp_nas import FpNas, samples_for
from offline_search.strategies.parsec import Parsec
from offline_search.strategies.probabilistic import STRUCTURES, ProbabilisticSearch
from offline_search.strategies.problem import SearchError
from offline_search.strategies.registry import Strategy
from offline_search.training.distributed import ALONE
from offline_search.training.journal import read_metrics


def run(strategy: Strategy, out: Path, **problem: Any) -> list[dict[str, float]]:
    strategy.search(drawn_problem(**problem), out)
    return read_metrics(out, "search")


@pytest.mark.parametrize(
    ("entropy", "count"),
    [(20.0, 12), (30.0, 12), (10.0, 6), (10.01, 7), (5.0, 3), (1.0, 2), (0.0, 2)],
)
def test_samples_are_in_proportion_to_the_entropy(entropy: float, count: int) -> None:
    assert samples_for(entropy, first_entropy=20.0, samples=12, fewest=2) == count


def test_where_all_is_decided_at_first_the_fewest_suffice() -> None:
    assert samples_for(0.0, first_entropy=0.0, samples=12, fewest=3) == 3


def test_as_the_distribution_is_decided_fewer_children_are_drawn(tmp_path: Path) -> None:
    settings = {"samples": 4, "seed_operator": "", "warmup": 0.0, "logit_rate": 0.5}
    rows = run(FpNas(**settings, contest=0.0), tmp_path, images=300)
    assert rows[-1]["nats"] < rows[0]["nats"]
    assert 2 <= rows[-1]["samples"] < rows[0]["samples"] <= 4


def test_the_hinge_brings_the_cost_down_and_parsec_has_none(tmp_path: Path) -> None:
    settings = {"samples": 2, "warmup": 0.0, "logit_rate": 0.2, "seed_operator": ""}
    # Only the least networks of the space cost less.
    problem = {"budget": 1.0e6, "images": 300}
    penalty = {"multiplier": 10.0, "multiplier_rate": 0.0, "fewest": 2}
    rows = run(FpNas(**settings, **penalty), tmp_path / "fp_nas", **problem)
    free = run(Parsec(**settings), tmp_path / "parsec", **problem)
    assert rows[-1]["expected"] < rows[0]["expected"]
    assert rows[-1]["expected"] < free[-1]["expected"]
    assert {row["lambda"] for row in rows} == {10.0}
    assert all("lambda" not in row for row in free)


def test_the_gradient_of_the_expected_cost_is_unbiased(tmp_path: Path) -> None:
    settings = Parsec(seed_operator="").settings
    search = ProbabilisticSearch(settings, drawn_problem(), ALONE, tmp_path)
    distribution, prices = search.distribution, search.prices
    amount = search.budget.amount
    gene = 3  # the width of the second stage, the only choice of this structure
    with torch.no_grad():
        distribution.genes[gene].copy_(torch.tensor([0.4, -0.3]))
    structures = [(0, 0, 0, index, 0, 0) for index in range(2)]
    likely = torch.softmax(distribution.genes[gene], 0)
    means = [distribution.cost_of_structure(one, prices.of(one)) / amount for one in structures]
    exact = sum(p * mean for p, mean in zip(likely, means, strict=True))
    wanted = torch.autograd.grad(exact, [distribution.genes[gene], distribution.gates[1]])
    rng, count = torch.Generator().manual_seed(0), 60
    found = [torch.zeros_like(gradient) for gradient in wanted]
    for _ in range(count):
        _, surrogate = search._expected_cost(rng)
        drawn = torch.autograd.grad(surrogate, [distribution.genes[gene], distribution.gates[1]])
        found = [total + one / count for total, one in zip(found, drawn, strict=True)]
    assert STRUCTURES * count == 960
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0.15, atol=2e-3)


@pytest.mark.parametrize(
    ("strategy", "name", "value"),
    [
        (Parsec, "samples", 1),
        (Parsec, "temperature", 0.0),
        (Parsec, "seed_operator", "mb_k9"),
        (FpNas, "fewest", 13),
        (FpNas, "joint", 1.5),
        (FpNas, "multiplier", -1.0),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_what_can(
    strategy: Any, name: str, value: Any
) -> None:
    with pytest.raises(SearchError, match=f"strategy [a-z_]+: {name} must be"):
        strategy(**{name: value})
