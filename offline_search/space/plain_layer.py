# SPDX-License-Identifier: Apache-2.0
"""A layer of several operators as the robot computes it: their mean without a division.

A division breaks the runtime's fusion of convolutions with additions, and costs two changes of
layout besides: a tenth of the time of a network whose layers hold two or three operators. So each
operator's last norm divides its own output, and vanishes into the convolution in front of it:
((x + f(x)) + (x + g(x))) / 2 = x + f(x) / 2 + g(x) / 2.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from offline_search.space.operators import Branch


class PlainLayer(nn.Module):
    """The mean of ordinary operators in evaluation mode. Takes them over and changes them."""

    def __init__(self, operators: Iterable[nn.Module]) -> None:
        """`operators` are those of a `network.Layer`, see `oriented.to_plain`."""
        super().__init__()
        every = list(operators)
        identities = 0
        branches: list[nn.Module] = []
        for operator in every:
            if isinstance(operator, Branch):
                identities += operator.residual
                branches.append(_divided(operator.body, len(every)))
            elif isinstance(operator, nn.Identity):
                identities += 1
            else:
                branches.append(_Divided(operator, len(every)))
        self.branches = nn.ModuleList(branches)
        self.identity = identities / len(every)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        terms = [branch(x) for branch in self.branches]
        if self.identity:
            terms.insert(0, x if self.identity == 1.0 else x * self.identity)
        total: Tensor = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class _Divided(nn.Module):
    """An operator that does not end in a norm."""

    def __init__(self, operator: nn.Module, by: int) -> None:
        super().__init__()
        self.operator = operator
        self.factor = 1.0 / by

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.operator(x) * self.factor
        return y


def _divided(body: nn.Module, by: int) -> nn.Module:
    """With its last norm's outputs divided; a ReLU behind it does not mind."""
    norm = [module for module in body.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    with torch.no_grad():
        norm.weight.div_(by)
        norm.bias.div_(by)
    return body
