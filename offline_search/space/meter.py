# SPDX-License-Identifier: Apache-2.0
"""What a budget counts, behind one interface: multiply-accumulates here, milliseconds elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from offline_search.space.architecture import STEM_STRIDE, Architecture
from offline_search.space.cost import cost, head_cost, stem_cost
from offline_search.space.kits import kit
from offline_search.space.macs import Size, halve
from offline_search.space.operators import operator
from offline_search.space.search_space import Point, SearchSpace


class Meter(Protocol):
    """Prices the parts of a network. The whole is the sum of its parts.

    Attributes:
        unit: MACs or ms.
    """

    unit: str

    def stem(self, architecture: Architecture) -> float:
        """Of the stem."""
        ...

    def operator(self, name: str, inputs: int, outputs: int, stride: int, size: Size) -> float:
        """Of one operator on a map of that size (height, width)."""
        ...

    def head(self, architecture: Architecture) -> float:
        """Of the head on the architecture's features."""
        ...

    def total(self, architecture: Architecture) -> float:
        """Of the whole network."""
        ...


class MacsMeter:
    """Multiply-accumulates of convolutions and linear layers, those of the built network."""

    unit = "MACs"

    def stem(self, architecture: Architecture) -> float:
        """See `Meter`."""
        return stem_cost(architecture).macs

    def operator(self, name: str, inputs: int, outputs: int, stride: int, size: Size) -> float:
        """See `Meter`."""
        return operator(name).price(kit(1), inputs, outputs, stride, size).macs

    def head(self, architecture: Architecture) -> float:
        """See `Meter`."""
        return head_cost(architecture).macs

    def total(self, architecture: Architecture) -> float:
        """See `Meter`."""
        return cost(architecture).macs


@dataclass(frozen=True)
class PriceList:
    """What everything costs that a structure of a space can hold.

    Attributes:
        fixed: Stem and head.
        slots: For each slot the prices of its candidates.
    """

    fixed: float
    slots: tuple[tuple[float, ...], ...]

    def of(self, opened: Sequence[Sequence[float]]) -> float:
        """Of operators alone, each times how open it is."""
        return sum(
            price * share
            for prices, shares in zip(self.slots, opened, strict=True)
            for price, share in zip(prices, shares, strict=True)
        )

    @property
    def least(self) -> float:
        """Of the structure's cheapest network."""
        return self.fixed + sum(min(slot) for slot in self.slots)

    @property
    def most(self) -> float:
        """Of its costliest: with everything open."""
        return self.fixed + sum(sum(slot) for slot in self.slots)


def price_list(
    space: SearchSpace, choices: tuple[int, ...], outputs: int, meter: Meter
) -> PriceList:
    """Prices at the real widths and map sizes of one structure.

    Args:
        space: The space.
        choices: Of its genes, as in `Point`.
        outputs: Keypoints of the object.
        meter: What is counted.
    """
    opened = tuple(slot.candidates[:1] for slot in space.slots)
    frame = space.architecture(Point(choices, opened), outputs)
    size, inputs = halve(frame.input_size, STEM_STRIDE), frame.stem_out
    prices = []
    for slot in space.slots:
        stage = frame.stages[slot.stage]
        stride = 1 if slot.layer else stage.stride
        prices.append(
            tuple(
                meter.operator(name, inputs, stage.width, stride, size) for name in slot.candidates
            )
        )
        size, inputs = halve(size, stride), stage.width
    return PriceList(meter.stem(frame) + meter.head(frame), tuple(prices))


class PriceBook:
    """Price lists of one space, made once each: structures come again and again in a search."""

    def __init__(self, space: SearchSpace, outputs: int, meter: Meter) -> None:
        """For an object of `outputs` keypoints."""
        self.space, self.outputs, self.meter = space, outputs, meter
        self._lists: dict[tuple[int, ...], PriceList] = {}

    def of(self, choices: tuple[int, ...]) -> PriceList:
        """Prices of the structure of those choices."""
        if choices not in self._lists:
            self._lists[choices] = price_list(self.space, choices, self.outputs, self.meter)
        return self._lists[choices]
