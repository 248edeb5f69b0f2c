# SPDX-License-Identifier: Apache-2.0
"""Batches in a fixed order, made by worker processes as 8-bit images."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

_PREFETCH = 4


class Span(Sampler[list[int]]):
    """Indices of the batches from step `start` to `stop`: batch s is [s*size, (s+1)*size)."""

    def __init__(self, start: int, stop: int, size: int) -> None:
        """See the class."""
        self.start, self.stop, self.size = start, stop, size

    def __iter__(self) -> Iterator[list[int]]:
        """One list of indices a step."""
        for step in range(self.start, self.stop):
            yield list(range(step * self.size, (step + 1) * self.size))

    def __len__(self) -> int:
        """Steps left."""
        return self.stop - self.start


def _start_worker(_: int) -> None:
    # Ctrl-C reaches the whole process group; the training process decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
    pin_memory: bool = False,
) -> DataLoader[dict[str, Tensor]]:
    """Loader of the batches of steps `start` to `stop`, whatever the number of workers."""
    return DataLoader(
        dataset,
        batch_sampler=Span(start, stop, batch),
        num_workers=workers,
        persistent_workers=False,
        prefetch_factor=_PREFETCH if workers else None,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
        # The loader draws a base seed; its own generator keeps torch's global stream untouched.
        generator=torch.Generator().manual_seed(0),
    )


def to_input(image: Tensor, device: torch.device) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in 0..255, channels last, on the device."""
    return image.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
