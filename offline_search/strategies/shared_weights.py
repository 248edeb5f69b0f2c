# SPDX-License-Identifier: Apache-2.0
"""Training of a supernet's weights, one sampled architecture at a time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from offline_search.space.architecture import Architecture
from offline_search.space.supernet import Supernet, calibrate
from offline_search.strategies.problem import Problem, SearchError
from offline_search.training.checkpoint import (
    optimizer_tensors,
    restore_optimizer,
    with_prefix,
    without_prefix,
)
from offline_search.training.distributed import World, average_gradients
from offline_search.training.feed import batches
from offline_search.training.shards import split
from offline_search.training.state import adamw
from offline_search.training.task import Batch

_MAX_GRADIENT_NORM = 5.0
_WARMUP = 0.05
_LAST_RATE = 0.05
_CALIBRATION_BATCHES = 4
CALIBRATION_SAMPLES = 64
ESTIMATE_SAMPLES = 128


def rate(peak: float, spent: float) -> float:
    """Learning rate after that share of the compute: a short rise, then half a cosine."""
    if spent < _WARMUP:
        return peak * (0.1 + 0.9 * spent / _WARMUP)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, (spent - _WARMUP) / (1 - _WARMUP))))
    return peak * (_LAST_RATE + (1 - _LAST_RATE) * fall)


def descend(
    optimizer: torch.optim.Optimizer,
    parameters: Collection[nn.Parameter],
    world: World,
    seen: Tensor,
    spent: float,
    peak: float,
) -> float:
    """Moves weights by their gradients, those of all processes; returns the mean loss.

    Args:
        optimizer: Of the parameters.
        parameters: With gradients, or without where they were not reached.
        world: The processes.
        seen: This process's loss, a scalar on the device.
        spent: Share of the compute, by which the rate is chosen.
        peak: Its greatest value.

    Raises:
        SearchError: The loss is not finite.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate(peak, spent)
    average_gradients(parameters, world, also=[seen])
    value = float(seen)
    if not math.isfinite(value):
        raise SearchError(
            f"the loss became {value}; lower lr (now {peak}), and start again in another folder"
        )
    reached = [p for p in parameters if p.grad is not None]
    torch.nn.utils.clip_grad_norm_(reached, _MAX_GRADIENT_NORM, foreach=True)
    optimizer.step()
    return value


class SharedWeights:
    """A supernet with its optimiser."""

    def __init__(self, problem: Problem, world: World, *, apart: bool = False) -> None:
        """The first weights, the same in all processes of the world.

        Args:
            problem: Space, task and seed.
            world: The processes.
            apart: See `Supernet`.

        Raises:
            ArchitectureError: The seed network is one of turns.
            TrainingError: The processes cannot share out the batches.
        """
        self.problem, self.world = problem, world
        config = problem.config
        self.device = world.device
        self.shards = world.share(config.shards)
        self.supernet = Supernet(problem.space, problem.task.outputs, config.seed, apart=apart)
        if problem.seed_network is not None:
            self.supernet.start_from(problem.seed_network.network)
        self.supernet.to(self.device)
        self.optimizer = adamw(self.supernet, config)

    def step(self, architecture: Architecture, batch: Mapping[str, Tensor], spent: float) -> float:
        """One step of that architecture's network; returns the loss.

        Raises:
            SearchError: The loss is not finite.
        """
        self.forget_gradients()
        loss, _ = self.loss(architecture, batch)
        loss.backward()
        return self.apply_gradients(loss.detach().clone(), spent)

    def forget_gradients(self) -> None:
        """So that a step's gradients are its own."""
        for parameter in self.supernet.shared.values():
            parameter.grad = None

    def scale_gradients(self, factor: float) -> None:
        """Multiplies all that there are."""
        reached = [p.grad for p in self.supernet.shared.values() if p.grad is not None]
        if reached:
            torch._foreach_mul_(reached, factor)

    def apply_gradients(self, seen: Tensor, spent: float) -> float:
        """Moves the weights by their gradients, those of all processes; returns the mean loss.

        Args:
            seen: This process's loss, a scalar on the device.
            spent: Share of the compute, by which the rate is chosen.

        Raises:
            SearchError: The loss is not finite.
        """
        parameters, peak = self.supernet.shared.values(), self.problem.config.lr
        return descend(self.optimizer, parameters, self.world, seen, spent, peak)

    def loss(
        self,
        architecture: Architecture,
        batch: Mapping[str, Tensor],
        gates: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Means of `SearchTask.loss` over this process's shards; `gates` as for `Supernet.run`."""
        parts = [
            torch.stack(self._loss(architecture, part, gates)) for part in split(batch, self.shards)
        ]
        loss, comparing = torch.stack(parts).mean(0)
        return loss, comparing

    def _loss(
        self, architecture: Architecture, batch: Batch, gates: list[Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        task = self.problem.task
        images = task.inputs(batch, architecture, self.device)
        labels = {name: value.to(self.device) for name, value in batch.items() if name != "image"}
        outputs = self.supernet.run(architecture, images, gates)
        return task.loss(architecture, outputs, labels)

    def estimate(self, architecture: Architecture) -> float:
        """The comparing loss of an architecture with these weights, on held-out samples.

        Its statistics are measured on training samples first.
        """
        task = self.problem.task
        images = (task.inputs(batch, architecture, self.device) for batch in self._calibration)
        network = calibrate(self.supernet.inherit(architecture), images)
        return task.estimate(network, architecture, ESTIMATE_SAMPLES)

    @cached_property
    def _calibration(self) -> list[dict[str, Tensor]]:
        size = CALIBRATION_SAMPLES // _CALIBRATION_BATCHES
        dataset = self.problem.task.training()
        return list(batches(dataset, start=0, stop=_CALIBRATION_BATCHES, batch=size, workers=0))

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
