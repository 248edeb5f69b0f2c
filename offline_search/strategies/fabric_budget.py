# SPDX-License-Identifier: Apache-2.0
"""Fabrics within a budget of MACs. All of it is ours: PoseNFS (arXiv 1909.07068) has no budget."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from offline_search.space.cost import cost, head_cost
from offline_search.space.fabric import CANDIDATES, OPERATIONS, Cell
from offline_search.space.fabric_architecture import FabricArchitecture
from offline_search.space.fabric_cost import connection_cost, operation_cost
from offline_search.space.fabric_network import CellModule, FabricHead, PartModule
from offline_search.space.fabric_prune import with_cells
from offline_search.space.fabric_space import FabricSpace
from offline_search.strategies.problem import Budget, SearchError


def roomy(space: FabricSpace, outputs: int, budget: Budget, start: float) -> FabricArchitecture:
    """The narrowest whole fabrics that cost `start` times what the backbone leaves of the budget.

    The widest that can be brought within the budget, where none costs so much.

    Raises:
        SearchError: Every network of the space costs more than the budget, or less than is to be
            spent.
    """
    wholes = [space.whole(width, outputs) for width in space.widths]
    least, most = cost(bare(wholes[0])).macs, cost(wholes[-1]).macs
    if least > budget.amount or most < budget.low * budget.amount:
        raise SearchError(
            f"space {space.name}: with {len(wholes[0].fabric.parts)} parts its networks cost "
            f"{least / 1e6:.2f} to {most / 1e6:.2f} MMACs, the budget is "
            f"{budget.amount / 1e6:.2f}; change the budget, the parts or the space's widths"
        )
    # What cannot become cheap enough by dropping edges is too wide.
    able = [whole for whole in wholes if cost(bare(whole)).macs <= budget.amount]
    backbone = cost(wholes[0]).macs - head_cost(wholes[0]).macs
    wanted = backbone + start * (budget.amount - backbone)
    return next((whole for whole in able if cost(whole).macs >= wanted), able[-1])


def bare(architecture: FabricArchitecture) -> FabricArchitecture:
    """Nearly the cheapest of that width: each cell with its first connection and operation."""
    return with_cells(architecture, lambda _part, _place, cell: _of(cell, [0], cell.operations[:1]))


def over_even(logits: Tensor) -> Tensor:
    """How strong each edge of a softmax (n,) is: its share over the even share."""
    return len(logits) * logits.softmax(0)


class ExpectedCost:
    """What whole fabrics cost under their weights, differentiably.

    An edge counts with its price times how strong it is, at most once: its share of the softmax
    over the even share. So even weights cost all of it, and what falls below costs less.
    """

    def __init__(self, architecture: FabricArchitecture) -> None:
        """For fabrics with every edge."""
        self.prices = {
            place.name: (
                torch.tensor(
                    [connection_cost(architecture, place, name).macs for name in place.sources],
                    dtype=torch.float32,
                ),
                torch.tensor(
                    [operation_cost(architecture, place, name).macs for name in OPERATIONS],
                    dtype=torch.float32,
                ),
            )
            for place in architecture.places
        }
        edges = sum(float(prices.sum()) for pair in self.prices.values() for prices in pair)
        self.fixed = cost(architecture).macs - edges * len(architecture.fabric.parts)

    def __call__(self, head: FabricHead) -> Tensor:
        """MACs, a scalar."""
        total: Tensor | float = self.fixed
        for part in head.parts:
            assert isinstance(part, PartModule)
            strengths = over_even(part.alpha)[1:].clamp_max(1.0)
            for name, cell in part.cells.items():
                assert isinstance(cell, CellModule)
                shares = over_even(cell.beta).clamp_max(1.0)
                connections, operations = self.prices[name]
                total = total + (shares * connections.to(shares.device)).sum()
                total = total + (strengths * operations.to(strengths.device)).sum()
        assert isinstance(total, Tensor)
        return total


@dataclass(frozen=True, order=True)
class _Edge:
    """An edge that can go, weakest first."""

    strength: float
    part: int
    cell: int
    name: str


def discretised(architecture: FabricArchitecture, budget: Budget) -> tuple[FabricArchitecture, str]:
    """Without the weakest edges, so that the cost is within the band; and why not, where it is not.

    Edges go in the order of their strength (share of the softmax over the even share); one that
    would leave a cell without connection or operation, the cost below the band, or the cost as it
    is, stays. Where none is left to go and the cost is still too high, the weakest goes that brings
    it below, and the strongest that then fit come back.
    """
    low = budget.low * budget.amount
    current, gone = architecture, []
    for edge in _edges(architecture):
        value = cost(current).macs
        if value <= budget.amount:
            break
        smaller = _without(current, edge)
        if smaller is not None and low <= cost(smaller).macs < value:
            current = smaller
            gone.append(edge)
    while cost(current).macs > budget.amount:
        tried = [(edge, _without(current, edge)) for edge in _edges(current)]
        cheaper = [
            (edge, smaller)
            for edge, smaller in tried
            if smaller is not None and cost(smaller).macs < cost(current).macs
        ]
        if not cheaper:
            return current, "no edge is left to drop"
        edge, current = cheaper[0]
        gone.append(edge)
    for edge in sorted(gone, reverse=True):
        if cost(current).macs >= low:
            break
        larger = _kept_also(architecture, current, edge)
        if cost(larger).macs <= budget.amount:
            current = larger
    value = cost(current).macs
    if budget.holds(value):
        return current, ""
    return current, (
        f"no set of edges was found that costs {low / 1e6:.2f} to {budget.amount / 1e6:.2f} "
        f"MMACs; this is the costliest found below"
    )


def _edges(architecture: FabricArchitecture) -> list[_Edge]:
    """Of all live cells, weakest first."""
    found = []
    for number, part in enumerate(architecture.fabric.parts):
        strengths = over_even(torch.tensor(part.alpha)).tolist()
        live = architecture.live(part)
        for index, (cell, used) in enumerate(zip(part.cells, live, strict=True)):
            if used:
                shares = over_even(torch.tensor(cell.beta)).tolist()
                named = [*zip(cell.connections, shares, strict=True)]
                named += [(n, strengths[CANDIDATES.index(n)]) for n in cell.operations]
                found += [_Edge(strength, number, index, name) for name, strength in named]
    return sorted(found)


def _without(architecture: FabricArchitecture, edge: _Edge) -> FabricArchitecture | None:
    """None where the cell needs it."""
    cell = architecture.fabric.parts[edge.part].cells[edge.cell]
    kept = [index for index, name in enumerate(cell.connections) if name != edge.name]
    operations = tuple(name for name in cell.operations if name != edge.name)
    if not kept or not operations:
        return None
    return _put(architecture, edge, _of(cell, kept, operations))


def _kept_also(
    whole: FabricArchitecture, architecture: FabricArchitecture, edge: _Edge
) -> FabricArchitecture:
    """With an edge again that `whole` has."""
    cell = architecture.fabric.parts[edge.part].cells[edge.cell]
    full = whole.fabric.parts[edge.part].cells[edge.cell]
    names = {*cell.connections, *cell.operations, edge.name}
    kept = [index for index, name in enumerate(full.connections) if name in names]
    operations = tuple(name for name in full.operations if name in names)
    return _put(architecture, edge, _of(full, kept, operations))


def _of(cell: Cell, connections: list[int], operations: tuple[str, ...]) -> Cell:
    return Cell(
        connections=tuple(cell.connections[index] for index in connections),
        beta=tuple(cell.beta[index] for index in connections),
        operations=operations,
    )


def _put(architecture: FabricArchitecture, at: _Edge, cell: Cell) -> FabricArchitecture:
    fabric = architecture.fabric
    parts = list(fabric.parts)
    cells = list(parts[at.part].cells)
    cells[at.cell] = cell
    parts[at.part] = replace(parts[at.part], cells=tuple(cells))
    return replace(architecture, fabric=replace(fabric, parts=tuple(parts)))
