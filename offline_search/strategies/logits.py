# SPDX-License-Identifier: Apache-2.0
"""Logits of a distribution over architectures, and the optimiser that moves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from offline_search.training.checkpoint import (
    optimizer_tensors,
    restore_optimizer,
    with_prefix,
    without_prefix,
)
from offline_search.training.distributed import World, average_tensors


class Logits:
    """Tensors on the CPU with their Adam; equal in all processes of a world."""

    def __init__(self, values: Sequence[Tensor], rate: float, world: World) -> None:
        """`rate` is the optimiser's; decay and moments are those of differentiable search."""
        self.values, self.world = list(values), world
        self.optimizer = torch.optim.Adam(
            self.values, lr=rate, betas=(0.5, 0.999), weight_decay=1e-3
        )

    def move(self, total: Tensor) -> None:
        """One step downhill; what `total` also depends on gets no gradient."""
        # Of the logits only: gradients of the weights are neither wanted nor paid for.
        gradients = torch.autograd.grad(total, self.values, materialize_grads=True)
        sent = [gradient.to(self.world.device) for gradient in gradients]
        average_tensors(sent, self.world)
        for value, gradient in zip(self.values, sent, strict=True):
            value.grad = gradient.to(value.device)
        self.optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {
            **with_prefix("logits", {str(i): value for i, value in enumerate(self.values)}),
            **with_prefix("adam", optimizer_tensors(self.optimizer)),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`."""
        saved = without_prefix("logits", tensors)
        with torch.no_grad():
            for index, value in enumerate(self.values):
                value.copy_(saved[str(index)])
        restore_optimizer(self.optimizer, without_prefix("adam", tensors))
