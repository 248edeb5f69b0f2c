# SPDX-License-Identifier: Apache-2.0
"""Training of several objects' pose networks as one: a shared backbone, a head for each object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from offline_search.space.network import Network
from offline_search.space.shared import branch
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.feed import seen
from offline_search.training.mining import Mining
from offline_search.training.pose_labels import CONTINUOUS_STEPS
from offline_search.training.pose_task import PoseTask
from offline_search.training.task import Batch, Verdict


def shared_configs(config: TrainConfig, count: int) -> tuple[TrainConfig, TrainConfig]:
    """The settings of each object's part of a shared training, and those of the whole.

    Args:
        config: As of one object's training: `images` are those of each object, so that networks
            trained together and one by one have seen as much; `batch` is of all together, and
            rises to the next number that gives each object equally many samples in every shard.
        count: Objects.

    Raises:
        TrainingError: Mining is asked for, which works on one object's views.
    """
    if config.mining:
        raise TrainingError(
            "training config: mining works for one object; set it to 0, or train each network "
            "without a shared backbone"
        )
    each = config.shards * -(-config.batch // (count * config.shards))
    own = replace(config, batch=each)
    return own, replace(config, batch=count * each, images=count * config.images)


class _Interleaved(Dataset[dict[str, Tensor]]):
    """Samples of several objects in turn; labels (S, K, 2) padded to the most of all objects."""

    def __init__(
        self, parts: Sequence[Dataset[dict[str, Tensor]]], shapes: Sequence[tuple[int, int]]
    ) -> None:
        self.parts = tuple(parts)
        self.shape = tuple(max(sizes) for sizes in zip(*shapes, strict=True))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        turn, place = divmod(index, len(self.parts))
        sample = self.parts[place][turn]
        labels = sample["keypoints"]
        padded = labels.new_zeros(*self.shape, 2)
        padded[: labels.shape[0], : labels.shape[1]] = labels
        return {**sample, "keypoints": padded}


class SharedPoseTask:
    """Learns the keypoints of several objects; each one's own task does what is its own.

    A batch holds the objects in turn. Figures are means over objects; validations also have each
    object's headline, as `add01/NAME`. The verdict's `extra` has, under an object's name, the
    `metrics` and the `extra` of its own verdict.
    """

    title = "poses"
    headline = PoseTask.headline
    mining: Mining | None = None

    def __init__(self, tasks: Sequence[PoseTask]) -> None:
        """`tasks` in the order of the heads, with the networks that `branch` gives."""
        self.tasks = tuple(tasks)
        self._shapes = [
            (len(task.model.symmetries.transforms(CONTINUOUS_STEPS)), len(task.model.keypoints))
            for task in tasks
        ]

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """See `Task`: sample i is number i // n of object i % n of the n objects."""
        return _Interleaved([task.dataset() for task in self.tasks], self._shapes)

    def outputs(self, network: nn.Module, batch: Batch, device: torch.device) -> Any:
        """See `Task`."""
        return seen(network, batch, device)

    def loss(self, outputs: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean of the objects' losses, and of their figures."""
        count, found = len(self.tasks), []
        for place, (task, (labels, keypoints)) in enumerate(
            zip(self.tasks, self._shapes, strict=True)
        ):
            own = {name: value[place::count] for name, value in batch.items()}
            own["keypoints"] = own["keypoints"][:, :labels, :keypoints]
            loss, figures = task.loss(outputs[place], own)
            found.append({"loss": loss, **figures})
        means = {name: torch.stack([each[name] for each in found]).mean() for name in found[0]}
        return means.pop("loss"), means

    def validate(self, network: nn.Module, count: int) -> dict[str, float]:
        """Figures on each object's first `count` held-out samples."""
        networks = self._branches(network)
        return self._together(
            [task.validate(own, count) for task, own in zip(self.tasks, networks, strict=True)]
        )

    def finish(self, network: nn.Module, count: int) -> Verdict:
        """Each object's decoding is chosen, and judged, by itself."""
        networks = self._branches(network)
        verdicts = [task.finish(own, count) for task, own in zip(self.tasks, networks, strict=True)]
        each = zip(self.tasks, verdicts, strict=True)
        return Verdict(
            self._together([verdict.metrics for verdict in verdicts]),
            {task.model.name: asdict(verdict) for task, verdict in each},
        )

    def _branches(self, network: nn.Module) -> list[Network]:
        assert isinstance(network, Network)
        return [branch(network, place) for place in range(len(self.tasks))]

    def _together(self, metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
        means = {name: sum(each[name] for each in metrics) / len(metrics) for name in metrics[0]}
        headlines = {
            f"{self.headline}/{task.model.name}": each[self.headline]
            for task, each in zip(self.tasks, metrics, strict=True)
        }
        return {**means, **headlines}
