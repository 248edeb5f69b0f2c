# SPDX-License-Identifier: Apache-2.0
"""Convolutions that commute with quarter turns of the image (Cohen and Welling, arXiv 1602.07576).

A camera may see an object at any roll, and a plain network must learn each feature once for every
roll. Here channels come in fields of four, one for each quarter turn of a shared kernel: turning
the picture turns the feature maps and shifts the four channels of each field in a circle. What is
learnt at one roll is known at three others, at the same multiply-accumulates and a quarter of
the weights. For the robot the kernels are expanded to those of an ordinary network.

Channel c of a map is orientation c % 4 of field c // 4. Kernels of stride 2 have an even size:
only then does the sampling grid on maps of even size turn into itself.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TURNS: Final = 4


def turn_kernels(kernels: Tensor) -> Tensor:
    """Kernels (O, I, k, k) -> (4 O, I, k, k): each turned by 0 to 3 quarters."""
    turned = [torch.rot90(kernels, r, (-2, -1)) for r in range(TURNS)]
    return torch.stack(turned, dim=1).flatten(0, 1)


def expand_kernels(weight: Tensor) -> Tensor:
    """(O, 4 I, k, k) over relative orientations -> (4 O, 4 I, k, k) over channels.

    Output orientation r reads input orientation s through the kernel of relative orientation
    (s - r) mod 4, turned by r.
    """
    outputs, inputs, kernel, _ = weight.shape
    relative = weight.reshape(outputs, inputs // TURNS, TURNS, kernel, kernel)
    rows = [torch.rot90(relative, r, (-2, -1)).roll(r, dims=2) for r in range(TURNS)]
    return torch.stack(rows, dim=1).reshape(outputs * TURNS, inputs, kernel, kernel)


def _kernel(outputs: int, inputs: int, size: int) -> nn.Parameter:
    weight = torch.empty(outputs, inputs, size, size)
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
    return nn.Parameter(weight)


class OrientedConv2d(nn.Module):
    """Fields to fields: (B, 4 I, h, w) -> (B, 4 O, h', w'), without bias; `up`: transposed."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, *, up: bool = False
    ) -> None:
        """`inputs` and `outputs` count channels, not fields."""
        super().__init__()
        self.weight = _kernel(outputs // TURNS, inputs, kernel)
        self.stride, self.padding, self.up = stride, padding, up

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        weight = expand_kernels(self.weight)
        if self.up:
            weight = weight.transpose(0, 1)
            return F.conv_transpose2d(x, weight, None, self.stride, self.padding)
        return F.conv2d(x, weight, None, self.stride, self.padding)

    def plain(self) -> nn.Module:
        """The ordinary layer that does the same."""
        weight = expand_kernels(self.weight.detach())
        outputs, inputs, kernel, _ = weight.shape
        if self.up:
            up = nn.ConvTranspose2d(inputs, outputs, kernel, self.stride, self.padding, bias=False)
            return _filled(up, weight.transpose(0, 1))
        conv = nn.Conv2d(inputs, outputs, kernel, self.stride, self.padding, bias=False)
        return _filled(conv, weight)


class LiftingConv2d(nn.Module):
    """An image to fields: (B, I, h, w) -> (B, 4 O, h', w'), without bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        """`outputs` counts channels, not fields."""
        super().__init__()
        self.weight = _kernel(outputs // TURNS, inputs, kernel)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.conv2d(x, turn_kernels(self.weight), None, self.stride, self.padding)

    def plain(self) -> nn.Module:
        """The ordinary layer that does the same."""
        weight = turn_kernels(self.weight.detach())
        outputs, inputs, kernel, _ = weight.shape
        conv = nn.Conv2d(inputs, outputs, kernel, self.stride, self.padding, bias=False)
        return _filled(conv, weight)


class OrientedDepthwise2d(nn.Module):
    """Each channel by its field's kernel, turned: (B, C, h, w) -> (B, C, h', w')."""

    def __init__(
        self, width: int, kernel: int, stride: int, dilation: int, *, bias: bool = False
    ) -> None:
        """Same-padded. With stride 2 an even dilation grows by one, to keep the grid symmetric."""
        super().__init__()
        self.weight = _kernel(width // TURNS, 1, kernel)
        self.bias = nn.Parameter(torch.zeros(width // TURNS)) if bias else None
        self.dilation = dilation + (1 if stride == 2 and dilation % 2 == 0 else 0)
        self.padding = (self.dilation * (kernel - 1) + 1 - stride) // 2
        self.stride, self.width = stride, width

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        bias = None if self.bias is None else self.bias.repeat_interleave(TURNS)
        weight = turn_kernels(self.weight)
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.width)

    def plain(self) -> nn.Module:
        """The ordinary layer that does the same."""
        conv = nn.Conv2d(
            self.width,
            self.width,
            self.weight.shape[-1],
            self.stride,
            self.padding,
            self.dilation,
            self.width,
            bias=self.bias is not None,
        )
        bias = None if self.bias is None else self.bias.detach().repeat_interleave(TURNS)
        return _filled(conv, turn_kernels(self.weight.detach()), bias)


class PooledConv2d(nn.Module):
    """Fields to numbers by a 1x1 blind to orientation: (B, 4 I, h, w) -> (B, O, h, w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """`inputs` counts channels, not fields."""
        super().__init__()
        self.weight = _kernel(outputs, inputs // TURNS, 1)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.conv2d(x, self.weight.repeat_interleave(TURNS, dim=1), self.bias)

    def plain(self) -> nn.Module:
        """The ordinary layer that does the same."""
        weight = self.weight.detach().repeat_interleave(TURNS, dim=1)
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        return _filled(conv, weight, self.bias.detach())


class OrientedBatchNorm2d(nn.Module):
    """Batch norm with one scale and shift a field; its running statistics are the field's too."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        """`width` counts channels, not fields."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width // TURNS))
        self.bias = nn.Parameter(torch.zeros(width // TURNS))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        mean, var = self.running_mean, self.running_var
        if not self.training:
            mean, var = _field_mean(mean), _field_mean(var)
        weight = self.weight.repeat_interleave(TURNS)
        return F.batch_norm(x, mean, var, weight, self.bias.repeat_interleave(TURNS), self.training)

    def plain(self) -> nn.Module:
        """The ordinary layer that does the same in evaluation mode."""
        norm = nn.BatchNorm2d(len(self.running_mean))
        norm.running_mean = _field_mean(self.running_mean)
        norm.running_var = _field_mean(self.running_var)
        weight = self.weight.detach().repeat_interleave(TURNS)
        return _filled(norm, weight, self.bias.detach().repeat_interleave(TURNS))


def _field_mean(values: Tensor) -> Tensor:
    return values.view(-1, TURNS).mean(dim=1).repeat_interleave(TURNS)


def _filled(module: nn.Module, weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    module.load_state_dict(state, strict=False)
    return module


def to_plain(module: nn.Module) -> nn.Module:
    """Replaces oriented layers anywhere inside by the ordinary ones that do the same, in place."""
    for name, child in module.named_children():
        make = getattr(child, "plain", None)
        setattr(module, name, make() if make is not None else to_plain(child))
    return module.eval()
