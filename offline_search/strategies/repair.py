# SPDX-License-Identifier: Apache-2.0
"""From preferences to a network that meets the budget: the likeliest one that is found.

Preferences are log-odds of each gate and log-probabilities of each gene's values. Opening a gate of
log-odds a changes the log-likelihood of a network by a, closing it by -a. Structures are taken in
the order of their likelihood; in each, gates are toggled, one or two at a time, until the cost is
within the band. The likeliest network of all is kept; a structure that is by itself less likely
than that ends the search.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array
from offline_search.space.meter import Meter, PriceList, price_list
from offline_search.space.search_space import Point, SearchSpace
from offline_search.strategies.problem import Budget, SearchError

# Each move brings the cost nearer to the band: so many are never needed.
_MOST_MOVES: Final = 2000
# Once a network is found, less likely structures seldom lead to a likelier one.
_MOST_STRUCTURES: Final = 24


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
        SearchError: Every network that was found costs more than the budget.
    """
    low, high = budget.low * budget.amount, budget.amount
    best: _Gates | None = None
    nearest: _Gates | None = None
    tried = 0
    for choices, likelihood in _structures(preference.genes):
        if best is not None and (likelihood <= best.likelihood or tried >= _MOST_STRUCTURES):
            break
        prices = price_list(space, choices, outputs, budget.meter)
        if prices.least > high or prices.most < low:
            continue
        tried += 1
        gates = _Gates(choices, likelihood, prices, preference)
        if gates.fit(low, high):
            best = gates if best is None or gates.likelihood > best.likelihood else best
        elif gates.cost <= high and (nearest is None or gates.cost > nearest.cost):
            nearest = gates
    if best is not None:
        return Repaired(best.point(space), best.cost, "")
    unit = budget.meter.unit
    if nearest is None:
        least = least_cost(space, outputs, budget.meter)
        raise SearchError(
            f"no network of space {space.name} was found below {high:.4g} {unit} (its smallest "
            f"costs {least:.4g}); raise the budget, or choose a space with smaller networks"
        )
    why = (
        f"no combination of space {space.name} was found between {low:.4g} and {high:.4g} {unit}; "
        f"the nearest below costs {nearest.cost:.4g}"
    )
    return Repaired(nearest.point(space), nearest.cost, why)


def least_cost(space: SearchSpace, outputs: int, meter: Meter) -> float:
    """Cost of the space's cheapest network."""
    lists = (
        price_list(space, choices, outputs, meter)
        for choices in product(*(range(len(gene.choices)) for gene in space.genes))
    )
    return min(prices.least for prices in lists)


def _structures(genes: Sequence[Array]) -> Iterator[tuple[tuple[int, ...], float]]:
    """Choices of all genes and their log-probability relative to the likeliest, which is first."""
    orders = [np.argsort(-values, kind="stable") for values in genes]
    losses = [values[order] - values[order[0]] for values, order in zip(genes, orders, strict=True)]
    start = (0,) * len(genes)
    waiting, seen = [(0.0, start)], {start}
    while waiting:
        loss, ranks = heapq.heappop(waiting)
        yield tuple(int(order[rank]) for order, rank in zip(orders, ranks, strict=True)), -loss
        for gene, rank in enumerate(ranks):
            if rank + 1 < len(losses[gene]):
                worse = (*ranks[:gene], rank + 1, *ranks[gene + 1 :])
                if worse not in seen:
                    seen.add(worse)
                    step = losses[gene][rank] - losses[gene][rank + 1]
                    heapq.heappush(waiting, (loss + float(step), worse))


@dataclass(frozen=True)
class _Move:
    """Toggles of one slot: indices of candidates."""

    slot: int
    toggles: tuple[int, ...]


class _Gates:
    """The gates of one structure, and their moves."""

    def __init__(
        self,
        choices: tuple[int, ...],
        likelihood: float,
        prices: PriceList,
        preference: Preference,
    ) -> None:
        self.choices, self.likelihood = choices, likelihood
        self.prices, self.preference = prices, preference
        self.opened = [_likeliest(values, preference.most_open) for values in preference.gates]

    @property
    def cost(self) -> float:
        layers = zip(self.prices.slots, self.opened, strict=True)
        return self.prices.fixed + sum(float(np.dot(price, opened)) for price, opened in layers)

    def point(self, space: SearchSpace) -> Point:
        opened = tuple(
            tuple(name for name, is_open in zip(slot.candidates, gates, strict=True) if is_open)
            for slot, gates in zip(space.slots, self.opened, strict=True)
        )
        return Point(self.choices, opened)

    def fit(self, low: float, high: float) -> bool:
        """Moves into the band; False where no move leads there or nearer."""
        for _ in range(_MOST_MOVES):
            if low <= self.cost <= high or self._land(low, high):
                return True
            if not self._approach(high):
                return False
        return False

    def _land(self, low: float, high: float) -> bool:
        """The likeliest one or two moves that end within the band."""
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

    def _approach(self, high: float) -> bool:
        """The move nearer to the band that costs least likelihood for what it changes."""
        moves = self._moves()
        costs, gains = self._effects(moves)
        below = self.cost <= high
        nearer = (costs > 0) & (self.cost + costs <= high) if below else costs < 0
        if not nearer.any():
            return False
        rate = np.where(nearer, gains / np.maximum(np.abs(costs), 1e-12), -np.inf)
        self._apply(moves[int(rate.argmax())])
        return True

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
        _, gains = self._effects([move])
        self.likelihood += float(gains[0])
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
