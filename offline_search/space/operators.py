# SPDX-License-Identifier: Apache-2.0
"""The candidate operators of a layer, each with its torch module and its cost formula.

Every operator maps (B, inputs, h, w) to (B, outputs, ceil(h / stride), ceil(w / stride)). Where
stride is 1 and the widths agree, it is residual, x + f(x), and f's last normalisation starts at
zero, so that a deep network starts as a shallow one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from offline_search.space.architecture import ArchitectureError
from offline_search.space.kits import Kit
from offline_search.space.macs import Cost, Size, halve
from offline_search.space.oriented import OrientedBatchNorm2d

Build = Callable[[Kit, int, int, int], nn.Module]
Price = Callable[[Kit, int, int, int, Size], Cost]


@dataclass(frozen=True)
class Operator:
    """One candidate.

    Attributes:
        name: Its name in an `Architecture`.
        build: (kit, inputs, outputs, stride) -> module.
        price: (kit, inputs, outputs, stride, input (h, w)) -> cost.
        same_shape: Legal only where stride is 1 and inputs == outputs.
    """

    name: str
    build: Build
    price: Price
    same_shape: bool = False

    def legal(self, inputs: int, outputs: int, stride: int) -> bool:
        """Whether the operator can stand at this place."""
        return not self.same_shape or (stride == 1 and inputs == outputs)


OPERATORS: dict[str, Operator] = {}

# Operators of one make: those whose weights are parts of another's.
_MAKES: Final = {
    **{f"mb_k{kernel}_e{expand}": "mb_k7_e6" for kernel in (3, 5, 7) for expand in (3, 6)},
    **dict.fromkeys(("sep_k3", "sep_k5", "dw_k11"), "dw_k11"),
}


def make_of(name: str) -> str:
    """The operator whose weights hold those of this one: the largest of its make, or itself."""
    return _MAKES.get(name, name)


def operator(name: str) -> Operator:
    """The registered operator of that name.

    Raises:
        ArchitectureError: There is none.
    """
    if name not in OPERATORS:
        raise ArchitectureError(
            f"unknown operator {name!r}; there are {', '.join(sorted(OPERATORS))}"
        )
    return OPERATORS[name]


def register(name: str, price: Price, *, same_shape: bool = False) -> Callable[[Build], Build]:
    """Decorator that puts a build function into the registry together with its price."""

    def add(build: Build) -> Build:
        OPERATORS[name] = Operator(name, build, price, same_shape)
        return build

    return add


def normed(kit: Kit, layer: nn.Module, width: int, *, act: bool = True) -> nn.Sequential:
    """A layer, batch norm, and a ReLU unless `act` is False."""
    layers = [layer, kit.norm(width)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)


def last_norm(body: nn.Module) -> nn.BatchNorm2d | OrientedBatchNorm2d | None:
    """The normalisation that an operator ends in; None where it has none."""
    norms = (nn.BatchNorm2d, OrientedBatchNorm2d)
    found = [module for module in body.modules() if isinstance(module, norms)]
    return found[-1] if found else None


class Branch(nn.Module):
    """f(x), or x + f(x) with f's last batch norm starting at zero."""

    def __init__(self, body: nn.Sequential, *, residual: bool) -> None:
        """`body` is f; its last module that has a normalisation's weight is a norm."""
        super().__init__()
        self.body = body
        self.residual = residual
        if residual:
            last = last_norm(body)
            assert last is not None
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


def _branch(inputs: int, outputs: int, stride: int, *layers: nn.Module) -> Branch:
    return Branch(nn.Sequential(*layers), residual=stride == 1 and inputs == outputs)


# --- MBConv (MobileNetV2, arXiv 1801.04381): 1x1 expand, depthwise k x k, 1x1 project


def _mb_price(kernel: int, expand: int) -> Price:
    def price(kit: Kit, inputs: int, outputs: int, stride: int, size: Size) -> Cost:
        middle, small = inputs * expand, halve(size, stride)
        return (
            kit.dense_cost(inputs, middle, 1, size)
            + kit.norm_cost(middle)
            + kit.depthwise_cost(middle, kernel, small, stride)
            + kit.norm_cost(middle)
            + kit.dense_cost(middle, outputs, 1, small)
            + kit.norm_cost(outputs)
        )

    return price


def _register_mb(kernel: int, expand: int) -> None:
    @register(f"mb_k{kernel}_e{expand}", _mb_price(kernel, expand))
    def build(kit: Kit, inputs: int, outputs: int, stride: int) -> nn.Module:
        middle = inputs * expand
        return _branch(
            inputs,
            outputs,
            stride,
            normed(kit, kit.dense(inputs, middle, 1), middle),
            normed(kit, kit.depthwise(middle, kernel, stride), middle),
            normed(kit, kit.dense(middle, outputs, 1), outputs, act=False),
        )


# --- depthwise-separable: plain, dilated, and with a large kernel (arXiv 2203.06717)


def _sep_price(kernel: int) -> Price:
    def price(kit: Kit, inputs: int, outputs: int, stride: int, size: Size) -> Cost:
        small = halve(size, stride)
        return (
            kit.depthwise_cost(inputs, kernel, small, stride)
            + kit.norm_cost(inputs)
            + kit.dense_cost(inputs, outputs, 1, small)
            + kit.norm_cost(outputs)
        )

    return price


def _register_sep(name: str, kernel: int, dilation: int = 1) -> None:
    @register(name, _sep_price(kernel))
    def build(kit: Kit, inputs: int, outputs: int, stride: int) -> nn.Module:
        return _branch(
            inputs,
            outputs,
            stride,
            normed(kit, kit.depthwise(inputs, kernel, stride, dilation), inputs),
            normed(kit, kit.dense(inputs, outputs, 1), outputs, act=False),
        )


for _kernel in (3, 5, 7):
    for _expand in (3, 6):
        _register_mb(_kernel, _expand)
_register_sep("sep_k3", 3)
_register_sep("sep_k5", 5)
_register_sep("sep_k3_d2", 3, dilation=2)
_register_sep("dw_k11", 11)


# --- ghost (GhostNet, arXiv 1911.11907): half the channels by a 1x1, the rest from them by a
# depthwise 3x3


def _ghost_widths(kit: Kit, outputs: int) -> tuple[int, int]:
    fields = outputs // kit.turns
    return (fields + 1) // 2 * kit.turns, fields // 2 * kit.turns


class Ghost(nn.Module):
    """(B, inputs, h, w) -> (B, outputs, h, w), without a last activation."""

    def __init__(self, kit: Kit, inputs: int, outputs: int) -> None:
        """The first half of the channels are the primary ones."""
        super().__init__()
        primary, self.cheap_width = _ghost_widths(kit, outputs)
        self.primary = normed(kit, kit.dense(inputs, primary, 1), primary)
        self.cheap = (
            normed(kit, kit.depthwise(self.cheap_width, 3), self.cheap_width)
            if self.cheap_width
            else None
        )
        self.norm = kit.norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Primary maps and their cheap relatives, normalised together."""
        first: Tensor = self.primary(x)
        if self.cheap is not None:
            first = torch.cat((first, self.cheap(first[:, : self.cheap_width])), dim=1)
        y: Tensor = self.norm(first)
        return y


def _ghost_price(kit: Kit, inputs: int, outputs: int, stride: int, size: Size) -> Cost:
    small = halve(size, stride)
    primary, cheap = _ghost_widths(kit, outputs)
    return (
        kit.depthwise_cost(inputs, 3, small, stride)
        + kit.norm_cost(inputs)
        + kit.dense_cost(inputs, primary, 1, small)
        + kit.norm_cost(primary)
        + kit.depthwise_cost(cheap, 3, small)
        + kit.norm_cost(cheap)
        + kit.norm_cost(outputs)
    )


@register("ghost_k3", _ghost_price)
def _ghost(kit: Kit, inputs: int, outputs: int, stride: int) -> nn.Module:
    depthwise = normed(kit, kit.depthwise(inputs, 3, stride), inputs)
    return _branch(inputs, outputs, stride, depthwise, Ghost(kit, inputs, outputs))


# --- plain convolution: most MACs, fewest memory passes


def _conv_price(kit: Kit, inputs: int, outputs: int, stride: int, size: Size) -> Cost:
    small = halve(size, stride)
    return kit.dense_cost(inputs, outputs, 3, small, stride) + kit.norm_cost(outputs)


@register("conv_k3", _conv_price)
def _conv(kit: Kit, inputs: int, outputs: int, stride: int) -> nn.Module:
    return _branch(
        inputs, outputs, stride, normed(kit, kit.dense(inputs, outputs, 3, stride), outputs)
    )


# --- coordinate attention (Hou et al., arXiv 2103.02907): pools along one axis at a time, so
# position is kept. Rows and columns share one layer: a quarter turn swaps them.

_ATTENTION_REDUCTION = 8
_ATTENTION_MIN_WIDTH = 8


def _attention_width(kit: Kit, width: int) -> int:
    return max(_ATTENTION_MIN_WIDTH, width // _ATTENTION_REDUCTION // kit.turns * kit.turns)


class CoordinateAttention(nn.Module):
    """x * 2 sigmoid(a(rows)) * 2 sigmoid(a(columns)): the factors start near 1."""

    def __init__(self, kit: Kit, width: int) -> None:
        """`width` is that of input and output."""
        super().__init__()
        middle = _attention_width(kit, width)
        self.squeeze = normed(kit, kit.dense(width, middle, 1), middle)
        self.excite = nn.Sequential(kit.dense(middle, width, 1), kit.norm(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        height = x.shape[2]
        rows = x.mean(dim=3, keepdim=True)
        columns = x.mean(dim=2, keepdim=True).transpose(2, 3)
        factors = 2 * torch.sigmoid(self.excite(self.squeeze(torch.cat((rows, columns), dim=2))))
        return x * factors[:, :, :height] * factors[:, :, height:].transpose(2, 3)


def _attention_price(kit: Kit, inputs: int, outputs: int, stride: int, size: Size) -> Cost:
    middle, both = _attention_width(kit, inputs), (size[0] + size[1], 1)
    return (
        kit.dense_cost(inputs, middle, 1, both)
        + kit.norm_cost(middle)
        + kit.dense_cost(middle, inputs, 1, both)
        + kit.norm_cost(inputs)
    )


@register("coord_attn", _attention_price, same_shape=True)
def _attention(kit: Kit, inputs: int, outputs: int, stride: int) -> nn.Module:
    return CoordinateAttention(kit, inputs)


# --- nothing


def _skip_price(kit: Kit, inputs: int, outputs: int, stride: int, size: Size) -> Cost:
    return Cost()


@register("skip", _skip_price, same_shape=True)
def _skip(kit: Kit, inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Identity()
