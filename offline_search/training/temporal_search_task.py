# SPDX-License-Identifier: Apache-2.0
"""What a search for a temporal cell asks of a task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from offline_search.space.architecture import Architecture
from offline_search.space.network import Network
from offline_search.training.search_task import PoseSearchTask
from offline_search.training.task import Batch
from offline_search.training.temporal_task import TemporalTask, aligned


@dataclass
class TemporalSearchTask(PoseSearchTask):
    """Search for the cell of one trained network; `samples` and `unseen` are `TemporalTask`s.

    Their network has a cell of all the lags that are looked at.
    """

    @property
    def lags(self) -> tuple[int, ...]:
        """All that are looked at."""
        assert isinstance(self.samples, TemporalTask)
        return self.samples.lags

    def window(
        self, batch: Batch, architecture: Architecture, device: torch.device
    ) -> tuple[Tensor, Tensor | None]:
        """A batch's features (B, C, h, w), and what the architecture's cell takes beside them."""
        features = batch["features"].to(device)
        if architecture.cell is None:
            return features, None
        places = [self.lags.index(lag) for lag in architecture.cell.lags]
        chosen = {name: batch[name][:, places] for name in ("past", "maps")}
        return features, aligned(chosen, architecture.stride, device)

    @torch.no_grad()
    def estimate(self, network: nn.Module, architecture: Architecture, count: int) -> float:
        """See `SearchTask`."""
        assert isinstance(network, Network)
        device = next(network.parameters()).device
        total = 0.0
        for batch in self.examples(count):
            labels = {name: value.to(device) for name, value in batch.items()}
            outputs = network.conclude(*self.window(batch, architecture, device))
            total += float(self.loss(architecture, outputs, labels)[1]) * len(batch["features"])
        return total / count
