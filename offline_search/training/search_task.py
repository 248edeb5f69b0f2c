# SPDX-License-Identifier: Apache-2.0
"""What a search asks of a task: losses of any architecture of a space on the same samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from fpg_pose_ros.decode import DecodeParameters
from fpg_pose_ros.objects import ObjectModel
from offline_search.space.architecture import Architecture
from offline_search.training.config import TrainConfig
from offline_search.training.crop_error import crop_error, resized
from offline_search.training.feed import to_input
from offline_search.training.pose_labels import CONTINUOUS_STEPS
from offline_search.training.pose_task import PoseTask
from offline_search.training.task import Batch, Task

_EXAMPLES_BATCH: Final = 16
ENDLESS: Final = 10_000_000
"""Samples of each stream: more than any search draws."""


class SearchTask(Protocol):
    """Data and loss of a search. Samples have the space's largest input size."""

    @property
    def title(self) -> str:
        """The object's name."""
        ...

    @property
    def outputs(self) -> int:
        """Keypoints."""
        ...

    def training(self, easiest_of: int | None = None) -> Dataset[dict[str, Tensor]]:
        """Encoded samples for the weights.

        Args:
            easiest_of: Each sample is the easiest of so many, and comes with its `hardness` (3,):
                hidden, small, foreshortened, 0 to 1 each. None: as they come, unmeasured.
        """
        ...

    def held_out(self, easiest_of: int | None = None) -> Dataset[dict[str, Tensor]]:
        """As `training`, of other renders, for the choice of the architecture."""
        ...

    def inputs(self, batch: Batch, architecture: Architecture, device: torch.device) -> Tensor:
        """The batch's images as that architecture's network takes them."""
        ...

    def loss(self, architecture: Architecture, outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is trained, and the part of it by which architectures compare; means of the batch.

        The second is alike in meaning for all input sizes and heads of one number of outputs.
        """
        ...

    def task(self, architecture: Architecture, config: TrainConfig) -> Task:
        """The ordinary training of one architecture."""
        ...

    def estimate(self, network: nn.Module, architecture: Architecture, count: int) -> float:
        """The comparing loss of a finished network on `count` held-out samples."""
        ...

    def pose_error(self, network: nn.Module, architecture: Architecture, count: int) -> float:
        """How far poses of a trained network are off on `count` held-out samples, 0 to 1.

        See `crop_error`; alike in meaning for all numbers of outputs too. Keypoints are decoded as
        after the ordinary training of the architecture, with the default parameters.
        """
        ...


@dataclass
class PoseSearchTask:
    """Search for the pose network of one object.

    Attributes:
        model: The object.
        samples, unseen: A `PoseTask` of the largest input each, whose samples are those of the
            weights, and those of the architecture's choice.
        largest: Side of the samples, px.
        make: The ordinary training of an architecture.
    """

    model: ObjectModel
    samples: PoseTask
    unseen: PoseTask
    largest: int
    make: Callable[[Architecture, TrainConfig], Task]
    _examples: dict[int, list[dict[str, Tensor]]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """See `SearchTask`."""
        return self.model.name

    @property
    def outputs(self) -> int:
        """See `SearchTask`."""
        return len(self.model.keypoints)

    def training(self, easiest_of: int | None = None) -> Dataset[dict[str, Tensor]]:
        """See `SearchTask`."""
        return self.samples.dataset(easiest_of)

    def held_out(self, easiest_of: int | None = None) -> Dataset[dict[str, Tensor]]:
        """See `SearchTask`."""
        return self.unseen.dataset(easiest_of)

    def inputs(self, batch: Batch, architecture: Architecture, device: torch.device) -> Tensor:
        """See `SearchTask`."""
        return _at_size(to_input(batch["image"], device), architecture.input_size)

    def loss(self, architecture: Architecture, outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `SearchTask`: the divergence of the keypoints' maps is what compares.

        The target's width is the same share of the crop for all input sizes: a wider target is
        easier to meet.
        """
        scale = architecture.input_size[0] / self.largest
        config = self.samples.config
        task = replace(
            self.samples,
            architecture=architecture,
            config=replace(config, sigma_px=config.sigma_px * scale),
        )
        # Pixel centres are whole numbers, edges lie half a pixel outside.
        keypoints = (batch["keypoints"][:, :, : architecture.head.outputs] + 0.5) * scale - 0.5
        total, figures = task.loss(outputs, {**batch, "keypoints": keypoints})
        return total, figures["divergence"]

    def task(self, architecture: Architecture, config: TrainConfig) -> Task:
        """See `SearchTask`."""
        return self.make(architecture, config)

    @torch.no_grad()
    def estimate(self, network: nn.Module, architecture: Architecture, count: int) -> float:
        """See `SearchTask`."""
        device = next(network.parameters()).device
        total = 0.0
        for batch in self.examples(count):
            labels = {name: value.to(device) for name, value in batch.items()}
            outputs = network(self.inputs(batch, architecture, device))
            divergence = self.loss(architecture, outputs, labels)[1]
            total += float(divergence) * len(batch["image"])
        return total / count

    def pose_error(self, network: nn.Module, architecture: Architecture, count: int) -> float:
        """See `SearchTask`."""
        task = replace(self.unseen, architecture=architecture)
        shown = _Resized(network, architecture.input_size)
        # An ordinary training has targets of so many pixels of its own crops, whatever their size.
        parameters = DecodeParameters(sigma_px=task.config.sigma_px)
        symmetries = self.model.symmetries.transforms(CONTINUOUS_STEPS)
        scale = architecture.input_size[0] / self.largest
        errors = [
            crop_error(resized(one, scale), architecture, self.model, symmetries, parameters)
            for one in task.predictions(shown, range(count))
        ]
        return float(np.mean(errors))

    def examples(self, count: int) -> list[dict[str, Tensor]]:
        """The first `count` held-out samples in batches; kept, for they are asked for often."""
        if count not in self._examples:
            dataset = self.held_out()
            loader = DataLoader(Subset(dataset, range(count)), _EXAMPLES_BATCH)
            self._examples[count] = list(loader)
        return self._examples[count]


class _Resized(nn.Module):
    """A network that is shown larger images than its input."""

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, image: Tensor, *memory: Tensor) -> Any:
        return self.network(_at_size(image, self.size), *memory)


def _at_size(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True)
