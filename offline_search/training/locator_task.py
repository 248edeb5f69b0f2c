# SPDX-License-Identifier: Apache-2.0
"""Training of the locator: whole frames in, class maps and boxes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from fpg_pose_ros.geometry import Array
from offline_search.space.architecture import Architecture
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.feed import seen
from offline_search.training.locator_validation import judge, score_threshold
from offline_search.training.loss import box_loss, focal_loss
from offline_search.training.mining import Mining
from offline_search.training.task import Batch, Samples, Verdict

_SPREAD: Final = 0.12
"""Standard deviation of a centre's Gaussian, as a share of the box's sides."""
_LEAST_SPREAD: Final = 0.6
_TAUGHT: Final = 0.3
"""Cells where the Gaussian is above this learn the box."""
_BOX_WEIGHT: Final = 2.0


class LocatorSampleLike(Protocol):
    """What is used of `offline_search.data`'s LocatorSample."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB."""
        ...

    @property
    def boxes(self) -> Array:
        """(n, 4) amodal x0, y0, x1, y1 in input px."""
        ...

    @property
    def classes(self) -> NDArray[np.int64]:
        """(n,) indices."""
        ...


@dataclass(frozen=True, eq=False)
class LocatorTargets:
    """What the maps should be.

    Attributes:
        heat: (C, h, w) in 0..1, 1 at the cell that holds a box's centre.
        sides: (4, h, w) left, top, right, bottom distances from the cell's centre, in strides.
        weight: (h, w), zero where no box is taught.
    """

    heat: NDArray[np.float32]
    sides: NDArray[np.float32]
    weight: NDArray[np.float32]


def locator_targets(
    boxes: Array, classes: NDArray[np.int64], outputs: int, size: tuple[int, int], stride: float
) -> LocatorTargets:
    """Maps of `size` (h, w) for amodal boxes (n, 4) in input px; where two meet, the nearer wins.

    A box whose centre is outside the image is taught at the border cell next to it.
    """
    height, width = size
    heat = np.zeros((outputs, height, width), np.float32)
    sides = np.zeros((4, height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    columns = (np.arange(width) + 0.5) * stride - 0.5
    rows = (np.arange(height) + 0.5) * stride - 0.5
    for (x0, y0, x1, y1), index in zip(boxes, classes, strict=True):
        j = int(np.clip(((x0 + x1) / 2 + 0.5) // stride, 0, width - 1))
        i = int(np.clip(((y0 + y1) / 2 + 0.5) // stride, 0, height - 1))
        spread_x = max(_LEAST_SPREAD, _SPREAD * (x1 - x0) / stride)
        spread_y = max(_LEAST_SPREAD, _SPREAD * (y1 - y0) / stride)
        along_x = np.exp(-0.5 * ((np.arange(width) - j) / spread_x) ** 2)
        along_y = np.exp(-0.5 * ((np.arange(height) - i) / spread_y) ** 2)
        blob = (along_y[:, None] * along_x).astype(np.float32)
        heat[index] = np.maximum(heat[index], blob)
        inside = ((rows > y0) & (rows < y1))[:, None] & ((columns > x0) & (columns < x1))
        taught = inside & (blob > np.maximum(weight, _TAUGHT))
        weight[taught] = blob[taught]
        box = np.broadcast_arrays(
            columns - x0, (rows - y0)[:, None], x1 - columns, (y1 - rows)[:, None]
        )
        for side, distance in zip(sides, box, strict=True):
            side[taught] = distance[taught] / stride
    return LocatorTargets(heat, sides, weight)


class _EncodedFrames(Dataset[dict[str, Tensor]]):
    """Frames with their target maps as tensors."""

    def __init__(self, samples: Samples[LocatorSampleLike], architecture: Architecture) -> None:
        self.samples = samples
        self.architecture = architecture

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample, net = self.samples[index], self.architecture
        targets = locator_targets(
            sample.boxes, sample.classes, net.head.outputs, net.map_size, net.output_stride
        )
        return {
            "image": torch.from_numpy(np.ascontiguousarray(sample.image)),
            "heat": torch.from_numpy(targets.heat),
            "sides": torch.from_numpy(targets.sides),
            "weight": torch.from_numpy(targets.weight),
        }


@dataclass
class LocatorTask:
    """Learns where objects are.

    Attributes:
        samples: Training samples, any index.
        held_out: Samples never trained on.
        architecture: With a locator head of one output an object.
        config: The training's.
    """

    samples: Samples[LocatorSampleLike]
    held_out: Samples[LocatorSampleLike]
    architecture: Architecture
    config: TrainConfig
    title: str = "locator"
    headline: str = "found"
    mining: Mining | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Checks the head.

        Raises:
            TrainingError: It is not a locator's, or the configuration is a pose network's.
        """
        if self.config.mining:
            raise TrainingError("training config: mining is for pose networks; set it to 0")
        if self.architecture.head.kind != "locator":
            raise TrainingError(
                f"a locator needs a locator head, not {self.architecture.head.kind}"
            )

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """See `Task`."""
        return _EncodedFrames(self.samples, self.architecture)

    def outputs(self, network: nn.Module, batch: Batch, device: torch.device) -> Any:
        """See `Task`."""
        return seen(network, batch, device)

    def loss(self, outputs: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Focal loss of the class maps and GIoU + relative error of the boxes."""
        heat, sides = outputs
        focal = focal_loss(heat, batch["heat"]).mean()
        box = box_loss(sides, batch["sides"], batch["weight"]).mean()
        return focal + _BOX_WEIGHT * box, {"focal": focal.detach(), "box": box.detach()}

    def validate(self, network: nn.Module, count: int) -> dict[str, float]:
        """Recall and box error on held-out frames."""
        return judge(network, self.held_out, range(count), self.architecture)

    def finish(self, network: nn.Module, count: int) -> Verdict:
        """Chooses the threshold on samples `count`..2 `count`, judges it on the first `count`."""
        threshold = score_threshold(
            network, self.held_out, range(count, 2 * count), self.architecture
        )
        metrics = judge(network, self.held_out, range(count), self.architecture, threshold)
        return Verdict(metrics, {"min_score": threshold})
