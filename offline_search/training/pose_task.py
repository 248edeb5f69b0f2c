# SPDX-License-Identifier: Apache-2.0
"""Training of the pose network: crops in, keypoint distributions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fpg_pose_ros.objects import MIN_KEYPOINTS, ObjectModel
from offline_search.space.architecture import Architecture
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.feed import seen
from offline_search.training.hardness import easiest
from offline_search.training.loss import heatmap_loss, mask_loss, simcc_loss, to_cells
from offline_search.training.mining import Key, Mining
from offline_search.training.pose_labels import (
    CONTINUOUS_STEPS,
    PoseSampleLike,
    symmetric_labels,
)
from offline_search.training.pose_validation import Prediction, choose_decoding, judge, predict
from offline_search.training.task import Batch, Samples, Verdict

_PCK_SHARE: Final = 0.05
# A nat of cover a cell weighs as much as this many of a keypoint map.
_MASK_WEIGHT: Final = 2.0


class _EncodedPoses(Dataset[dict[str, Tensor]]):
    """Samples as tensors: image (H, W, 3) uint8, keypoints (S, K, 2) float32 crop px."""

    def __init__(
        self,
        samples: Samples[PoseSampleLike],
        model: ObjectModel,
        *,
        mask: bool,
        easiest_of: int | None = None,
    ) -> None:
        self.samples = samples
        self.model = model
        self.mask = mask
        self.easiest_of = easiest_of
        self.symmetries = model.symmetries.transforms(CONTINUOUS_STEPS)

    def __getitem__(self, key: int | Key) -> dict[str, Tensor]:
        if self.easiest_of is not None and isinstance(key, int):
            sample, found = easiest(self.samples, self.model, key, self.easiest_of)
            return {**self._encoded(sample), "hardness": torch.from_numpy(found).float()}
        sample = self.samples.showing(*key) if isinstance(key, tuple) else self.samples[key]  # type: ignore[attr-defined]
        encoded = self._encoded(sample)
        if isinstance(key, tuple):
            encoded["view"] = torch.tensor(key[1])
        return encoded

    def _encoded(self, sample: PoseSampleLike) -> dict[str, Tensor]:
        labels = symmetric_labels(sample, self.model, self.symmetries)
        encoded = {
            "image": torch.from_numpy(np.ascontiguousarray(sample.image)),
            "keypoints": torch.from_numpy(labels.astype(np.float32)),
        }
        if self.mask:
            encoded["mask"] = torch.from_numpy(np.ascontiguousarray(sample.mask))
        return encoded


@dataclass
class PoseTask:
    """Learns one object's keypoints.

    Attributes:
        model: The object; made to have as many of its keypoints as the network has outputs.
        samples: Training samples, any index.
        held_out: Samples never trained on.
        architecture: With a heatmap or simcc head of at most as many outputs as the object has
            keypoints: it finds the first of them.
        config: The training's.
        crop_margin: Side of the crops in sides of the object's box; goes into the bundle.
    """

    model: ObjectModel
    samples: Samples[PoseSampleLike]
    held_out: Samples[PoseSampleLike]
    architecture: Architecture
    config: TrainConfig
    crop_margin: float
    title: str = "pose"
    headline: str = "add01"
    mining: Mining | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Checks that network and object fit.

        Raises:
            TrainingError: They do not.
        """
        head = self.architecture.head
        if head.kind not in ("heatmap", "simcc"):
            raise TrainingError(f"a pose network needs a heatmap or simcc head, not {head.kind}")
        most = len(self.model.keypoints)
        if not MIN_KEYPOINTS <= head.outputs <= most:
            raise TrainingError(
                f"the network has {head.outputs} outputs but {self.model.name} has {most} "
                f"keypoints; {MIN_KEYPOINTS} to {most} of them can be found"
            )
        self.model = self.model.first_keypoints(head.outputs)
        self.mining = Mining.of(self.samples, self.config)

    def dataset(self, easiest_of: int | None = None) -> Dataset[dict[str, Tensor]]:
        """See `Task`.

        Args:
            easiest_of: Each sample is the easiest of so many, and comes with its `hardness` (3,),
                see `hardness.hardness`; None: as they come, unmeasured.
        """
        mask = self.architecture.head.mask
        return _EncodedPoses(self.samples, self.model, mask=mask, easiest_of=easiest_of)

    def outputs(self, network: nn.Module, batch: Batch, device: torch.device) -> Any:
        """See `Task`."""
        return seen(network, batch, device)

    def loss(self, outputs: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Divergence of the maps and cover; the share of keypoints within 5 % of the crop (PCK)."""
        stride = self.architecture.output_stride
        sigma = self.config.sigma_px / stride
        keypoints = batch["keypoints"]
        if self.architecture.head.kind == "simcc":
            each = simcc_loss(outputs, keypoints, stride=stride, sigma=sigma)
            self._learn(batch, each)
            loss = each.mean()
            return loss, {"divergence": loss, "pck": self._pck(outputs, keypoints)}
        maps = outputs[:, : self.architecture.head.outputs]
        each = heatmap_loss(maps, keypoints, stride=stride, sigma=sigma)
        self._learn(batch, each)
        loss = each.mean()
        figures = {"divergence": loss, "pck": self._pck(maps, keypoints)}
        if self.architecture.head.mask:
            figures["mask"] = mask_loss(outputs[:, -1], batch["mask"]).mean()
            loss = loss + _MASK_WEIGHT * figures["mask"]
        return loss, figures

    def _learn(self, batch: Batch, each: Tensor) -> None:
        if self.mining is not None and "view" in batch:
            self.mining.learn(batch["view"], each.detach())

    def _pck(self, outputs: Any, keypoints: Tensor) -> Tensor:
        cells = to_cells(keypoints, self.architecture.output_stride)
        if isinstance(outputs, tuple):
            best = torch.stack([axis.argmax(-1) for axis in outputs], dim=-1)
        else:
            flat = outputs.flatten(2).argmax(-1)
            width = outputs.shape[-1]
            best = torch.stack([flat % width, flat // width], dim=-1)
        distance = (best[:, None] - cells).norm(dim=-1) * self.architecture.output_stride
        hits: Tensor = (distance < _PCK_SHARE * self.architecture.input_size[1]).float().mean(-1)
        return hits.amax(dim=1).mean()

    def predictions(self, network: nn.Module, indices: Sequence[int]) -> list[Prediction]:
        """The network's outputs for held-out samples."""
        return predict(network, self.model, self.held_out, indices)

    def validate(self, network: nn.Module, count: int) -> dict[str, float]:
        """Pose errors on held-out samples, decoded with the default parameters."""
        predictions = self.predictions(network, range(count))
        return judge(predictions, self.model, self.architecture, {"sigma_px": self.config.sigma_px})

    def finish(self, network: nn.Module, count: int) -> Verdict:
        """Chooses decoding on samples `count`..2 `count`, judges it on the first `count`."""
        chosen_on = self.predictions(network, range(count, 2 * count))
        extra = choose_decoding(chosen_on, self.model, self.architecture, self.config.sigma_px)
        predictions = self.predictions(network, range(count))
        metrics = judge(predictions, self.model, self.architecture, extra)
        return Verdict(metrics, {**extra, "crop_margin": self.crop_margin})
