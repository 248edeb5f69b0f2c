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
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array
from offline_search.space.meter import PriceList, price_list
from offline_search.space.search_space import Point, SearchSpace
from offline_search.strategies.problem import Budget, SearchError

NEVER: Final = -1e6
"""Log-odds of a gate that is not to be opened."""
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
        SearchError: Every network costs more than the budget, or less than is to be spent.
    """
    low, high = budget.low * budget.amount, budget.amount
    best: _Gates | None = None
    nearest: _Gates | None = None
    tried = 0
    least, most = math.inf, 0.0
    for choices, likelihood in _structures(preference.genes):
        if best is not None and (likelihood <= best.likelihood or tried >= _MOST_STRUCTURES):
            break
        prices = price_list(space, choices, outputs, budget.meter)
        least, most = min(least, prices.least), max(most, prices.most)
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
        edge, cost, mend = (
            ("smallest", least, "raise the budget, or choose a space with smaller networks")
            if least > high
            else ("largest", most, "lower the budget, or choose a space with larger networks")
        )
        raise SearchError(
            f"no network of space {space.name} costs {low:.4g} to {high:.4g} {unit}: its {edge} "
            f"costs {cost:.4g}; {mend}"
        )
    why = (
        f"no combination of space {space.name} was found between {low:.4g} and {high:.4g} {unit}; "
        f"the nearest below costs {nearest.cost:.4g}"
    )
    return Repaired(nearest.point(space), nearest.cost, why)


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
            cost = self.cost
            if low <= cost <= high:
                return True
            moves = self._moves()
            costs, gains = self._effects(moves)
            if self._land(low - cost, high - cost, moves, costs, gains):
                return True
            if not self._approach(high - cost, moves, costs, gains):
                return False
        return False

    def _land(
        self, low: float, high: float, moves: Sequence[_Move], costs: Array, gains: Array
    ) -> bool:
        """The likeliest one or two moves that change the cost by `low` to `high`."""
        chosen: tuple[int, ...]
        if not 2 * costs.min(initial=0.0) <= high or not low <= 2 * costs.max(initial=0.0):
            return False  # too far for two
        slots = np.array([move.slot for move in moves])
        fits = (costs >= low) & (costs <= high)
        if fits.any():
            chosen = (int(np.where(fits, gains, -np.inf).argmax()),)
        else:
            both = costs[:, None] + costs[None, :]
            fits = (both >= low) & (both <= high) & (slots[:, None] != slots[None, :])
            if not fits.any():
                return False
            total = np.where(fits, gains[:, None] + gains[None, :], -np.inf)
            chosen = divmod(int(total.argmax()), len(moves))
        for index in chosen:
            self._apply(moves[index])
        return True

    def _approach(self, high: float, moves: Sequence[_Move], costs: Array, gains: Array) -> bool:
        """The move nearer to the band, `high` away, that costs least likelihood for its change."""
        nearer = (costs > 0) & (costs <= high) if high >= 0 else costs < 0
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
    gates = tuple(random_logits(rng, len(slot.candidates), mean_open) for slot in space.slots)
    genes = tuple(np.log(rng.dirichlet(np.ones(len(gene.choices)))) for gene in space.genes)
    return Preference(gates, genes)


def random_logits(rng: np.random.Generator, candidates: int, mean_open: float) -> Array:
    """Log-odds (n,) of a layer's gates, `mean_open` of them positive on average."""
    opened = rng.random(candidates) < min(mean_open / candidates, 0.9)
    # Of random size, so that which moves repair them is random too.
    size = rng.exponential(1.0, candidates) + 1e-3
    return np.where(opened, size, -size)


def derived_seed(seed: int, *numbers: int) -> int:
    """Seed of the draw of that number, or of a number within a number.

    Those of different seeds have none in common.
    """
    for number in numbers:
        seed = int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
    return seed
