# SPDX-License-Identifier: Apache-2.0
"""Networks that are trained with group norm and standardised weights in place of batch norm.

Batch norm is noisy where batches are small, and slow to settle where trainings are short. Group
norm (arXiv 1803.08494) with weight standardisation (arXiv 1903.10520) needs no statistics of a
batch; SM-NAS (arXiv 1911.09929) trains its candidates so, from scratch. It is for trainings that
are compared and thrown away: on the robot batch norm vanishes into convolutions, group norm would
not.

Importing this module registers `GroupNormed` with `build`; `cost` takes it as the architecture it
is, for both norms have as many weights.
"""

from __future__ import annotations

from math import prod
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.network import Network, build

_MOST_CHANNELS: Final = 16
"""Of a group: what the paper on group norm found best of fixed numbers."""
_EPSILON: Final = 1e-5


class GroupNormed(Architecture):
    """An architecture whose network is built with group norm and standardised weights."""

    def __post_init__(self) -> None:
        """Checks every field."""
        super().__post_init__()
        if self.turns != 1:
            raise ArchitectureError(
                f"architecture: group norm knows no fields of {self.turns} turns; use 1"
            )

    @staticmethod
    def of(architecture: Architecture) -> GroupNormed:
        """That architecture."""
        return GroupNormed(**vars(architecture))


@build.register
def _(architecture: GroupNormed, *, seed: int | None = None) -> Network:
    return with_group_norm(build.dispatch(Architecture)(architecture, seed=seed))


def with_group_norm(network: Network) -> Network:
    """Replaces batch norms by group norms, and standardises weights; changes the network.

    A group norm takes over its batch norm's scale and shift: what starts at zero goes on doing so.
    Standardised are the convolutions without bias, which are those in front of a norm, that mix
    channels. A depthwise kernel whose weights sum to zero could not pass its channel on.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _group_norm(child))
            elif _is_standardised(child):
                standardise = WeightStandardisation(int(isinstance(child, nn.ConvTranspose2d)))
                parametrize.register_parametrization(child, "weight", standardise)
    return network


def _is_standardised(module: nn.Module) -> bool:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return isinstance(module, kinds) and module.bias is None and module.groups == 1


class WeightStandardisation(nn.Module):
    """Weights less their mean, over their deviation, of each output channel (arXiv 1903.10520)."""

    def __init__(self, outputs: int) -> None:
        """`outputs` is the axis of the output channels: 0, or 1 of a transposed convolution."""
        super().__init__()
        self.axes = tuple(axis for axis in range(4) if axis != outputs)

    def forward(self, weight: Tensor) -> Tensor:
        """Of one shape, (outputs, inputs, k, k) or (inputs, outputs, k, k)."""
        if prod(weight.shape[axis] for axis in self.axes) == 1:
            return weight  # nothing would be left
        variance, mean = torch.var_mean(weight, self.axes, correction=0, keepdim=True)
        return (weight - mean) * torch.rsqrt(variance + _EPSILON)


def channels_of_a_group(width: int) -> int:
    """The largest divisor of a width up to 16; all of them where there is none but 1."""
    best = next(n for n in range(_MOST_CHANNELS, 0, -1) if width % n == 0)
    return best if best > 1 else width


def _group_norm(norm: nn.BatchNorm2d) -> nn.GroupNorm:
    width = norm.num_features
    group = nn.GroupNorm(width // channels_of_a_group(width), width, norm.eps)
    group.load_state_dict({"weight": norm.weight, "bias": norm.bias})
    return group
