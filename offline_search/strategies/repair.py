# SPDX-License-Identifier: Apache-2.0
"""From preferences to a network that meets the budget: the likeliest one, found by small moves.

Preferences are log-odds of each gate and log-probabilities of each gene's values. Opening a gate of
log-odds a changes the log-likelihood of a network by a, closing it by -a. From the likeliest point
of all, gates are toggled, one or two at a time, and genes are stepped, until the cost is within
the band and the likelihood is the greatest that such moves find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array
from offline_search.space.meter import PriceList, price_list
from offline_search.space.search_space import Point, SearchSpace
from offline_search.strategies.problem import Budget, SearchError

# Each move brings the cost nearer to the band: so many are never needed.
_MOST_MOVES: Final = 2000


@dataclass(frozen=True, eq=False)
class Preference:
    """What a search has learnt.

    Attributes:
        gates: For each slot the log-odds (n,) of its candidates.
        genes: For each gene the log-probabilities (n,) of its values.
        most_open: Gates that may be open in a slot; None: any number.
    """

    gates: tuple[Array, ...]
    genes: tuple[Array, ...]
    most_open: int | None = None


@dataclass(frozen=True)
class Repaired:
    """A point, its cost, and why that is not within the band ("" where it is)."""

    point: Point
    cost: float
    why: str


def repair(space: SearchSpace, preference: Preference, budget: Budget, outputs: int) -> Repaired:
    """The likeliest point within the budget, or the costliest found below it.

    Raises:
        SearchError: Every network of the space costs more than the budget.
    """
    search = _Search(space, preference, budget, outputs)
    low, high = budget.low * budget.amount, budget.amount
    for _ in range(_MOST_MOVES):
        if low <= search.cost <= high:
            return Repaired(search.point(), search.cost, "")
        if not (search.land(low, high) or search.approach(low, high)):
            break
    unit = budget.meter.unit
    if search.cost > high:
        raise SearchError(
            f"the least network found in space {space.name} costs {search.cost:.4g} {unit}, more "
            f"than the budget of {high:.4g}; raise the budget or choose a smaller space"
        )
    why = (
        f"no combination of space {space.name} was found between {low:.4g} and {high:.4g} {unit}; "
        f"the nearest below costs {search.cost:.4g}"
    )
    return Repaired(search.point(), search.cost, why)


@dataclass(frozen=True)
class _Move:
    """Toggles of one slot: indices of candidates."""

    slot: int
    toggles: tuple[int, ...]


class _Search:
    """The current point and its moves."""

    def __init__(
        self, space: SearchSpace, preference: Preference, budget: Budget, outputs: int
    ) -> None:
        self.space, self.preference, self.budget = space, preference, budget
        self.outputs = outputs
        self.choices = tuple(int(np.argmax(values)) for values in preference.genes)
        self.opened = [_likeliest(values, preference.most_open) for values in preference.gates]
        self.seen: set[tuple[int, ...]] = {self.choices}
        self.prices = self._prices(self.choices)

    def _prices(self, choices: tuple[int, ...]) -> PriceList:
        return price_list(self.space, choices, self.outputs, self.budget.meter)

    @property
    def cost(self) -> float:
        return self._cost(self.prices)

    def _cost(self, prices: PriceList) -> float:
        layers = zip(prices.slots, self.opened, strict=True)
        return prices.fixed + sum(float(np.dot(price, opened)) for price, opened in layers)

    def point(self) -> Point:
        opened = tuple(
            tuple(name for name, is_open in zip(slot.candidates, gates, strict=True) if is_open)
            for slot, gates in zip(self.space.slots, self.opened, strict=True)
        )
        return Point(self.choices, opened)

    def land(self, low: float, high: float) -> bool:
        """The likeliest one or two gate moves that end within the band."""
        moves = self._moves()
        costs, gains = self._effects(moves)
        chosen: tuple[int, ...]
        slots = np.array([move.slot for move in moves])
        landed = self.cost + costs
        fits = (landed >= low) & (landed <= high)
        if fits.any():
            chosen = (int(np.where(fits, gains, -np.inf).argmax()),)
        else:
            both = self.cost + costs[:, None] + costs[None, :]
            fits = (both >= low) & (both <= high) & (slots[:, None] != slots[None, :])
            if not fits.any():
                return False
            total = np.where(fits, gains[:, None] + gains[None, :], -np.inf)
            chosen = divmod(int(total.argmax()), len(moves))
        for index in chosen:
            self._apply(moves[index])
        return True

    def approach(self, low: float, high: float) -> bool:
        """The move nearer to the band that costs least likelihood for what it changes."""
        down = self.cost > high
        moves = self._moves()
        costs, gains = self._effects(moves)
        nearer = costs < 0 if down else (costs > 0) & (self.cost + costs <= high)
        rate = np.where(nearer, np.minimum(gains, 0.0) / np.maximum(np.abs(costs), 1e-12), -np.inf)
        gene = self._gene_step(down, high)
        best = int(rate.argmax()) if len(rate) and nearer.any() else None
        if gene is not None and (best is None or gene[0] > rate[best]):
            _, self.choices, self.prices = gene
            self.seen.add(self.choices)
            return True
        if best is None:
            return False
        self._apply(moves[best])
        return True

    def _gene_step(
        self, down: bool, high: float
    ) -> tuple[float, tuple[int, ...], PriceList] | None:
        """The best change of one gene, as (likelihood for what it changes, choices, prices)."""
        best = None
        for index, values in enumerate(self.preference.genes):
            for choice in range(len(values)):
                choices = (*self.choices[:index], choice, *self.choices[index + 1 :])
                if choices in self.seen:
                    continue
                prices = self._prices(choices)
                change = self._cost(prices) - self.cost
                if change >= 0 if down else change <= 0 or self.cost + change > high:
                    continue
                gain = min(0.0, float(values[choice] - values[self.choices[index]]))
                rate = gain / abs(change)
                if best is None or rate > best[0]:
                    best = (rate, choices, prices)
        return best

    def _moves(self) -> list[_Move]:
        moves = []
        most = self.preference.most_open
        for slot, gates in enumerate(self.opened):
            count = int(gates.sum())
            for index, is_open in enumerate(gates):
                if (is_open and count > 1) or (not is_open and (most is None or count < most)):
                    moves.append(_Move(slot, (index,)))
            # The last open gate can only be exchanged; where one more is not allowed, any.
            if count == 1 or count == most:
                moves += [
                    _Move(slot, (int(old), int(new)))
                    for old in np.flatnonzero(gates)
                    for new in np.flatnonzero(~gates)
                ]
        return moves

    def _effects(self, moves: Sequence[_Move]) -> tuple[Array, Array]:
        """Changes of cost and of log-likelihood."""
        costs, gains = np.zeros(len(moves)), np.zeros(len(moves))
        for number, move in enumerate(moves):
            for index in move.toggles:
                sign = -1.0 if self.opened[move.slot][index] else 1.0
                costs[number] += sign * self.prices.slots[move.slot][index]
                gains[number] += sign * self.preference.gates[move.slot][index]
        return costs, gains

    def _apply(self, move: _Move) -> None:
        gates = self.opened[move.slot].copy()
        gates[list(move.toggles)] ^= True
        self.opened[move.slot] = gates


def _likeliest(logits: Array, most_open: int | None) -> NDArray[np.bool_]:
    opened = logits > 0
    opened[int(np.argmax(logits))] = True
    if most_open is not None and opened.sum() > most_open:
        opened[np.argsort(-logits, kind="stable")[most_open:]] = False
    return np.asarray(opened, dtype=np.bool_)


def random_preference(space: SearchSpace, seed: int, mean_open: float) -> Preference:
    """Preferences without knowledge: repaired, they give a network drawn at random.

    Args:
        space: The space.
        seed: Of the draw.
        mean_open: Operators that are open in a layer, on average.
    """
    rng = np.random.default_rng(seed)
    gates = []
    for slot in space.slots:
        p = min(mean_open / len(slot.candidates), 0.9)
        opened = rng.random(len(slot.candidates)) < p
        # Of random size, so that which moves repair it is random too.
        size = rng.exponential(1.0, len(slot.candidates)) + 1e-3
        gates.append(np.where(opened, size, -size))
    genes = tuple(np.log(rng.dirichlet(np.ones(len(gene.choices)))) for gene in space.genes)
    return Preference(tuple(gates), genes)


def derived_seed(seed: int, number: int) -> int:
    """Seed of the draw of that number: those of different seeds have none in common."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
