# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from offline_search.space import Head, cost
from offline_search.space.meter import MacsMeter, PriceBook
from offline_search.space.search_space import SearchSpace, StageSpace
from offline_search.strategies.categorical import Categorical
from offline_search.strategies.distribution import generator
from offline_search.strategies.single_path import Path

MINI = SearchSpace(
    name="mini",
    input_sizes=(32, 64),
    stems=((8, 8),),
    stages=(StageSpace(2, 2, (8, 16)),),
    operators=("mb_k3_e3", "sep_k3", "skip"),
    heads=(Head("heatmap", (8,), 1),),
)
KEYPOINTS = 5
WIDTH = 2  # index of the stage's gene
PRICES = PriceBook(MINI, KEYPOINTS, MacsMeter())


def known(*, joint: bool) -> Categorical:
    genes = [[0.0] * len(gene.choices) for gene in MINI.genes]
    genes[0], genes[WIDTH] = [0.0, math.log(2.0)], [0.0, math.log(3.0)]
    made = Categorical(MINI, [[0.5, -1.0], [1.0, -0.3, 0.1]], genes)
    with torch.no_grad():
        made.own[0] += torch.tensor([[0.0, 0.0], [0.0, 2.0]])
        made.own[1] += torch.tensor([[0.3, 0.0, -1.0], [0.0, 1.0, 0.0]])
    made.joint = joint
    return made


def paths() -> list[Path]:
    structures = product(*(range(len(gene.choices)) for gene in MINI.genes))
    picks = list(product(*(range(len(slot.candidates)) for slot in MINI.slots)))
    return [Path(choices, picked) for choices in structures for picked in picks]


@pytest.mark.parametrize("joint", [False, True])
def test_probabilities_add_up_and_give_entropy_and_mean_cost(joint: bool) -> None:
    made = known(joint=joint)
    with torch.no_grad():
        chances = {path: math.exp(float(made.log_likelihood(path))) for path in paths()}
    assert sum(chances.values()) == pytest.approx(1.0, abs=1e-5)
    wanted = -sum(p * math.log(p) for p in chances.values())
    assert made.nats() == pytest.approx(wanted, rel=1e-5)
    choices = (1, 0, 1, 0)
    inside = {path: p for path, p in chances.items() if path.choices == choices}
    mean = sum(p * path.cost(PRICES) for path, p in inside.items()) / sum(inside.values())
    found = made.cost_of_structure(choices, PRICES.of(choices))
    assert float(found.detach()) == pytest.approx(mean, rel=1e-5)


def test_the_price_of_a_path_is_the_cost_of_its_network() -> None:
    for path in paths()[::7]:
        assert path.cost(PRICES) == cost(path.architecture(MINI, KEYPOINTS)).macs


@pytest.mark.parametrize("joint", [False, True])
def test_networks_are_drawn_as_often_as_they_are_likely(joint: bool) -> None:
    made, rng, count = known(joint=joint), generator(0, 0, 0), 1500
    drawn = [made.draw(rng) for _ in range(count)]
    with torch.no_grad():
        for path in paths():
            wanted = math.exp(float(made.log_likelihood(path)))
            error = math.sqrt(wanted * (1 - wanted) / count)
            assert drawn.count(path) / count == pytest.approx(wanted, abs=4.5 * error)


def test_becoming_joint_changes_nothing_until_something_is_learnt() -> None:
    made = known(joint=False)
    with torch.no_grad():
        for own in made.own:
            own.zero_()
    before = made.nats(), made.snapshot(), made.likeliest()
    made.joint = True
    assert (made.nats(), made.snapshot(), made.likeliest()) == before
    # Then an operator can become likely in one width alone.
    value = made.log_likelihood(Path((0, 0, 1, 0), (1, 0)))
    (gradient,) = torch.autograd.grad(value, [made.own[0]])
    assert gradient[0].tolist() == [0.0, 0.0]
    assert gradient[1, 1] > 0 > gradient[1, 0]


def test_factorised_nothing_is_learnt_of_widths() -> None:
    made = known(joint=False)
    value = made.log_likelihood(Path((0, 0, 1, 0), (1, 0)))
    gradients = torch.autograd.grad(value, made.parameters(), materialize_grads=True)
    assert all((gradient == 0).all() for gradient in gradients[-len(made.own) :])


def test_the_preference_is_for_one_operator_as_likely_in_the_likeliest_structure() -> None:
    made = known(joint=True)
    preference = made.preference()
    assert preference.most_open == 1
    assert made.likeliest() == Path((1, 0, 1, 0), (1, 0))
    assert [int(values.argmax()) for values in preference.gates] == [1, 0]
    assert all((values > 0).sum() == 1 for values in preference.gates)
    assert preference.genes[0].tolist() == pytest.approx([math.log(1 / 3), math.log(2 / 3)])
