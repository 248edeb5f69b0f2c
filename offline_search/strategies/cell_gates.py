# SPDX-License-Identifier: Apache-2.0
"""Gates of a temporal cell's operators, and the cells that they stand for within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from offline_search.space.architecture import Architecture
from offline_search.space.cost import cell_cost
from offline_search.space.gates import SeveralGate
from offline_search.space.meter import PriceList
from offline_search.space.search_space import Point
from offline_search.space.temporal_space import NONE, TemporalSpace
from offline_search.strategies.distribution import Distribution
from offline_search.strategies.problem import Budget

_LOWEST_START: Final = -6.0
_HALVINGS: Final = 20

Opened = tuple[tuple[str, ...], ...]
"""For each lag the names of its operators, or `NONE` alone."""


class Wanted(NamedTuple):
    """How far an operator's logit has risen from where all began, its lag's place and its name."""

    risen: float
    place: int
    name: str


class CellGates:
    """All operators' gates.

    They begin alike, as open as the budget allows and at most half of them: from more, the cost
    would close the dear ones before the loss can tell what they are worth.

    Attributes:
        prices: Of everything before and behind the cell, and of each lag's candidates.
        distribution: With the logits.
    """

    def __init__(self, space: TemporalSpace, budget: Budget) -> None:
        """For cells over the space's network within that budget."""
        self._space, self._budget = space, budget
        slot = (0.0, *(float(cell_cost(one).macs) for one in space.least()))
        self.prices = PriceList(budget.meter.total(space.backbone), (slot,) * len(space.slots))
        self.distribution = self._even(self._affordable())
        self._start = float(self.distribution.gates[0][0].detach())

    def risen(self) -> Opened:
        """For each lag those operators that have risen."""
        return self.opened([one for one in self._wanted() if one.risen > 0])

    def decided(self) -> Opened:
        """The same, the least wanted left out until the budget is met; one at the least."""
        wanted = self._wanted()
        kept = [one for one in wanted if one.risen > 0]
        while kept and not self._fits(kept):
            kept.pop()
        return self.opened(kept or [next(one for one in wanted if self._fits([one]))])

    def filled(self) -> Opened:
        """The most wanted, risen or not, as many as the budget allows."""
        kept: list[Wanted] = []
        for one in self._wanted():
            if self._fits([*kept, one]):
                kept.append(one)
        return self.opened(kept)

    def opened(self, operators: Sequence[Wanted]) -> Opened:
        """These operators by their lags."""
        kept = {(one.place, one.name) for one in operators}
        return tuple(
            tuple(name for name in slot.candidates if (place, name) in kept) or (NONE,)
            for place, slot in enumerate(self._space.slots)
        )

    def architecture(self, opened: Opened) -> Architecture:
        """The network with that cell."""
        return self._space.architecture(Point((), opened), self._space.backbone.head.outputs)

    def price(self, opened: Opened) -> float:
        """Of the network with that cell."""
        return self._budget.meter.total(self.architecture(opened))

    def _fits(self, operators: Sequence[Wanted]) -> bool:
        return self.price(self.opened(operators)) <= self._budget.amount

    @torch.no_grad()
    def _wanted(self) -> list[Wanted]:
        """All of them, the most wanted first."""
        slots = zip(self._space.slots, self.distribution.gates, strict=True)
        every = [
            Wanted(float(logit) - self._start, place, name)
            for place, (slot, logits) in enumerate(slots)
            for name, logit in zip(slot.candidates, logits, strict=True)
            if name != NONE
        ]
        return sorted(every, reverse=True)

    def _even(self, logit: float) -> Distribution:
        logits = [[logit] * len(slot.candidates) for slot in self._space.slots]
        return Distribution(self._space, SeveralGate(), logits, [])

    @torch.no_grad()
    def _affordable(self) -> float:
        """The logit at which all begin."""

        def dear(logit: float) -> bool:
            return float(self._even(logit).expected_cost(self.prices)) > self._budget.amount

        low, high = _LOWEST_START, 0.0
        if not dear(high):
            return high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if dear(middle) else (middle, high)
        return low
