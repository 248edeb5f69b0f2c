# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from offline_search.space import Head, cost
from offline_search.space.gates import Gate, SeveralGate, SingleGate
from offline_search.space.meter import MacsMeter, price_list
from offline_search.space.operators import OPERATORS
from offline_search.space.search_space import SearchSpace, StageSpace
from offline_search.strategies.distribution import Distribution, Sample, generator

MINI = SearchSpace(
    name="mini",
    input_sizes=(32, 64, 96),
    stems=((8, 8),),
    stages=(StageSpace(2, 2, (8, 16)),),
    operators=("mb_k3_e3", "sep_k3", "skip"),
    heads=(Head("heatmap", (8,), 1),),
)
CHOICES = (1, 0, 1, 0)
KEYPOINTS = 5
GATES = [[0.5, -1.0], [2.0, -0.3, 0.1]]


def known(gate: Gate | None = None) -> Distribution:
    """With logits that are easy to reckon with."""
    genes = [[0.0] * len(gene.choices) for gene in MINI.genes]
    genes[0] = [0.0, math.log(2.0), 0.0]
    genes[2] = [0.0, math.log(3.0)]
    return Distribution(MINI, gate or SeveralGate(), GATES, genes)


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def test_random_numbers_follow_from_seed_step_and_purpose_alone() -> None:
    def numbers(seed: int, step: int, purpose: int) -> list[float]:
        return torch.rand(3, generator=generator(seed, step, purpose)).tolist()

    keys = [(s, t, p) for s in range(3) for t in range(3) for p in range(3)]
    assert numbers(1, 2, 0) == numbers(1, 2, 0)
    assert len({tuple(numbers(*key)) for key in keys}) == len(keys)


def test_the_expected_cost_is_the_mean_cost_of_networks_drawn() -> None:
    made = known()
    prices = price_list(MINI, CHOICES, KEYPOINTS, MacsMeter())
    rng = generator(0, 0, 0)
    drawn = []
    with torch.no_grad():
        for _ in range(4000):
            gates = made.draw_gates(rng, 1.0)
            drawn.append(prices.fixed + prices.of([gate.tolist() for gate in gates]))
    error = np.std(drawn) / math.sqrt(len(drawn))
    expected = float(made.expected_cost(prices).detach())
    assert expected == pytest.approx(np.mean(drawn), abs=4 * error)


def test_the_gradient_of_the_expected_cost_is_its_slope() -> None:
    made = known()
    prices = price_list(MINI, CHOICES, KEYPOINTS, MacsMeter())
    made.gates = [logits.detach().double().requires_grad_() for logits in made.gates]
    gradients = torch.autograd.grad(made.expected_cost(prices), made.gates)
    for logits, gradient in zip(made.gates, gradients, strict=True):
        for index, slope in enumerate(gradient.tolist()):
            costs = []
            for step in (-1e-4, 1e-4):
                with torch.no_grad():
                    logits[index] += step
                    costs.append(float(made.expected_cost(prices)))
                    logits[index] -= step
            assert slope == pytest.approx((costs[1] - costs[0]) / 2e-4, rel=1e-4)


def test_the_expected_cost_of_decided_gates_is_that_of_their_network() -> None:
    made = known()
    with torch.no_grad():
        for logits in made.gates:
            logits *= 100.0
    prices = price_list(MINI, CHOICES, KEYPOINTS, MacsMeter())
    network = MINI.architecture(Sample(CHOICES, made.mode().gates).point(MINI), KEYPOINTS)
    assert float(made.expected_cost(prices).detach()) == pytest.approx(cost(network).macs, rel=1e-5)


def test_the_log_probability_of_a_structure_and_its_gradient() -> None:
    made = known()
    value = made.log_probability(CHOICES)
    assert float(value.detach()) == pytest.approx(math.log(2 / 4) + math.log(3 / 4))
    (gradient,) = torch.autograd.grad(value, made.genes[0])
    assert gradient.tolist() == pytest.approx([-1 / 4, 1 - 2 / 4, -1 / 4])


def test_structures_are_drawn_as_often_as_they_are_likely() -> None:
    made, rng = known(), torch.Generator().manual_seed(0)
    drawn = [made.draw_choices(rng) for _ in range(2000)]
    assert sum(d[0] == 1 for d in drawn) / 2000 == pytest.approx(2 / 4, abs=0.04)
    assert sum(d[2] == 1 for d in drawn) / 2000 == pytest.approx(3 / 4, abs=0.04)
    assert all(d[1] == d[3] == 0 for d in drawn)


def test_gates_are_drawn_as_often_as_they_are_likely_and_carry_gradients() -> None:
    made, rng = known(), torch.Generator().manual_seed(0)
    count = 1500
    total = sum(made.draw_gates(rng, 1.0)[1].detach() for _ in range(count))
    none = math.prod(1 - sigmoid(a) for a in GATES[1])
    for share, a in zip((total / count).tolist(), GATES[1], strict=True):
        # one is opened where none would be
        assert sigmoid(a) - 0.05 < share < sigmoid(a) + none + 0.05
    gates = made.draw_gates(rng, 1.0)
    gradients = torch.autograd.grad(torch.cat(gates).sum(), made.gates)
    assert all((gradient > 0).all() for gradient in gradients)


def test_the_mode_is_what_is_likelier_open_in_the_likeliest_structure() -> None:
    mode = known().mode()
    assert mode.choices == CHOICES
    assert [gates.tolist() for gates in mode.gates] == [[1, 0], [1, 0, 1]]
    assert mode.point(MINI).opened == (("mb_k3_e3",), ("mb_k3_e3", "skip"))
    single = known(SingleGate()).mode()
    assert [gates.tolist() for gates in single.gates] == [[1, 0], [1, 0, 0]]


def test_a_sample_can_be_widened_by_closed_gates() -> None:
    sample = Sample(CHOICES, (torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])))
    point = sample.point(MINI, also=[[0], [2]])
    assert point.choices == CHOICES
    assert point.opened == (("mb_k3_e3", "sep_k3"), ("mb_k3_e3", "skip"))
    weights = sample.weights(also=[[0], [2]])
    assert [weight.tolist() for weight in weights] == [[0, 1], [1, 0]]
    assert [weight.tolist() for weight in sample.weights()] == [[1], [1]]


def test_gates_can_be_drawn_for_a_cost() -> None:
    space = replace(MINI, operators=tuple(sorted(OPERATORS)))
    rng = torch.Generator().manual_seed(0)
    made = Distribution(
        space,
        SeveralGate(),
        [torch.randn(len(slot.candidates), generator=rng).tolist() for slot in space.slots],
        [[0.0] * len(gene.choices) for gene in space.genes],
    )
    prices = price_list(space, CHOICES, KEYPOINTS, MacsMeter())
    dearest = max(price for slot in prices.slots for price in slot)
    noise = made.draw_noise(rng)
    for share in (0.2, 0.5, 0.8):
        wanted = prices.least + share * (prices.most - prices.least)
        gates = made.gates_at_cost(noise, prices, wanted)
        network = space.architecture(Sample(CHOICES, gates).point(space), KEYPOINTS)
        assert abs(cost(network).macs - wanted) <= dearest
        again = made.gates_at_cost(noise, prices, wanted)
        assert all(torch.equal(a, b) for a, b in zip(gates, again, strict=True))


def test_entropy_is_one_bit_a_gate_that_is_undecided_and_none_where_all_is_decided() -> None:
    # One gate stays open always; the others are open half of the time.
    genes = [[0.0] * len(gene.choices) for gene in MINI.genes]
    made = Distribution(MINI, SeveralGate(), [[40.0, 0.0], [40.0, 0.0, 0.0]], genes)
    assert made.entropy() == pytest.approx(3 / 5)
    with torch.no_grad():
        for logits in made.gates:
            logits.fill_(40.0)
    assert made.entropy() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("gate", "most_open"), [(SeveralGate(), None), (SingleGate(), 1)])
def test_preferences_and_snapshots_say_what_was_learnt(gate: Gate, most_open: int | None) -> None:
    made = known(gate)
    preference = made.preference()
    assert preference.most_open == most_open
    for values, row in zip(preference.gates, GATES, strict=True):
        assert int(values.argmax()) == row.index(max(row))
        assert values.max() > 0
    if most_open is None:
        assert [values.tolist() for values in preference.gates] == [
            pytest.approx(row) for row in GATES
        ]
    assert preference.genes[0].tolist() == pytest.approx([math.log(p) for p in (0.25, 0.5, 0.25)])
    snapshot = made.snapshot()
    assert snapshot["genes"][0] == [0.25, 0.5, 0.25]
    assert snapshot["gates"][1] == [round(p, 4) for p in gate.probabilities(made.gates[1]).tolist()]
    assert all(0 <= p <= 1 for slot in snapshot["gates"] for p in slot)
