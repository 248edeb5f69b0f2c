# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from drawn_search import KEYPOINTS, SPACE, drawn_problem
from torch import Tensor

from offline_search.space.architecture import Architecture
from offline_search.space.search_space import Point
from offline_search.strategies.importance import (
    children_losses,
    importance_gradient,
    importance_weights,
)
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.training.distributed import ALONE
from offline_search.training.feed import batches

TEMPERATURE = 0.05


def network(*picked: str) -> Architecture:
    opened = tuple((name,) for name in picked)
    return SPACE.architecture(Point((0,) * len(SPACE.genes), opened), KEYPOINTS)


CHILDREN = [
    network("mb_k3_e3", "sep_k3", "skip", "sep_k3"),
    network("sep_k3", "mb_k3_e3", "mb_k3_e3", "mb_k3_e3"),
    network("sep_k3", "sep_k3", "sep_k3", "sep_k3"),
]


@pytest.fixture(scope="module")
def weights() -> SharedWeights:
    made = SharedWeights(drawn_problem(), ALONE)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():  # as after a while of training: children differ
        for parameter in made.supernet.parameters():
            parameter += 0.1 * torch.rand(parameter.shape, generator=rng)
    return made


@pytest.fixture(scope="module")
def batch(weights: SharedWeights) -> dict[str, Tensor]:
    dataset = weights.problem.task.training()
    return next(iter(batches(dataset, start=0, stop=1, batch=4, workers=0)))


def gradients(weights: SharedWeights) -> dict[str, Tensor]:
    shared = weights.supernet.shared
    return {name: p.grad.clone() for name, p in shared.items() if p.grad is not None}


def test_weights_are_the_shares_of_the_likelihoods() -> None:
    losses, temperature = [0.3, 0.5, 1.1], 0.2
    likelihoods = [math.exp(-loss / temperature) for loss in losses]
    wanted = [one / sum(likelihoods) for one in likelihoods]
    assert importance_weights(losses, temperature).tolist() == pytest.approx(wanted)
    assert importance_weights([1e4, 1e4 + 1], 0.5).tolist() == pytest.approx(
        [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))]
    )


def test_the_gradient_in_the_distribution_is_that_of_the_evidence() -> None:
    # Two candidates: log sum_a p(a | pi) p(y | a) by autograd, against importance weights of
    # children in the very proportions of p(a | pi).
    pi = torch.tensor([0.0, math.log(3.0)], dtype=torch.float64, requires_grad=True)
    losses, temperature = [0.7, 0.4], 0.5
    likelihood = torch.exp(-torch.tensor(losses, dtype=torch.float64) / temperature)
    evidence = torch.log((torch.softmax(pi, 0) * likelihood).sum())
    (wanted,) = torch.autograd.grad(evidence, pi)
    children = [0, 1, 1, 1]
    shares = importance_weights([losses[child] for child in children], temperature)
    likely = torch.stack([torch.log_softmax(pi, 0)[child] for child in children])
    (found,) = torch.autograd.grad((shares * likely).sum(), pi)
    assert found.tolist() == pytest.approx(wanted.tolist(), rel=1e-9)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 1, 0]])
def test_the_gradient_in_the_weights_is_that_of_the_log_of_the_mean_likelihood(
    weights: SharedWeights, batch: dict[str, Tensor], order: list[int]
) -> None:
    children = [CHILDREN[number] for number in order]
    weights.forget_gradients()
    losses = [weights.loss(child, batch)[0] for child in children]
    shares = importance_weights(children_losses(weights, children, batch), TEMPERATURE)
    torch.stack([s * loss for s, loss in zip(shares.float(), losses, strict=True)]).sum().backward()
    wanted = gradients(weights)
    mean = float(sum(s * loss.detach() for s, loss in zip(shares, losses, strict=True)))
    weights.forget_gradients()
    found, seen = importance_gradient(weights, children, batch, TEMPERATURE)
    assert found == pytest.approx(children_losses(weights, children, batch))
    assert max(found) - min(found) > TEMPERATURE / 10
    assert seen == pytest.approx(mean, rel=1e-5)
    assert gradients(weights).keys() == wanted.keys()
    for name, gradient in gradients(weights).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-6)


class Held:
    """Counts the bytes that autograd keeps for the backward pass, and the most at any time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> Any:
        return _Kept(self, tensor)

    def unpack(self, kept: Any) -> Tensor:
        tensor: Tensor = kept.tensor
        return tensor


class _Kept:
    def __init__(self, held: Held, tensor: Tensor) -> None:
        self.held, self.tensor = held, tensor
        held.now += tensor.nbytes
        held.most = max(held.most, held.now)

    def __del__(self) -> None:
        self.held.now -= self.tensor.nbytes


def most_held(weights: SharedWeights, children: list[Architecture], batch: Any) -> int:
    held = Held()
    weights.forget_gradients()
    with torch.autograd.graph.saved_tensors_hooks(held.pack, held.unpack):
        importance_gradient(weights, children, batch, TEMPERATURE)
    assert held.now == 0
    return held.most


def test_many_children_need_the_memory_of_one(
    weights: SharedWeights, batch: dict[str, Tensor]
) -> None:
    alone = [most_held(weights, [child], batch) for child in CHILDREN]
    assert min(alone) > 0
    assert most_held(weights, [*CHILDREN, *CHILDREN], batch) == max(alone)
