# SPDX-License-Identifier: Apache-2.0
"""All that changes while a network is trained, and its way to and from a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from offline_search.space.architecture import Architecture
from offline_search.space.network import Network, build
from offline_search.training.checkpoint import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.mining import Mining
from offline_search.training.seed_network import SeedNetwork
from offline_search.training.shards import statistics

_RNG = "rng.cpu"
_SCORES = "mining.scores"


class TrainState:
    """Weights, averaged weights, optimiser moments, random state, step and time.

    Attributes:
        parameters: Of the network. A walk through its modules for them in each step is a good part
            of the training of a small network.
        statistics: Of the network, see `statistics`.
    """

    def __init__(
        self,
        architecture: Architecture,
        config: TrainConfig,
        device: torch.device,
        mining: Mining | None = None,
        seed_network: SeedNetwork | None = None,
    ) -> None:
        """The start of a training; equal on all processes that train together.

        Raises:
            ArchitectureError: The seed network is one of turns, the other is not.
        """
        self.mining = mining
        self.seed_network = seed_network
        self.config = config
        self.architecture = architecture
        self.device = device
        torch.manual_seed(config.seed)
        network = build(architecture, seed=config.seed)
        if seed_network is not None:
            network.load_state_dict(seed_network.start_of(network))
        network = network.to(self.device)
        self.network: Network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged: Network = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = adamw(self.network, config)
        self.parameters: list[nn.Parameter] = list(self.network.parameters())
        self.statistics = statistics(self.network)
        self._averaged = [*self.averaged.parameters(), *statistics(self.averaged)]
        self.step = 0
        self.seconds = 0.0
        self._sums: dict[str, float] = {}
        self._counted = 0

    @property
    def images(self) -> int:
        """Samples seen."""
        return self.step * self.config.batch

    def count(self, figures: Mapping[str, float]) -> None:
        """Adds one step's figures to the next row of the journal."""
        self._counted += 1
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Means of the figures since the last call."""
        means = {name: value / self._counted for name, value in self._sums.items()}
        self._sums, self._counted = {}, 0
        return means

    @torch.no_grad()
    def average(self) -> None:
        """Moves the averaged weights (and batch-norm statistics) towards the current ones.

        The decay grows with the steps taken: the start must not dominate a short training.
        """
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._averaged, [*self.parameters, *self.statistics], 1.0 - decay)

    def save(self, path: Path) -> None:
        """Writes a checkpoint.

        Raises:
            TrainingError: It cannot be written; the one before is intact.
        """
        tensors: dict[str, Tensor] = {
            **with_prefix("network", self.network.state_dict()),
            **with_prefix("averaged", self.averaged.state_dict()),
            **with_prefix("optimizer", optimizer_tensors(self.optimizer)),
            _RNG: torch.get_rng_state(),
        }
        if self.mining is not None:
            tensors[_SCORES] = torch.from_numpy(self.mining.scores)
        scalars = {
            "step": self.step,
            "seconds": self.seconds,
            "sums": self._sums,
            "counted": self._counted,
            "identity": self.identity(),
        }
        save_checkpoint(path, tensors, scalars)

    def restore(self, path: Path) -> None:
        """Reads a checkpoint of the same architecture and configuration.

        Raises:
            TrainingError: It is damaged, or another training's.
        """
        tensors, scalars = load_checkpoint(path)
        # A setting that the checkpoint does not know yet had the effect of its default.
        saved = scalars["identity"]
        saved["config"] = {**_identifying(TrainConfig()), **saved["config"]}
        if saved != self.identity():
            raise TrainingError(
                f"{path} belongs to a training with another architecture, seed network or "
                "configuration; choose another folder, or delete it to start again"
            )
        self.network.load_state_dict(without_prefix("network", tensors))
        self.averaged.load_state_dict(without_prefix("averaged", tensors))
        restore_optimizer(self.optimizer, without_prefix("optimizer", tensors))
        torch.set_rng_state(tensors[_RNG])
        self.step, self.seconds = int(scalars["step"]), float(scalars["seconds"])
        if self.mining is not None:
            self.mining.go_on(self.step, tensors[_SCORES].numpy())
        self._sums, self._counted = dict(scalars["sums"]), int(scalars["counted"])

    def identity(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the training that goes on from it."""
        start = {} if self.seed_network is None else {"seed_network": self.seed_network.digest}
        config = _identifying(self.config)
        return {"architecture": self.architecture.digest, "config": config, **start}


def _identifying(config: TrainConfig) -> dict[str, Any]:
    free = ("workers", "threads", "device", "checkpoint_images", "validation", "validations")
    return {k: v for k, v in config.to_json().items() if k not in free}


def adamw(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW as all trainings use it; norms and biases are not decayed."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), fused=True)
