# SPDX-License-Identifier: Apache-2.0
"""What a runtime has to do for a part of a network: the quantities that its time grows with.

Runtimes compute on whole vectors of channels: ONNX Runtime keeps maps in blocks of 16 channels
where the processor has AVX-512, of 8 with AVX2, and 24 channels then cost what 32 do. So channels
are counted in whole blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_search.space.macs import Size


@dataclass(frozen=True)
class Work:
    """Quantities of which none makes anything faster.

    Attributes:
        macs: Multiply-accumulates of convolutions in blocks.
        loose_macs: Those of layers that know no blocks: transposed convolutions, linear layers, and
            convolutions of fewer channels than a block.
        words: Numbers read and written: the maps around each layer and around the whole part.
        kernels: Layers.
    """

    macs: float = 0.0
    loose_macs: float = 0.0
    words: float = 0.0
    kernels: float = 0.0

    def __add__(self, other: Work) -> Work:
        """Work of doing both."""
        return Work(*(self.array() + other.array()).tolist())

    def array(self) -> NDArray[np.float64]:
        """(4,) in the order of the attributes."""
        return np.array(astuple(self), np.float64)


def in_blocks(channels: int, block: int) -> int:
    """Channels rounded up to whole blocks."""
    return -(-channels // block) * block


def module_work(module: nn.Module, channels: int, size: Size, block: int) -> Work:
    """Of an ordinary module (see `oriented.to_plain`) for a map (1, channels, *size).

    The module has to be on the meta device: nothing is computed.
    """
    layers: list[Work] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        layers.append(_layer_work(layer, inputs[0], output, block))

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    hooks = [m.register_forward_hook(note) for m in module.modules() if isinstance(m, kinds)]
    x = torch.empty(1, channels, *size, device="meta")
    with torch.no_grad():
        outputs = module.eval()(x)
    for hook in hooks:
        hook.remove()
    if not layers:  # the identity: nothing is left of it in a graph
        return Work()
    around = [x, *(outputs if isinstance(outputs, tuple) else (outputs,))]
    return sum(layers, Work(words=_words(around, block)))


def _words(maps: Iterable[Tensor], block: int) -> float:
    return sum(in_blocks(x.shape[1], block) * prod(x.shape[2:]) for x in maps)


def _layer_work(layer: nn.Module, x: Tensor, y: Tensor, block: int) -> Work:
    if isinstance(layer, nn.Conv2d):
        taps, pixels = prod(layer.kernel_size), prod(y.shape[2:])
        around = _words((x, y), block)
        inputs, outputs = layer.in_channels // layer.groups, layer.out_channels
        if 1 < inputs < block:
            return Work(0.0, inputs * outputs * taps * pixels, around, 1.0)
        inputs = inputs if layer.groups > 1 else in_blocks(inputs, block)
        return Work(inputs * in_blocks(outputs, block) * taps * pixels, 0.0, around, 1.0)
    assert isinstance(layer, (nn.ConvTranspose2d, nn.Linear))
    # A number of the input meets the weights of its channel, or of its place in the row.
    channels = x.shape[1 if isinstance(layer, nn.ConvTranspose2d) else -1]
    macs = layer.weight.numel() // channels * x.numel()
    return Work(0.0, macs, x.numel() + y.numel(), 1.0)
