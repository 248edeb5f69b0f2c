# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from offline_search.space.gates import Gate, SeveralGate, SingleGate, entropy_bits, gated_mean

GATES = [SeveralGate(), SingleGate()]
LOGITS = torch.tensor([-1.5, 0.2, 2.0, -0.3], dtype=torch.float64)
UNIFORM = torch.tensor([0.7, 0.1, 0.6, 0.9], dtype=torch.float64)


def jacobian(gate: Gate, logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """(n, n): of gate i (row) by logit j (column)."""
    return torch.autograd.functional.jacobian(
        lambda a: gate.sample(a, uniform, temperature), logits
    )


@pytest.mark.parametrize("temperature", [5.0, 1.0, 0.1])
def test_several_gates_have_the_values_and_gradients_of_the_formula(temperature: float) -> None:
    # s = sigmoid((a + logit(u)) / t); a gate is open where s > 1/2, that is a + logit(u) > 0
    shifted = [a + math.log(u / (1 - u)) for a, u in zip(LOGITS, UNIFORM, strict=True)]
    soft = [1 / (1 + math.exp(-value / temperature)) for value in shifted]
    gates = SeveralGate().sample(LOGITS, UNIFORM, temperature)
    assert gates.tolist() == [float(value > 0) for value in shifted] == [0.0, 0.0, 1.0, 1.0]
    expected = torch.diag(torch.tensor([s * (1 - s) / temperature for s in soft]).double())
    assert torch.allclose(jacobian(SeveralGate(), LOGITS, UNIFORM, temperature), expected)


@pytest.mark.parametrize("temperature", [5.0, 1.0, 0.1])
def test_a_single_gate_has_the_value_and_gradients_of_the_formula(temperature: float) -> None:
    noisy = [a - math.log(-math.log(u)) for a, u in zip(LOGITS, UNIFORM, strict=True)]
    powers = [math.exp(value / temperature) for value in noisy]
    soft = torch.tensor([power / sum(powers) for power in powers], dtype=torch.float64)
    gates = SingleGate().sample(LOGITS, UNIFORM, temperature)
    assert gates.tolist() == [float(value == max(noisy)) for value in noisy]
    expected = (torch.diag(soft) - torch.outer(soft, soft)) / temperature
    assert torch.allclose(jacobian(SingleGate(), LOGITS, UNIFORM, temperature), expected)


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: type(gate).__name__)
@pytest.mark.parametrize("temperature", [5.0, 0.1])
def test_gates_are_exactly_open_or_closed_and_one_is_open(gate: Gate, temperature: float) -> None:
    rng = torch.Generator().manual_seed(0)
    for _ in range(200):
        logits = 3 * torch.randn(5, generator=rng) - 4
        gates = gate.sample(logits, torch.rand(5, generator=rng), temperature)
        assert set(gates.tolist()) <= {0.0, 1.0}
        assert gates.sum() >= 1
        assert gates.sum() == 1 or isinstance(gate, SeveralGate)


def test_where_none_would_be_open_the_greatest_with_its_noise_is() -> None:
    logits = torch.tensor([-20.0, -19.0, -20.0])
    assert SeveralGate().sample(logits, torch.full((3,), 0.5), 1.0).tolist() == [0, 1, 0]
    assert SeveralGate().sample(logits, torch.tensor([0.5, 0.1, 0.4]), 1.0).tolist() == [1, 0, 0]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: type(gate).__name__)
def test_the_edges_of_the_noise_give_finite_gates(gate: Gate) -> None:
    logits = torch.zeros(3, requires_grad=True)
    gates = gate.sample(logits, torch.tensor([0.0, 1.0, 0.5]), 0.1)
    (gates * torch.arange(3.0)).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(gates).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("temperature", [5.0, 0.1])
@pytest.mark.parametrize("logit", [-2.0, 0.0, 0.7])
def test_a_gate_is_open_as_often_as_the_sigmoid_of_its_logit(
    logit: float, temperature: float
) -> None:
    count = 40_000
    logits = torch.full((count + 1,), logit)
    logits[0] = 100.0  # is the greatest, so that no other is opened for being that
    uniform = torch.rand(count + 1, generator=torch.Generator().manual_seed(1))
    share = float(SeveralGate().sample(logits, uniform, temperature)[1:].mean())
    expected = 1 / (1 + math.exp(-logit))
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / count))
    assert float(SeveralGate().probabilities(logits)[1]) == pytest.approx(expected)


@pytest.mark.parametrize("shift", [-9.0, -4.0, -1.0, 0.0, 3.0])
def test_several_gates_are_open_as_often_as_they_say_with_the_one_that_never_closes(
    shift: float,
) -> None:
    rng = torch.Generator().manual_seed(4)
    count, logits = 20_000, LOGITS + shift
    uniform = torch.rand((count, 4), generator=rng, dtype=torch.float64)
    opened = torch.stack([SeveralGate().sample(logits, u, 1.0) for u in uniform])
    expected = SeveralGate().probabilities(logits)
    assert torch.allclose(opened.mean(0), expected, atol=4 * 0.5 / math.sqrt(count))
    rescued = expected - torch.sigmoid(logits)
    # together: how likely none opens by itself
    assert float(rescued.sum()) == pytest.approx(float((1 - torch.sigmoid(logits)).prod()))


def test_the_probability_of_a_lone_gate_is_one_whatever_its_logit() -> None:
    for logit in (-30.0, -2.0, 5.0):
        lone = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
        probability = SeveralGate().probabilities(lone)
        probability.sum().backward()
        assert probability.item() == pytest.approx(1.0, abs=2e-5)
        assert lone.grad is not None
        assert lone.grad.item() == pytest.approx(0.0, abs=2e-5)


def test_a_single_gate_opens_each_as_often_as_the_softmax() -> None:
    rng = torch.Generator().manual_seed(2)
    count = 4000
    uniform = torch.rand((count, 4), generator=rng, dtype=torch.float64)
    opened = sum(SingleGate().sample(LOGITS, u, 1.0) for u in uniform)
    expected = torch.softmax(LOGITS, 0)
    assert torch.allclose(opened / count, expected, atol=0.03)
    assert torch.allclose(SingleGate().probabilities(LOGITS), expected)


def test_without_noise_what_is_likelier_open_is_open() -> None:
    assert SeveralGate().decide(LOGITS).tolist() == [False, True, True, False]
    assert SeveralGate().decide(-LOGITS.abs()).tolist() == [False, True, False, False]
    assert SingleGate().decide(LOGITS).tolist() == [False, False, True, False]


@pytest.mark.parametrize("opened", [[1, 1, 1], [1, 0, 1], [0, 1, 0]])
def test_a_gated_mean_is_the_mean_of_what_is_open(opened: list[int]) -> None:
    rng = torch.Generator().manual_seed(3)
    outputs = [torch.randn(2, 3, generator=rng, dtype=torch.float64) for _ in opened]
    gates = torch.tensor(opened, dtype=torch.float64, requires_grad=True)
    y = gated_mean(outputs, gates)
    kept = [output for output, gate in zip(outputs, opened, strict=True) if gate]
    assert torch.allclose(y, torch.stack(kept).mean(0))
    # d/dg_i of (sum g y) / (sum g) is (y_i - y) / n, for closed gates as for open ones
    weight = torch.randn(2, 3, generator=rng, dtype=torch.float64)
    (y * weight).sum().backward()
    by_hand = [float((weight * (output - y.detach())).sum() / len(kept)) for output in outputs]
    assert gates.grad is not None
    assert gates.grad.tolist() == pytest.approx(by_hand)


def test_a_gated_mean_of_less_than_one_open_gate_is_not_scaled_up() -> None:
    outputs = [torch.tensor(4.0), torch.tensor(8.0)]
    gates = torch.tensor([0.25, 0.5], requires_grad=True)
    y = gated_mean(outputs, gates)
    assert y == 5.0
    y.backward()
    assert gates.grad is not None
    assert gates.grad.tolist() == [4.0, 8.0]


def test_entropy_is_that_of_open_or_closed() -> None:
    values = entropy_bits(torch.tensor([0.0, 1.0, 0.5, 0.25], dtype=torch.float64))
    quarter = 0.25 * 2 + 0.75 * math.log2(4 / 3)
    assert values.tolist() == pytest.approx([0.0, 0.0, 1.0, quarter])
