# SPDX-License-Identifier: Apache-2.0
"""Networks of one operator a layer: how they are drawn, priced, and turned into preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from offline_search.space.architecture import Architecture
from offline_search.space.meter import PriceBook
from offline_search.space.search_space import Point, SearchSpace
from offline_search.strategies.problem import Budget, Problem, SearchError
from offline_search.strategies.repair import Preference, repair

_STRUCTURES: Final = 400
"""Looked at for a network of a cost."""
_TRIED: Final = 40
"""Of them, those that have any below it."""
_DRAWS: Final = 48
"""Of operators for each structure."""
# How sure the path's own choices are, in nats.
_OWN_LOGIT: Final = 2.5


@dataclass(frozen=True)
class Path:
    """One operator in every slot.

    Attributes:
        choices: For each gene the index of its value.
        picks: For each slot the index of its candidate.
    """

    choices: tuple[int, ...]
    picks: tuple[int, ...]

    def point(self, space: SearchSpace) -> Point:
        """As a point of the space."""
        return Point(
            self.choices,
            tuple(
                (slot.candidates[pick],) for slot, pick in zip(space.slots, self.picks, strict=True)
            ),
        )

    def architecture(self, space: SearchSpace, outputs: int) -> Architecture:
        """The network, for an object of `outputs` keypoints."""
        return space.architecture(self.point(space), outputs)

    def cost(self, prices: PriceBook) -> float:
        """In the unit of the book's meter."""
        found = prices.of(self.choices)
        picked = zip(found.slots, self.picks, strict=True)
        return found.fixed + sum(slot[pick] for slot, pick in picked)

    def preference(self, space: SearchSpace) -> Preference:
        """What prefers this path to all others: where it fits the budget, `repair` keeps it."""
        gates = []
        for slot, pick in zip(space.slots, self.picks, strict=True):
            own = np.full(len(slot.candidates), -_OWN_LOGIT)
            own[pick] = _OWN_LOGIT
            gates.append(own)
        genes = []
        for gene, choice in zip(space.genes, self.choices, strict=True):
            values = np.full(len(gene.choices), -2 * _OWN_LOGIT)
            values[choice] = 0.0
            genes.append(values)
        return Preference(tuple(gates), tuple(genes), 1)


Left = Sequence[Sequence[int]]
"""For each slot the indices of the candidates that may be drawn."""


def even_genes(space: SearchSpace) -> list[list[float]]:
    """For a snapshot: the shares of each gene's values where all are as likely."""
    sizes = [len(gene.choices) for gene in space.genes]
    return [[round(1 / size, 4)] * size for size in sizes]


def everything(space: SearchSpace) -> list[list[int]]:
    """All candidates of all slots."""
    return [list(range(len(slot.candidates))) for slot in space.slots]


def draw(space: SearchSpace, left: Left, rng: np.random.Generator) -> Path:
    """Every structure and every operator that is left is as likely."""
    return Path(_structure(space, rng), tuple(int(rng.choice(indices)) for indices in left))


def draw_at_cost(prices: PriceBook, left: Left, budget: Budget, rng: np.random.Generator) -> Path:
    """As `draw`, but within the budget's band; else the costliest drawn below it.

    Where all that is drawn costs more, the cheapest of it.
    """
    nearest: tuple[float, Path] | None = None
    tried = 0
    for _ in range(_STRUCTURES):
        choices = _structure(prices.space, rng)
        found = prices.of(choices)
        slots = [np.asarray(slot)[indices] for slot, indices in zip(found.slots, left, strict=True)]
        if found.fixed + sum(slot.min() for slot in slots) > budget.amount:
            continue
        picks = np.stack([rng.integers(len(slot), size=_DRAWS) for slot in slots], axis=1)
        columns = zip(slots, picks.T, strict=True)
        costs = found.fixed + np.sum([slot[column] for slot, column in columns], axis=0)
        held = np.flatnonzero(costs <= budget.amount)
        if not len(held):
            continue
        inside = held[costs[held] >= budget.low * budget.amount]
        best = int(inside[0] if len(inside) else held[costs[held].argmax()])
        path = Path(choices, tuple(left[slot][pick] for slot, pick in enumerate(picks[best])))
        if len(inside):
            return path
        if nearest is None or costs[best] > nearest[0]:
            nearest = (float(costs[best]), path)
        tried += 1
        if tried == _TRIED:
            break
    if nearest is not None:
        return nearest[1]
    cheapest = (
        Path(
            choices,
            tuple(
                min(indices, key=slot.__getitem__)
                for slot, indices in zip(prices.of(choices).slots, left, strict=True)
            ),
        )
        for choices in (_structure(prices.space, rng) for _ in range(_STRUCTURES))
    )
    return min(cheapest, key=lambda path: path.cost(prices))


def _structure(space: SearchSpace, rng: np.random.Generator) -> tuple[int, ...]:
    drawn = rng.integers([len(gene.choices) for gene in space.genes])
    return tuple(int(choice) for choice in drawn)


def as_few_open(problem: Problem, preference: Preference) -> Preference:
    """The preference for one operator a layer, unless only several reach the budget's band."""
    single = replace(preference, most_open=1)
    try:
        within = not repair(problem.space, single, problem.budget, problem.task.outputs).why
    except SearchError:
        within = False
    return single if within else replace(preference, most_open=None)
