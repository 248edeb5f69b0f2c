# SPDX-License-Identifier: Apache-2.0
"""What is run to learn the times of parts: small graphs that hold each part in several sizes.

In its graph a part stands between `Links`, as it has neighbours in a network: alone it would pay
for changes of layout at a graph's ends. A graph of nothing but those links is run too, and its
time subtracted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, get_args

from torch import nn

from offline_search.latency.parts import (
    STEM,
    head_part,
    head_work,
    operator_module,
    operator_part,
    operator_work,
    stem_module,
    stem_work,
)
from offline_search.latency.work import Work
from offline_search.space.architecture import STEM_STRIDE, Architecture, Head, Neck, Stage
from offline_search.space.kits import IMAGE_CHANNELS
from offline_search.space.macs import Size, halve
from offline_search.space.network import build_head
from offline_search.space.operators import operator

# Widths and sizes are those that the search spaces span. Some widths fill their last block of
# channels and some do not.
# Inputs, outputs, side of the input map; by stride.
_OPERATORS: Final = {
    1: (
        (12, 12, 32),
        (16, 16, 40),
        (24, 24, 24),
        (32, 32, 20),
        (40, 40, 12),
        (48, 48, 32),
        (80, 80, 6),
        (96, 96, 16),
        (128, 128, 8),
        (192, 192, 6),
        (24, 40, 20),
        (64, 96, 10),
    ),
    2: (
        (8, 16, 64),
        (12, 24, 48),
        (16, 48, 32),
        (24, 40, 80),
        (32, 64, 40),
        (48, 80, 24),
        (64, 128, 16),
        (96, 160, 12),
    ),
}
# Side of the image, filters, outputs.
_STEMS: Final = (
    (64, 8, 8),
    (160, 8, 8),
    (96, 16, 12),
    (128, 16, 12),
    (96, 16, 16),
    (64, 24, 16),
    (160, 24, 16),
    (128, 32, 24),
)
# Features, side of the image, head; all with a stride of 16.
_HEADS: Final = (
    (64, 64, Head("heatmap", (24,), 9)),
    (128, 128, Head("heatmap", (24,), 16)),
    (96, 96, Head("heatmap", (24, 16), 9)),
    (80, 128, Head("heatmap", (32, 24), 9)),
    (96, 128, Head("heatmap", (48, 32), 16)),
    (64, 160, Head("heatmap", (64, 32), 16)),
    (160, 160, Head("heatmap", (96, 48), 16)),
    (64, 64, Head("simcc", (96,), 9)),
    (128, 96, Head("simcc", (64,), 9)),
    (80, 128, Head("simcc", (96,), 9)),
    (96, 128, Head("simcc", (128, 96), 16)),
    (80, 160, Head("simcc", (128, 96), 16)),
    (160, 160, Head("simcc", (96,), 16)),
)
#: Kinds of heads whose times can be learnt.
HEAD_KINDS: Final = frozenset(head.kind for _, _, head in _HEADS)


@dataclass(frozen=True)
class Links:
    """A row of 1x1 convolutions on a map (1, channels, *size): such as operators end with."""

    count: int
    channels: int
    size: Size

    @property
    def module(self) -> nn.Module:
        """With random weights."""
        return nn.Sequential(*(_link(self.channels) for _ in range(self.count)))


@dataclass(frozen=True, eq=False)
class Sample:
    """A graph to be run.

    Attributes:
        part: What it was made for.
        module: With random weights.
        channels, size: Of its input map.
        base: What to subtract: shares of the times of other graphs.
        work: From the channels in a block to the part's work.
    """

    part: str
    module: nn.Module
    channels: int
    size: Size
    base: tuple[tuple[float, Links], ...]
    work: Callable[[int], Work]


def samples(part: str) -> list[Sample]:
    """Those that a part's times are learnt from; `parts` has the names of parts."""
    match part.split():
        case ["operator", name, text]:
            stride, legal = int(text), operator(name).legal
            return [
                _operator(name, inputs, outputs, stride, (side, side))
                for inputs, outputs, side in _OPERATORS[stride]
                if legal(inputs, outputs, stride)
            ]
        case ["head", *_]:
            return [
                _head(inputs, side, replace(head, neck=neck))
                for inputs, side, head in _HEADS
                for neck in get_args(Neck)
                if head_part(replace(head, neck=neck)) == part
            ]
        case ["stem"]:
            return [_stem((side, side), width, outputs) for side, width, outputs in _STEMS]
    raise AssertionError(f"no part is called {part}")


def _link(width: int) -> nn.Module:
    return nn.Conv2d(width, width, 1)


def _half(width: int, size: Size) -> tuple[float, Links]:
    """A link with one end of a graph: half of two links with both."""
    return 0.5, Links(2, width, size)


def _operator(name: str, inputs: int, outputs: int, stride: int, size: Size) -> Sample:
    module = operator_module(name, inputs, outputs, stride)
    return Sample(
        operator_part(name, stride),
        nn.Sequential(_link(inputs), module, _link(outputs)),
        inputs,
        size,
        (_half(inputs, size), _half(outputs, halve(size, stride))),
        lambda block: operator_work(name, inputs, outputs, stride, size, block),
    )


def _stem(size: Size, width: int, outputs: int) -> Sample:
    stage = Stage(outputs, 1, (("skip",),))
    architecture = Architecture(size, width, outputs, (stage,), Head("heatmap", (), 1))
    return Sample(
        STEM,
        nn.Sequential(stem_module(architecture), _link(outputs)),
        IMAGE_CHANNELS,
        size,
        (_half(outputs, halve(size, STEM_STRIDE)),),
        lambda block: stem_work(architecture, block),
    )


def _head(inputs: int, side: int, head: Head) -> Sample:
    stages = tuple(Stage(inputs, 2, (("skip",),)) for _ in range(3))
    architecture = Architecture((side, side), 8, 8, stages, head)
    size = side // architecture.stride, side // architecture.stride
    return Sample(
        head_part(head),
        nn.Sequential(_link(inputs), build_head(architecture)),
        inputs,
        size,
        (_half(inputs, size),),
        lambda block: head_work(architecture, block),
    )
