# SPDX-License-Identifier: Apache-2.0
"""A step over a batch in equal parts, the same whether one process takes them or several.

Batch norm normalises each part by itself. So it needs no messages of its own between processes,
and what is learnt depends on the number of parts, which belongs to the training, but not on the
number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from offline_search.training.task import Batch

Losses = Callable[[Batch], tuple[Tensor, Mapping[str, Tensor]]]
"""From a part to its mean loss, and figures to show beside it."""


def split(batch: Batch, count: int) -> list[Batch]:
    """`count` equal parts of a batch, in order."""
    chunks = {name: value.chunk(count) for name, value in batch.items()}
    return [{name: parts[i] for name, parts in chunks.items()} for i in range(count)]


def accumulate(network: nn.Module, parts: Sequence[Batch], losses: Losses) -> dict[str, Tensor]:
    """Adds up the gradients of the parts' mean loss; returns mean figures, first of all `loss`.

    Each part starts from the same running statistics; the mean of what they make of them stays.
    Numbers that `losses` draws at random differ between processes from what one alone would draw.
    """
    if len(parts) == 1:
        return _backward(parts[0], losses, 1)
    buffers, running = list(network.buffers()), statistics(network)
    before = [buffer.clone() for buffer in buffers]
    sums = [torch.zeros_like(tensor) for tensor in running]
    figures = []
    for part in parts:
        _copy(before, buffers)
        figures.append(_backward(part, losses, len(parts)))
        if running:
            torch._foreach_add_(sums, running)
    _copy([total / len(parts) for total in sums], running)
    return {name: torch.stack([f[name] for f in figures]).mean(0) for name in figures[0]}


def statistics(network: nn.Module) -> list[Tensor]:
    """The running statistics of a network: whatever it holds of real numbers that is not learnt."""
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]


def _backward(part: Batch, losses: Losses, parts: int) -> dict[str, Tensor]:
    loss, figures = losses(part)
    (loss / parts).backward()
    return {name: value.detach().float() for name, value in {"loss": loss, **figures}.items()}


def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    if targets:  # torch refuses empty lists
        torch._foreach_copy_(list(targets), list(sources))
