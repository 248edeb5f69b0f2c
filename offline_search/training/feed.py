# SPDX-License-Identifier: Apache-2.0
"""Batches in a fixed order, made by worker processes as 8-bit images."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from offline_search.training.config import TrainingError
from offline_search.training.distributed import ALONE, World
from offline_search.training.mining import MinedSpan, Mining
from offline_search.training.task import Batch

_PREFETCH = 4


class Span(Sampler[list[int]]):
    """Indices of the batches from step `start` to `stop`: batch s is [s*size, (s+1)*size).

    Of `ranks` processes, the one of that `rank` gets its equal part of each batch, in order.
    """

    def __init__(self, start: int, stop: int, size: int, rank: int = 0, ranks: int = 1) -> None:
        """See the class."""
        self.start, self.stop, self.size = start, stop, size
        self.part = range(rank * size // ranks, (rank + 1) * size // ranks)

    def __iter__(self) -> Iterator[list[int]]:
        """One list of indices a step."""
        for step in range(self.start, self.stop):
            yield [step * self.size + place for place in self.part]

    def __len__(self) -> int:
        """Steps left."""
        return self.stop - self.start


def _start_worker(_: int) -> None:
    # Ctrl-C, and what torchrun sends to end its processes, reach the whole process group; but the
    # training process decides when workers end.
    os.setpgrp()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def batches(
    dataset: Dataset[dict[str, Tensor]],
    *,
    start: int,
    stop: int,
    batch: int,
    workers: int,
    world: World = ALONE,
    mining: Mining | None = None,
) -> DataLoader[dict[str, Tensor]]:
    """Loader of this process's part of each batch of steps `start` to `stop`.

    What it holds does not depend on the number of workers; with `mining`, see there.

    Raises:
        TrainingError: Several processes are to share samples drawn by `mining`.
    """
    if mining is not None and world.size > 1:
        raise TrainingError("training config: mining works in one process; set it to 0")
    return DataLoader(
        dataset,
        batch_sampler=(
            MinedSpan(mining, start, stop)
            if mining is not None
            else Span(start, stop, batch, world.rank, world.size)
        ),
        num_workers=workers,
        persistent_workers=False,
        prefetch_factor=_PREFETCH if workers else None,
        worker_init_fn=_start_worker,
        pin_memory=world.device.type == "cuda",
        # The loader draws a base seed; its own generator keeps torch's global stream untouched.
        generator=torch.Generator().manual_seed(0),
    )


@contextmanager
def worker_errors() -> Iterator[None]:
    """Turns what the loader says of a killed worker, anywhere in the block, into one clear message.

    Raises:
        TrainingError: A worker was killed.
    """
    try:
        try:
            yield
        except (ConnectionError, EOFError):
            # The worker's end of a pipe is closed a moment before its death is known. That is told
            # by a signal, whose handler raises: here, and not while the error is on its way.
            time.sleep(1.0)
            raise
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            "a process that makes samples was killed: memory or disk may be full. What was saved "
            "is intact: make room, then run the same command again to go on from there"
        ) from error


def to_input(image: Tensor, device: torch.device) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in 0..255, channels last, on the device."""
    return image.to(device, non_blocking=True).permute(0, 3, 1, 2).float()


def seen(network: nn.Module, batch: Batch, device: torch.device) -> Any:
    """What a network makes of a batch's images alone."""
    return network(to_input(batch["image"], device))
