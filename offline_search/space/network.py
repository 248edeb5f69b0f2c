# SPDX-License-Identifier: Apache-2.0
"""From an `Architecture` to a torch network."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from offline_search.space.architecture import STEM_STRIDE, Architecture
from offline_search.space.cost import cost
from offline_search.space.heads import HEADS
from offline_search.space.kits import IMAGE_CHANNELS, Kit, kit
from offline_search.space.operators import normed, operator

# Of an 8-bit image; the network normalises by itself, so its input is what the camera gives.
PIXEL_MEAN = 118.0
PIXEL_STD = 60.0


class Layer(nn.Module):
    """The mean of several operators' outputs."""

    def __init__(
        self, make: Kit, names: tuple[str, ...], inputs: int, outputs: int, stride: int
    ) -> None:
        """Builds the operators of those names."""
        super().__init__()
        self.operators = nn.ModuleList(
            operator(name).build(make, inputs, outputs, stride) for name in names
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        outputs = [branch(x) for branch in self.operators]
        total: Tensor = outputs[0]
        for output in outputs[1:]:
            total = total + output
        return total if len(outputs) == 1 else total / len(outputs)


class Network(nn.Module):
    """Stem, stages, head. Input (B, 3, H, W) float32 RGB in 0..255; the output is the head's."""

    def __init__(self, architecture: Architecture) -> None:
        """Use `build`, which checks the architecture first."""
        super().__init__()
        self.architecture = architecture
        make = kit(architecture.turns)
        width, inputs = architecture.stem_width, architecture.stem_out
        self.stem = nn.Sequential(
            normed(make, make.dense(IMAGE_CHANNELS, width, 3, STEM_STRIDE), width),
            normed(make, make.depthwise(width, 3), width),
            normed(make, make.dense(width, inputs, 1), inputs, act=False),
        )
        layers: list[nn.Module] = []
        for stage in architecture.stages:
            stride = stage.stride
            for names in stage.layers:
                layers.append(Layer(make, names, inputs, stage.width, stride))
                inputs, stride = stage.width, 1
        self.layers = nn.Sequential(*layers)
        self.head: nn.Module = HEADS[architecture.head.kind][0](inputs, architecture)

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K, h, w) of a heatmap head; a pair of tensors of the others."""
        x = (x - PIXEL_MEAN) * (1.0 / PIXEL_STD)
        return self.head(self.layers(self.stem(x)))


@singledispatch
def build(architecture: Architecture, *, seed: int | None = None) -> Network:
    """A freshly initialised network; with `seed` the weights depend on it alone.

    Other descriptions of a network than ours can register how they are built, and with
    `cost` what they cost; the training loop then takes them as it takes an `Architecture`.

    Raises:
        ArchitectureError: An operator is unknown or cannot stand at its place.
    """
    cost(architecture)  # refuses illegal operators with a clear message
    if seed is None:
        return Network(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(architecture)
