# SPDX-License-Identifier: Apache-2.0
"""The heads, each with its cost formula beside its module."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from offline_search.space.architecture import Architecture
from offline_search.space.kits import Kit, kit
from offline_search.space.macs import Cost, Size, conv, linear
from offline_search.space.necks import build_neck, neck_cost
from offline_search.space.operators import normed

BOX_SIDES = 4
# An untrained class map says "nothing here" with this probability (RetinaNet, arXiv 1708.02002).
_PRIOR = 0.01


def _deconvs(kit: Kit, inputs: int, widths: tuple[int, ...]) -> tuple[list[nn.Module], int]:
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(normed(kit, kit.deconv(inputs, width), width))
        inputs = width
    return layers, inputs


def _deconvs_cost(
    kit: Kit, inputs: int, widths: tuple[int, ...], size: Size
) -> tuple[Cost, int, Size]:
    total = Cost()
    for width in widths:
        total += kit.deconv_cost(inputs, width, size) + kit.norm_cost(width)
        inputs, size = width, (size[0] * 2, size[1] * 2)
    return total, inputs, size


def _separable(kit: Kit, inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [
        normed(kit, kit.depthwise(inputs, kernel), inputs),
        normed(kit, kit.dense(inputs, outputs, 1), outputs),
    ]


def _separable_cost(kit: Kit, inputs: int, outputs: int, kernel: int, size: Size) -> Cost:
    depthwise = kit.depthwise_cost(inputs, kernel, size) + kit.norm_cost(inputs)
    return depthwise + kit.dense_cost(inputs, outputs, 1, size) + kit.norm_cost(outputs)


def _shrink(layer: nn.Module) -> None:
    """Makes the outputs of an untrained network nearly alike: no prediction is preferred."""
    assert isinstance(layer.weight, Tensor)
    nn.init.normal_(layer.weight, std=0.01)


class HeatmapHead(nn.Module):
    """Slim transposed convolutions, SIC, 1x1 (EfficientPose, arXiv 2012.07086): (B, K, h, w).

    With a mask there are K + 1 maps, the mask's the last.
    """

    def __init__(self, inputs: int, architecture: Architecture) -> None:
        """`inputs` are the features' channels."""
        super().__init__()
        head, make = architecture.head, kit(architecture.turns)
        self.neck = build_neck(inputs, architecture)
        layers, width = _deconvs(make, inputs, head.width)
        if head.sic:
            layers += [make.depthwise(width, 3, bias=True), nn.ReLU(inplace=True)]
        self.up = nn.Sequential(*layers)
        self.maps = make.scalars(width, head.maps)
        _shrink(self.maps)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, h, w) -> logits (B, K, h', w')."""
        y: Tensor = self.maps(self.up(self.neck(x)))
        return y


def heatmap_cost(inputs: int, architecture: Architecture, size: Size) -> Cost:
    """Cost of `HeatmapHead` on features of `size`."""
    head, make = architecture.head, kit(architecture.turns)
    total, width, size = _deconvs_cost(make, inputs, head.width, size)
    total += neck_cost(inputs, architecture)
    if head.sic:
        total += make.depthwise_cost(width, 3, size, bias=True)
    return total + make.scalars_cost(width, head.maps, size)


class SimccHead(nn.Module):
    """Coordinate classification (SimCC, arXiv 2107.03332): logits over bins (B, K, bw), (B, K, bh).

    A 1x1 convolution gives one map a keypoint; a linear layer shared by the keypoints turns
    the flattened map into bins in x, another into bins in y, so no up-sampling is needed.
    """

    def __init__(self, inputs: int, architecture: Architecture) -> None:
        """`inputs` are the features' channels."""
        super().__init__()
        head, make = architecture.head, kit(architecture.turns)
        self.neck = build_neck(inputs, architecture)
        layers: list[nn.Module] = []
        for width in head.width:
            layers += _separable(make, inputs, width, 3)
            inputs = width
        self.features = nn.Sequential(*layers)
        self.maps = make.scalars(inputs, head.outputs)
        height, width = architecture.feature_size
        cells = height * width
        bins_y, bins_x = architecture.map_size
        self.x = nn.Linear(cells, bins_x)
        self.y = nn.Linear(cells, bins_y)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, h, w) -> logits (B, K, bw), (B, K, bh)."""
        maps = self.maps(self.features(self.neck(x))).flatten(2)
        return self.x(maps), self.y(maps)


def simcc_cost(inputs: int, architecture: Architecture, size: Size) -> Cost:
    """Cost of `SimccHead` on features of `size`."""
    head, make = architecture.head, kit(architecture.turns)
    total = neck_cost(inputs, architecture)
    for width in head.width:
        total += _separable_cost(make, inputs, width, 3, size)
        inputs = width
    cells = size[0] * size[1]
    bins_y, bins_x = architecture.map_size
    total += make.scalars_cost(inputs, head.outputs, size)
    return total + linear(cells, bins_x, head.outputs) + linear(cells, bins_y, head.outputs)


class LocatorHead(nn.Module):
    """Class maps and amodal boxes, as CenterNet (arXiv 1904.07850) and FCOS (arXiv 1904.01355).

    Returns logits (B, C, h, w) and the distances left, top, right, bottom (B, 4, h, w) from the
    cell's centre to the box's edges, as multiples of the output stride.
    """

    def __init__(self, inputs: int, architecture: Architecture) -> None:
        """`inputs` are the features' channels."""
        super().__init__()
        head, make = architecture.head, kit(architecture.turns)
        layers, width = _deconvs(make, inputs, head.width[:-1])
        layers += _separable(make, width, head.width[-1], 5)
        self.features = nn.Sequential(*layers)
        self.heat = make.scalars(head.width[-1], head.outputs)
        # Sides are not numbers but directions: they must see the orientations.
        self.box = nn.Conv2d(head.width[-1], BOX_SIDES, 1)
        _shrink(self.heat)
        assert isinstance(self.heat.bias, Tensor)
        nn.init.constant_(self.heat.bias, math.log(_PRIOR / (1 - _PRIOR)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C', h, w) -> class logits, side distances."""
        features = self.features(x)
        return self.heat(features), F.softplus(self.box(features))


def locator_cost(inputs: int, architecture: Architecture, size: Size) -> Cost:
    """Cost of `LocatorHead` on features of `size`."""
    head, make = architecture.head, kit(architecture.turns)
    total, width, size = _deconvs_cost(make, inputs, head.width[:-1], size)
    last = head.width[-1]
    total += _separable_cost(make, width, last, 5, size)
    total += make.scalars_cost(last, head.outputs, size)
    return total + conv(last, BOX_SIDES, 1, size) + Cost(0, BOX_SIDES)


HEADS = {
    "heatmap": (HeatmapHead, heatmap_cost),
    "simcc": (SimccHead, simcc_cost),
    "locator": (LocatorHead, locator_cost),
}
