# SPDX-License-Identifier: Apache-2.0
"""What may stand between backbone and head, with its cost formula."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from offline_search.space.architecture import NO_NECK, Architecture
from offline_search.space.kits import Kit, kit
from offline_search.space.macs import Cost
from offline_search.space.operators import Branch, normed

_LEVELS: Final = 4
_POOLED: Final = 5


class _Pyramid(nn.Module):
    """A 1x1 of the features and of what is poolings of growing windows, added up.

    Stacking the maps and one 1x1 is the same arithmetic; apart, a narrower network has the leading
    channels of each.
    """

    def __init__(self, make: Kit, inputs: int, outputs: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(make.dense(inputs, outputs, 1) for _ in range(_LEVELS))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.levels[0](x)
        for level in self.levels[1:]:
            x = F.max_pool2d(x, _POOLED, 1, _POOLED // 2)
            total = total + level(x)
        return total


def build_neck(inputs: int, architecture: Architecture) -> nn.Module:
    """Of `inputs` channels and as many: (B, C, h, w) -> (B, C, h, w).

    `spp` is spatial pyramid pooling (arXiv 1406.4729): the features, and their maxima in windows of
    5, 9 and 13 cells, each of half the channels. The windows are 5x5 poolings in a row, as in the
    detectors that have it for a neck (YOLOv5's SPPF). It is added to the features and starts at
    nothing: with a new neck a trained network begins as it was.
    """
    if architecture.head.neck == NO_NECK:
        return nn.Identity()
    make = kit(architecture.turns)
    middle = _middle(inputs, make)
    body = nn.Sequential(
        normed(make, make.dense(inputs, middle, 1), middle),
        _Pyramid(make, middle, inputs),
        make.norm(inputs),
    )
    return Branch(body, residual=True)


def neck_cost(inputs: int, architecture: Architecture) -> Cost:
    """Cost of `build_neck`; poolings count nothing."""
    total = Cost()
    if architecture.head.neck != NO_NECK:
        make, size = kit(architecture.turns), architecture.feature_size
        middle = _middle(inputs, make)
        total += make.dense_cost(inputs, middle, 1, size) + make.norm_cost(middle)
        for _ in range(_LEVELS):
            total += make.dense_cost(middle, inputs, 1, size)
        total += make.norm_cost(inputs)
    return total


def _middle(width: int, make: Kit) -> int:
    """Half of the channels, in whole fields."""
    return max(make.turns, width // 2 // make.turns * make.turns)
