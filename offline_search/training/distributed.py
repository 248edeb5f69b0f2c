# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one network, started by torchrun; alone, all here does nothing.

    torchrun --nproc-per-node 2 -m offline_search.cli retrain --out runs/spot

Every process holds the whole network, takes its share of each batch and adds its gradients to the
others' in one message a step, so that all take the same step. This is not torch's
DistributedDataParallel for three reasons: in a supernet most parameters have no gradient in a step,
and those should neither be sent nor be stepped by the optimiser; running statistics of batch norm
are to be averaged, not copied from the first process; and whether to stop, like the figures of the
journal, travels in the same message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from offline_search.training.config import TrainingError

_PATIENCE: Final = timedelta(days=1)
"""Others wait while the main process validates; torchrun ends them if it dies."""


@dataclass(frozen=True)
class World:
    """The processes that train together, as one of them sees it.

    Attributes:
        rank: Of this process, from 0.
        size: How many there are.
        device: Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes files and shows progress."""
        return self.rank == 0

    def share(self, shards: int) -> int:
        """How many of a batch's shards are this process's.

        Raises:
            TrainingError: They cannot be shared out equally.
        """
        if shards % self.size:
            raise TrainingError(
                f"{self.size} processes cannot share out {shards} shards of a batch equally: set "
                f"--shards to a multiple of {self.size}, or start as many processes as divide "
                f"{shards}"
            )
        return shards // self.size


def main_process() -> bool:
    """Whether this process writes files, where it has no `World` at hand."""
    return os.environ.get("RANK", "0") == "0"


ALONE: Final = World(0, 1, torch.device("cpu"))
"""A process that trains by itself."""


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Joins the processes that torchrun started with this one, if it did; leaves them at the end.

    Where a caller has joined already, it is the caller who leaves.

    Args:
        device: `cpu` or `cuda`. Of several processes on CUDA each takes the device of its local
            rank; they talk by NCCL, processes on CPUs by gloo.

    Raises:
        TrainingError: They do not find each other, or this one has no device of its own.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, torch.device(device))
        return
    own = _own_device(device)
    if dist.is_initialized():
        yield World(dist.get_rank(), dist.get_world_size(), own)
        return
    try:
        dist.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"WORLD_SIZE is {size}, but the processes do not find each other ({error}): start "
            "them by torchrun, or unset WORLD_SIZE"
        ) from error
    try:
        yield World(dist.get_rank(), dist.get_world_size(), own)
    finally:
        dist.destroy_process_group()


def _own_device(device: str) -> torch.device:
    if not device.startswith("cuda"):
        return torch.device(device)
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= there:
        raise TrainingError(
            f"each process needs a CUDA device of its own, but this machine has {there}: lower "
            "torchrun's --nproc-per-node, or set --device cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


@torch.no_grad()
def average_gradients(
    parameters: Iterable[nn.Parameter], world: World, also: Sequence[Tensor] = ()
) -> None:
    """Replaces the gradients of all processes by their mean; one that is missing counts as zero.

    A parameter without a gradient in any process stays without. `also` travels in the same message
    and is averaged too, see `average_tensors`.

    Raises:
        TrainingError: Another process is lost.
    """
    if world.size == 1:
        return
    listed = list(parameters)
    used = torch.tensor([p.grad is not None for p in listed], dtype=torch.uint8)
    used = used.to(world.device)
    _reduce(used, dist.ReduceOp.MAX)
    gradients: list[Tensor] = []
    for parameter, somewhere in zip(listed, used.tolist(), strict=True):
        if somewhere:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    average_tensors([*gradients, *also], world)


@torch.no_grad()
def average_tensors(tensors: Sequence[Tensor], world: World) -> None:
    """Replaces tensors, of one type and all on the world's device, by their means over processes.

    Raises:
        TrainingError: Another process is lost.
    """
    if world.size == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _reduce(flat, dist.ReduceOp.SUM)
    flat /= world.size
    pieces = flat.split([tensor.numel() for tensor in tensors])
    shaped = [piece.view(t.shape) for piece, t in zip(pieces, tensors, strict=True)]
    torch._foreach_copy_(list(tensors), shaped)


def barrier(world: World) -> None:
    """Waits until all processes are here.

    Raises:
        TrainingError: Another process is lost.
    """
    average_tensors([torch.zeros(1, device=world.device)], world)


def same_everywhere(value: int, world: World) -> bool:
    """Whether all processes have the same number; waits for all of them.

    Raises:
        TrainingError: Another process is lost.
    """
    ends = torch.tensor([value, -value], device=world.device)
    if world.size > 1:
        _reduce(ends, dist.ReduceOp.MAX)
    return ends.tolist() == [value, -value]


def _reduce(tensor: Tensor, how: dist.ReduceOp.RedOpType) -> None:
    try:
        dist.all_reduce(tensor, how)
    except RuntimeError as error:
        if "DataLoader worker" in str(error):  # of this process: its signal came while waiting
            raise
        raise TrainingError(
            f"another process of this training ended or cannot be reached ({error}). What was "
            "saved is intact: see what that process says, then run the same command again"
        ) from error
