# SPDX-License-Identifier: Apache-2.0
"""From an `Architecture` to a torch network."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from offline_search.space.architecture import STEM_STRIDE, Architecture
from offline_search.space.cost import cost
from offline_search.space.heads import HEADS
from offline_search.space.kits import IMAGE_CHANNELS, Kit, kit
from offline_search.space.operators import normed, operator
from offline_search.space.oriented import to_plain
from offline_search.space.plain_layer import PlainLayer
from offline_search.space.temporal_cell import CellModule

# Of an 8-bit image; the network normalises by itself, so its input is what the camera gives.
PIXEL_MEAN = 118.0
PIXEL_STD = 60.0


class Layer(nn.Module):
    """The mean of several operators' outputs."""

    def __init__(self, operators: Iterable[nn.Module]) -> None:
        """`operators` give outputs of one shape."""
        super().__init__()
        self.operators = nn.ModuleList(operators)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        outputs = [branch(x) for branch in self.operators]
        total: Tensor = outputs[0]
        for output in outputs[1:]:
            total = total + output
        return total if len(outputs) == 1 else total / len(outputs)

    def plain(self) -> nn.Module:
        """What does the same in evaluation mode, see `oriented.to_plain`."""
        return PlainLayer(to_plain(copy.deepcopy(self.operators)).children())


class Network(nn.Module):
    """Stem, stages, head. Input (B, 3, H, W) float32 RGB in 0..255; the output is the head's.

    With a temporal cell it also takes earlier images' features; without them it works as one that
    has none.
    """

    def __init__(
        self,
        architecture: Architecture,
        stem: nn.Module,
        layers: Iterable[nn.Module],
        head: nn.Module,
        cell: CellModule | None = None,
    ) -> None:
        """Puts parts together; `build` makes them."""
        super().__init__()
        self.architecture = architecture
        self.stem = stem
        self.layers = nn.Sequential(*layers)
        self.head = head
        self.cell = cell

    def forward(self, x: Tensor, past: Tensor | None = None) -> Any:
        """Logits (B, K, h, w) of a heatmap head; a pair of tensors of the others.

        Args:
            x: See the class.
            past: (B, L, C, h, w), see `conclude`.
        """
        return self.conclude(self.features(x), past)

    def features(self, x: Tensor) -> Any:
        """What the cell or the head takes: (B, C, h, w) of the last stage."""
        x = (x - PIXEL_MEAN) * (1.0 / PIXEL_STD)
        return self.layers(self.stem(x))

    def conclude(self, features: Any, past: Tensor | None = None) -> Any:
        """From features to the head's output.

        Args:
            features: See `features`.
            past: (B, L, C, h, w), for each edge of the cell the features of that earlier image,
                aligned with this one's crop (see `alignment`); zeros, or None, where there is none.
        """
        if self.cell is not None and past is not None:
            features = self.cell(features, past)
        return self.head(features)


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
        return _build(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(architecture)


def _build(architecture: Architecture) -> Network:
    make = kit(architecture.turns)
    stem = build_stem(architecture)
    layers = [
        Layer(place.build(make, name) for name in place.names) for place in places(architecture)
    ]
    return Network(architecture, stem, layers, build_head(architecture), build_cell(architecture))


@dataclass(frozen=True)
class Place:
    """A layer's operators and shape."""

    names: tuple[str, ...]
    inputs: int
    outputs: int
    stride: int

    def build(self, make: Kit, name: str) -> nn.Module:
        """One operator of this shape."""
        return operator(name).build(make, self.inputs, self.outputs, self.stride)


def places(architecture: Architecture) -> list[Place]:
    """Of all layers, in the order of computation."""
    found, inputs = [], architecture.stem_out
    for stage in architecture.stages:
        stride = stage.stride
        for names in stage.layers:
            found.append(Place(names, inputs, stage.width, stride))
            inputs, stride = stage.width, 1
    return found


def build_stem(architecture: Architecture) -> nn.Module:
    """3x3 of stride 2, depthwise 3x3, 1x1."""
    make, width = kit(architecture.turns), architecture.stem_width
    outputs = architecture.stem_out
    return nn.Sequential(
        normed(make, make.dense(IMAGE_CHANNELS, width, 3, STEM_STRIDE), width),
        normed(make, make.depthwise(width, 3), width),
        normed(make, make.dense(width, outputs, 1), outputs, act=False),
    )


def build_head(architecture: Architecture) -> nn.Module:
    """On the last stage's features."""
    make, _ = HEADS[architecture.head.kind]
    return make(architecture.stages[-1].width, architecture)


def build_cell(architecture: Architecture) -> CellModule | None:
    """Over the last stage's features; None where there is none."""
    if architecture.cell is None:
        return None
    return CellModule(architecture.cell, kit(architecture.turns), architecture.stages[-1].width)
