# SPDX-License-Identifier: Apache-2.0
"""Gates that open several operators of a layer, differentiable in their logits.

Binary concrete (Maddison et al., arXiv 1611.00712; Jang et al., arXiv 1611.01144) with a straight-
through estimator: what is computed is open or closed, what is differentiated is the relaxation.
This form of FPG-NAS's gate (arXiv 2508.03618) is ours: the paper's own is not public.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Keeps the logit of a uniform number finite.
_EPSILON = 1e-6


def concrete_gates(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Hard gates whose gradient is the relaxed ones'.

    s = sigmoid((a + logit(u)) / temperature); g = [s > 1/2] + s - stop_gradient(s). The gate of the
    greatest logit is always open, so that no layer is empty.

    Args:
        logits: (n,) a.
        uniform: (n,) u in 0..1.
        temperature: Above zero.

    Returns:
        (n,) of exactly 0 or 1.
    """
    noise = uniform.clamp(_EPSILON, 1 - _EPSILON).logit()
    soft = torch.sigmoid((logits + noise) / temperature)
    hard = (soft > 0.5).to(soft.dtype)
    hard[logits.argmax()] = 1.0
    # In this order the value is exact: hard + (soft - soft), not (hard + soft) - soft.
    return hard + (soft - soft.detach())


def opened_by_default(logits: Tensor) -> Tensor:
    """(n,) bool: the gates that are open without noise, a > 0, and that of the greatest logit."""
    opened = logits > 0
    opened[logits.argmax()] = True
    return opened


def gate_entropy(logits: Tensor) -> Tensor:
    """(n,) entropies of the gates, bits: 1 where open and closed are as likely, 0 when decided."""
    p = torch.sigmoid(logits)
    log_p, log_q = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
    bits: Tensor = -(p * log_p + (1 - p) * log_q) / torch.log(torch.tensor(2.0))
    return bits


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
