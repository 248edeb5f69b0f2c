# SPDX-License-Identifier: Apache-2.0
"""What the training loop asks of a task. The loop knows no poses and no boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from offline_search.training.mining import Mining

Batch = Mapping[str, Tensor]
Item = TypeVar("Item", covariant=True)


class Samples(Protocol[Item]):
    """A map from indices to samples: a pure function, so that a resumed run sees the same."""

    def __getitem__(self, index: int, /) -> Item:
        """The sample of that index."""
        ...


@dataclass(frozen=True)
class Verdict:
    """Outcome of the last validation.

    Attributes:
        metrics: Figures by name.
        extra: Decoding parameters chosen on the validation samples, for `NetworkSpec.extra`.
    """

    metrics: dict[str, float]
    extra: dict[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """Data, loss and judgement of one kind of network."""

    title: str
    headline: str
    """Name of the validation figure worth showing."""
    mining: Mining | None
    """What draws the training samples, where they are not simply drawn in order."""

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """Encoded training samples: `image` (H, W, 3) uint8 and whatever the loss needs."""
        ...

    def outputs(self, network: nn.Module, batch: Batch, device: torch.device) -> Any:
        """What the network makes of a batch."""
        ...

    def loss(self, outputs: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss of a batch, and figures to show beside it."""
        ...

    def validate(self, network: nn.Module, count: int) -> dict[str, float]:
        """Figures on the first `count` held-out samples."""
        ...

    def finish(self, network: nn.Module, count: int) -> Verdict:
        """Chooses decoding parameters and judges with them; what is chosen on is not judged on."""
        ...
