# SPDX-License-Identifier: Apache-2.0
"""Gates that choose a layer's operators, differentiable in their logits.

`SeveralGate` opens any number of them: a binary concrete variable each (Maddison et al., arXiv
1611.00712) with a straight-through estimator, so that what is computed is open or closed and what
is differentiated is the relaxation. This form of FPG-NAS's gate (arXiv 2508.03618) is ours: the
paper's own is not public. `SingleGate` opens one, the usual choice of differentiable search
(Gumbel softmax, arXiv 1611.01144): what the other is compared with.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# Keeps logarithms of uniform numbers finite.
_EPSILON = 1e-6
_TAIL = 12.0  # of an integral, see `_greatest_of_none`
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


class Gate(Protocol):
    """How the logits (n,) of a layer's candidates become open and closed gates."""

    def sample(self, logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
        """Gates (n,) of exactly 0 or 1, at least one open, whose gradient is the relaxed ones'.

        Args:
            logits: (n,) a.
            uniform: (n,) in 0..1, the noise.
            temperature: Of the relaxation, above zero.
        """
        ...

    def probabilities(self, logits: Tensor) -> Tensor:
        """(n,): how likely each is open."""
        ...

    def decide(self, logits: Tensor) -> Tensor:
        """(n,) bool: what is open without noise."""
        ...


class SeveralGate:
    """Each gate on its own: s = sigmoid((a + logit(u)) / t), g = [s > 1/2] + s - stop_gradient(s).

    The gate of the greatest a + logit(u) is always open, so that no layer is empty. (The greatest a
    alone would open the same one in every step while all logits are still alike.)
    """

    def sample(self, logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
        """See `Gate`."""
        noise = uniform.clamp(_EPSILON, 1 - _EPSILON).logit()
        soft = torch.sigmoid((logits + noise) / temperature)
        hard = (soft > 0.5).to(soft.dtype)
        hard[soft.argmax()] = 1.0
        return _straight_through(hard, soft)

    def probabilities(self, logits: Tensor) -> Tensor:
        """See `Gate`: open by itself, or as the greatest where none is.

        The second part is not small: of 11 gates that open once in 50 times each, 0.2 are open by
        themselves and 1.0 in fact. A cost that left it out would be as far off.
        """
        return torch.sigmoid(logits) + _greatest_of_none(logits)

    def decide(self, logits: Tensor) -> Tensor:
        """See `Gate`: a > 0, and the greatest."""
        opened = logits > 0
        opened[logits.argmax()] = True
        return opened


class SingleGate:
    """One of n: the greatest of a + Gumbel noise, relaxed by softmax((a + noise) / t)."""

    def sample(self, logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
        """See `Gate`."""
        noise = -torch.log(-torch.log(uniform.clamp(_EPSILON, 1 - _EPSILON)))
        soft = torch.softmax((logits + noise) / temperature, dim=0)
        hard = F.one_hot(soft.argmax(), len(soft)).to(soft.dtype)
        return _straight_through(hard, soft)

    def probabilities(self, logits: Tensor) -> Tensor:
        """See `Gate`."""
        return torch.softmax(logits, dim=0)

    def decide(self, logits: Tensor) -> Tensor:
        """See `Gate`."""
        return F.one_hot(logits.argmax(), len(logits)).bool()


def _greatest_of_none(logits: Tensor) -> Tensor:
    """(n,): how likely all a + L are below zero and this one is the greatest, L logistic noise.

    At the value -s of the greatest, with F and f the distribution and density of L, this is the
    integral over s > 0 of f(-s - a_i) prod_(j != i) F(-s - a_j), where f = F (1 - F).
    """
    # The greatest is below its logit by more than that with a probability of exp(-_TAIL).
    half = (float(-logits.detach().max().clamp_max(0.0)) + _TAIL) / 2
    s = torch.from_numpy(half * (_NODES + 1)).to(logits)[:, None]
    density = torch.sigmoid(s + logits) * F.logsigmoid(-s - logits).sum(1, keepdim=True).exp()
    return (torch.from_numpy(half * _WEIGHTS).to(logits)[:, None] * density).sum(0)


def _straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    # In this order the value is exact: hard + (soft - soft), not (hard + soft) - soft.
    return hard + (soft - soft.detach())


def entropy_bits(probabilities: Tensor) -> Tensor:
    """Entropies of open-or-closed variables: 1 where both are as likely, 0 where it is decided."""
    p, q = probabilities, 1 - probabilities
    return -(torch.xlogy(p, p) + torch.xlogy(q, q)) / math.log(2.0)


def gated_mean(outputs: list[Tensor], gates: Tensor) -> Tensor:
    """sum_i g_i y_i / max(1, sum_i g_i).

    Args:
        outputs: n tensors of one shape.
        gates: (n,).
    """
    total = outputs[0] * gates[0]
    for output, gate in zip(outputs[1:], gates[1:], strict=True):
        total = total + output * gate
    return total / gates.sum().clamp_min(1.0)
