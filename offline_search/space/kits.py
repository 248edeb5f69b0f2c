# SPDX-License-Identifier: Apache-2.0
"""The primitive layers that operators and heads are made of, in two makes with one interface.

`PlainKit` gives ordinary convolutions, `OrientedKit` those that commute with quarter turns of the
image (see `oriented`). Each layer's cost formula stands beside it.
"""

from __future__ import annotations

from typing import Protocol

from torch import nn

from offline_search.space.macs import Cost, Size, conv
from offline_search.space.oriented import (
    TURNS,
    LiftingConv2d,
    OrientedBatchNorm2d,
    OrientedConv2d,
    OrientedDepthwise2d,
    PooledConv2d,
)

IMAGE_CHANNELS = 3
_DECONV = 4


class Kit(Protocol):
    """Makes layers for maps (B, C, h, w), and prices them. Sizes given to prices are of the output.

    Attributes:
        turns: Channels that make up one field; widths are multiples of it.
    """

    turns: int

    def norm(self, width: int) -> nn.Module:
        """Batch norm."""
        ...

    def norm_cost(self, width: int) -> Cost:
        """Cost of `norm`."""
        ...

    def dense(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
        """Same-padded convolution without bias; a width of 3 is that of an image."""
        ...

    def dense_cost(
        self, inputs: int, outputs: int, kernel: int, size: Size, stride: int = 1
    ) -> Cost:
        """Cost of `dense`."""
        ...

    def depthwise(
        self, width: int, kernel: int, stride: int = 1, dilation: int = 1, *, bias: bool = False
    ) -> nn.Module:
        """Same-padded convolution of each channel by itself."""
        ...

    def depthwise_cost(
        self, width: int, kernel: int, size: Size, stride: int = 1, *, bias: bool = False
    ) -> Cost:
        """Cost of `depthwise`."""
        ...

    def deconv(self, inputs: int, outputs: int) -> nn.Module:
        """4x4 transposed convolution of stride 2, without bias."""
        ...

    def deconv_cost(self, inputs: int, outputs: int, size: Size) -> Cost:
        """Cost of `deconv` for an *input* of that size."""
        ...

    def scalars(self, inputs: int, outputs: int) -> nn.Module:
        """1x1 convolution with bias to maps of plain numbers."""
        ...

    def scalars_cost(self, inputs: int, outputs: int, size: Size) -> Cost:
        """Cost of `scalars`."""
        ...


class PlainKit:
    """Ordinary layers."""

    turns = 1

    def norm(self, width: int) -> nn.Module:
        """See `Kit`."""
        return nn.BatchNorm2d(width)

    def norm_cost(self, width: int) -> Cost:
        """See `Kit`."""
        return Cost(0, 2 * width)

    def dense(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
        """See `Kit`."""
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def dense_cost(
        self, inputs: int, outputs: int, kernel: int, size: Size, stride: int = 1
    ) -> Cost:
        """See `Kit`."""
        return conv(inputs, outputs, kernel, size)

    def depthwise(
        self, width: int, kernel: int, stride: int = 1, dilation: int = 1, *, bias: bool = False
    ) -> nn.Module:
        """See `Kit`."""
        padding = dilation * (kernel // 2)
        return nn.Conv2d(width, width, kernel, stride, padding, dilation, width, bias=bias)

    def depthwise_cost(
        self, width: int, kernel: int, size: Size, stride: int = 1, *, bias: bool = False
    ) -> Cost:
        """See `Kit`."""
        return conv(1, width, kernel, size) + Cost(0, width * bias)

    def deconv(self, inputs: int, outputs: int) -> nn.Module:
        """See `Kit`."""
        return nn.ConvTranspose2d(inputs, outputs, _DECONV, 2, 1, bias=False)

    def deconv_cost(self, inputs: int, outputs: int, size: Size) -> Cost:
        """See `Kit`."""
        return conv(inputs, outputs, _DECONV, size)

    def scalars(self, inputs: int, outputs: int) -> nn.Module:
        """See `Kit`."""
        return nn.Conv2d(inputs, outputs, 1)

    def scalars_cost(self, inputs: int, outputs: int, size: Size) -> Cost:
        """See `Kit`."""
        return conv(inputs, outputs, 1, size) + Cost(0, outputs)


def _shared(cost: Cost) -> Cost:
    """The same work with a quarter of the weights."""
    return Cost(cost.macs, cost.params // TURNS)


class OrientedKit:
    """Layers over fields of four orientations. Kernels of stride 2 are one larger: even."""

    turns = TURNS

    def norm(self, width: int) -> nn.Module:
        """See `Kit`."""
        return OrientedBatchNorm2d(width)

    def norm_cost(self, width: int) -> Cost:
        """See `Kit`."""
        return Cost(0, 2 * width // TURNS)

    def dense(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
        """See `Kit`."""
        make = LiftingConv2d if inputs == IMAGE_CHANNELS else OrientedConv2d
        return make(inputs, outputs, kernel + stride - 1, stride, kernel // 2)

    def dense_cost(
        self, inputs: int, outputs: int, kernel: int, size: Size, stride: int = 1
    ) -> Cost:
        """See `Kit`."""
        return _shared(conv(inputs, outputs, kernel + stride - 1, size))

    def depthwise(
        self, width: int, kernel: int, stride: int = 1, dilation: int = 1, *, bias: bool = False
    ) -> nn.Module:
        """See `Kit`."""
        return OrientedDepthwise2d(width, kernel + stride - 1, stride, dilation, bias=bias)

    def depthwise_cost(
        self, width: int, kernel: int, size: Size, stride: int = 1, *, bias: bool = False
    ) -> Cost:
        """See `Kit`."""
        return _shared(conv(1, width, kernel + stride - 1, size) + Cost(0, width * bias))

    def deconv(self, inputs: int, outputs: int) -> nn.Module:
        """See `Kit`."""
        return OrientedConv2d(inputs, outputs, _DECONV, 2, 1, up=True)

    def deconv_cost(self, inputs: int, outputs: int, size: Size) -> Cost:
        """See `Kit`."""
        return _shared(conv(inputs, outputs, _DECONV, size))

    def scalars(self, inputs: int, outputs: int) -> nn.Module:
        """See `Kit`."""
        return PooledConv2d(inputs, outputs)

    def scalars_cost(self, inputs: int, outputs: int, size: Size) -> Cost:
        """See `Kit`."""
        return _shared(conv(inputs, outputs, 1, size)) + Cost(0, outputs)


def kit(turns: int) -> Kit:
    """The kit for fields of `turns` channels: 1 or 4."""
    return OrientedKit() if turns == TURNS else PlainKit()
