# SPDX-License-Identifier: Apache-2.0
"""Importance weights of children, and the shared weights' gradient under them (PARSEC).

Of K children drawn from p(a | pi) the k-th has the weight w_k = p(y|X,v,a_k) / sum_j p(y|X,v,a_j).
The gradient of the log of the mean likelihood is sum_k w_k grad log p(y|X,v,a_k) in the weights v,
and sum_k w_k grad log p(a_k|pi) in the distribution's parameters pi (arXiv 1902.05116).

The likelihood of a child is exp(-loss / temperature), which is ours: a loss in nats is one of a
batch's mean, and the likelihood of a whole batch would leave all weight to one child of many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from offline_search.space.architecture import Architecture
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.training.distributed import average_tensors


def importance_weights(losses: Sequence[float], temperature: float) -> Tensor:
    """The weights (K,), which add up to one.

    Args:
        losses: Of the children on the same batch.
        temperature: By which losses are divided, nats.
    """
    return torch.softmax(-torch.tensor(losses, dtype=torch.float64) / temperature, 0)


@torch.no_grad()
def children_losses(
    weights: SharedWeights, children: Sequence[Architecture], batch: Mapping[str, Tensor]
) -> list[float]:
    """Comparing losses of the children, one after another, the same in all processes."""
    losses = []
    for child in children:
        comparing = weights.loss(child, batch)[1]
        average_tensors([comparing], weights.world)
        losses.append(float(comparing))
    return losses


def importance_gradient(
    weights: SharedWeights,
    children: Sequence[Architecture],
    batch: Mapping[str, Tensor],
    temperature: float,
) -> tuple[list[float], float]:
    """Adds sum_k w_k grad loss_k to the gradients of the shared weights, which must have none.

    Children are run one after another: what is held in memory at a time is one child's. A weight
    needs all losses, yet no child is run twice: gradients are summed in proportion to the best
    likelihood so far, scaled down when a better one comes, and divided by the sum in the end.

    Returns:
        The children's comparing losses, and the weighted mean of their losses.
    """
    best, total, mean = -math.inf, 0.0, 0.0
    losses = []
    for child in children:
        loss, comparing = weights.loss(child, batch)
        seen = torch.stack([comparing.detach(), loss.detach()])
        average_tensors([seen], weights.world)
        log_likelihood = -float(seen[0]) / temperature
        if log_likelihood > best:
            shrink = math.exp(best - log_likelihood)
            weights.scale_gradients(shrink)
            best, total, mean = log_likelihood, total * shrink, mean * shrink
        share = math.exp(log_likelihood - best)
        (loss * share).backward()
        total, mean = total + share, mean + share * float(seen[1])
        losses.append(float(seen[0]))
    weights.scale_gradients(1.0 / total)
    return losses, mean / total
