# SPDX-License-Identifier: Apache-2.0
"""Training of a supernet's weights, one sampled architecture at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice

import torch
from torch import Tensor

from offline_search.space.architecture import Architecture
from offline_search.space.network import Network
from offline_search.space.supernet import Supernet, calibrate
from offline_search.strategies.problem import Problem, SearchError
from offline_search.training.checkpoint import (
    optimizer_tensors,
    restore_optimizer,
    with_prefix,
    without_prefix,
)
from offline_search.training.feed import batches
from offline_search.training.state import adamw

_MAX_GRADIENT_NORM = 5.0
_WARMUP = 0.05
_LAST_RATE = 0.05
_CALIBRATION_BATCHES = 24
_ESTIMATE_SAMPLES = 192


class SharedWeights:
    """A supernet with its optimiser."""

    def __init__(self, problem: Problem) -> None:
        """Fresh weights."""
        self.problem = problem
        config = problem.config
        self.device = torch.device(config.device)
        self.supernet = Supernet(problem.space, problem.task.outputs, config.seed).to(self.device)
        self.optimizer = adamw(self.supernet, config)

    def rate(self, spent: float) -> float:
        """Learning rate after that share of the compute: a short rise, then half a cosine."""
        peak = self.problem.config.lr
        if spent < _WARMUP:
            return peak * (0.1 + 0.9 * spent / _WARMUP)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, (spent - _WARMUP) / (1 - _WARMUP))))
        return peak * (_LAST_RATE + (1 - _LAST_RATE) * fall)

    def step(self, architecture: Architecture, batch: Mapping[str, Tensor], spent: float) -> float:
        """One step of that architecture's network; returns the loss.

        Raises:
            SearchError: The loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(spent)
        for parameter in self.supernet.shared.values():
            parameter.grad = None
        loss, _ = self.loss(architecture, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise SearchError(
                f"the loss became {value}; lower lr (now {self.problem.config.lr}), and start "
                "again in another folder"
            )
        loss.backward()
        reached = [p for p in self.supernet.shared.values() if p.grad is not None]
        torch.nn.utils.clip_grad_norm_(reached, _MAX_GRADIENT_NORM, foreach=True)
        self.optimizer.step()
        return value

    def loss(
        self,
        architecture: Architecture,
        batch: Mapping[str, Tensor],
        gates: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `SearchTask.loss`; `gates` as `Supernet.run` takes them."""
        task = self.problem.task
        images = task.inputs(batch, architecture, self.device)
        labels = {name: value.to(self.device) for name, value in batch.items() if name != "image"}
        outputs = self.supernet.run(architecture, images, gates)
        return task.loss(architecture, outputs, labels)

    def inherited(self, architecture: Architecture) -> Network:
        """An ordinary network with these weights, its statistics measured on training samples."""
        task, config = self.problem.task, self.problem.config
        loader = batches(
            task.training(), start=0, stop=_CALIBRATION_BATCHES, batch=config.batch, workers=0
        )
        images = (task.inputs(batch, architecture, self.device) for batch in loader)
        network = self.supernet.inherit(architecture)
        return calibrate(network, islice(images, _CALIBRATION_BATCHES))

    def estimate(self, architecture: Architecture) -> float:
        """The comparing loss of an architecture with these weights, on held-out samples."""
        network = self.inherited(architecture)
        return self.problem.task.estimate(network, architecture, _ESTIMATE_SAMPLES)

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {
            **with_prefix("supernet", self.supernet.state_dict()),
            **with_prefix("weights", optimizer_tensors(self.optimizer)),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`."""
        self.supernet.load_state_dict(without_prefix("supernet", tensors))
        restore_optimizer(self.optimizer, without_prefix("weights", tensors))
