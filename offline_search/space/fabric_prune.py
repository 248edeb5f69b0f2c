# SPDX-License-Identifier: Apache-2.0
"""Pruning as the paper's: edges without weight go, and nothing of what is computed changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from offline_search.space.architecture import ArchitectureError
from offline_search.space.fabric import CANDIDATES, ZERO, Cell, Part, Place
from offline_search.space.fabric_architecture import FabricArchitecture
from offline_search.space.fabric_network import CellModule, FabricHead, PartModule
from offline_search.space.network import Network, build

_BETA = ".beta"


def pruned(network: Network) -> Network:
    """The same function without edges of weight zero, and without what then reaches no map.

    Softmax gives zero where a logit lies far enough below another; the paper prunes no more than
    that. One edge stays where none of a cell has weight.

    Raises:
        ArchitectureError: It is not a network with fabrics.
    """
    smaller = build(with_cells(described(network), _without_weightless), seed=0)
    known = network.state_dict()
    # Logits stand in the order of what is kept: the new network has them already.
    state = {
        name: fresh if name.endswith(_BETA) else known[name]
        for name, fresh in smaller.state_dict().items()
    }
    smaller.load_state_dict(state)
    return smaller.train(network.training).to(next(network.parameters()).device)


def described(network: Network) -> FabricArchitecture:
    """The network's architecture with alpha and beta as they are now.

    Raises:
        ArchitectureError: It is not a network with fabrics.
    """
    architecture, head = network.architecture, network.head
    if not isinstance(architecture, FabricArchitecture) or not isinstance(head, FabricHead):
        raise ArchitectureError("this is not a network with fabrics")
    parts = []
    for part, module in zip(architecture.fabric.parts, head.parts, strict=True):
        assert isinstance(module, PartModule)
        cells = tuple(
            _as_learnt(module, place, cell)
            for place, cell in zip(architecture.places, part.cells, strict=True)
        )
        parts.append(replace(part, alpha=_floats(module.alpha), cells=cells))
    return replace(architecture, fabric=replace(architecture.fabric, parts=tuple(parts)))


def with_cells(
    architecture: FabricArchitecture, change: Callable[[Part, Place, Cell], Cell]
) -> FabricArchitecture:
    """The architecture with other cells, in all fabrics."""
    parts = tuple(
        replace(
            part,
            cells=tuple(
                change(part, place, cell)
                for place, cell in zip(architecture.places, part.cells, strict=True)
            ),
        )
        for part in architecture.fabric.parts
    )
    return replace(architecture, fabric=replace(architecture.fabric, parts=parts))


def _without_weightless(part: Part, place: Place, cell: Cell) -> Cell:
    shares = torch.tensor(cell.beta).softmax(0)
    connections = [index for index, share in enumerate(shares.tolist()) if share > 0]
    logits = [part.alpha[CANDIDATES.index(name)] for name in (ZERO, *cell.operations)]
    strengths = torch.tensor(logits).softmax(0)[1:].tolist()
    operations = [index for index, strength in enumerate(strengths) if strength > 0] or [0]
    return Cell(
        connections=tuple(cell.connections[index] for index in connections),
        beta=tuple(cell.beta[index] for index in connections),
        operations=tuple(cell.operations[index] for index in operations),
    )


def _as_learnt(part: PartModule, place: Place, cell: Cell) -> Cell:
    if place.name not in part.cells:  # it reaches no map
        return cell
    module = part.cells[place.name]
    assert isinstance(module, CellModule)
    return replace(cell, beta=_floats(module.beta))


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(values.detach().tolist())
