# SPDX-License-Identifier: Apache-2.0
"""What fabrics cost, edge by edge. Importing this module registers it with `head_cost`."""

from __future__ import annotations

from collections.abc import Iterable

from offline_search.space.cost import head_cost
from offline_search.space.fabric import (
    CANDIDATES,
    DILATED,
    FINER,
    SAME,
    SEPARABLE,
    SKIP,
    Part,
    Place,
)
from offline_search.space.fabric_architecture import FabricArchitecture
from offline_search.space.kits import kit
from offline_search.space.macs import Cost, conv

_KIT = kit(1)


def connection_cost(architecture: FabricArchitecture, place: Place, name: str) -> Cost:
    """Of one connection into a cell."""
    if name == SAME:
        return Cost()
    source, fabric = place.reads(name), architecture.fabric
    inputs, outputs = fabric.channels(source), fabric.channels(place.scale)
    kernel, at = (3, place.scale) if name == FINER else (1, source)
    return conv(inputs, outputs, kernel, architecture.scale_size(at)) + _KIT.norm_cost(outputs)


def operation_cost(architecture: FabricArchitecture, place: Place, name: str) -> Cost:
    """Of one operation in a cell; its norms have no parameters."""
    width, size = architecture.fabric.channels(place.scale), architecture.scale_size(place.scale)
    once = _KIT.depthwise_cost(width, 3, size) + _KIT.dense_cost(width, width, 1, size)
    return {SKIP: Cost(), DILATED: once, SEPARABLE: once + once}[name]


def frame_cost(architecture: FabricArchitecture, part: Part) -> Cost:
    """Of a part's fabric without its connections and operations: what is there in any case."""
    fabric = architecture.fabric
    total = Cost(0, len(CANDIDATES) * fabric.learned)
    for scale in architecture.read_features(part):
        inputs, size = architecture.feature_widths[scale], architecture.scale_size(scale)
        total += _KIT.scalars_cost(inputs, fabric.channels(scale), size)
    for place, cell, used in zip(
        architecture.places, part.cells, architecture.live(part), strict=True
    ):
        if used:
            width, size = fabric.channels(place.scale), architecture.scale_size(place.scale)
            total += _KIT.scalars_cost(width, width, size)
            total += Cost(0, len(cell.beta) * fabric.learned)
    maps = len(architecture.maps_of(part)) * max(1, fabric.vector)
    return total + _KIT.scalars_cost(fabric.width, maps, architecture.map_size)


@head_cost.register
def _(architecture: FabricArchitecture) -> Cost:
    return _sum(_part_cost(architecture, part) for part in architecture.fabric.parts)


def _part_cost(architecture: FabricArchitecture, part: Part) -> Cost:
    total = frame_cost(architecture, part)
    for place, cell, used in zip(
        architecture.places, part.cells, architecture.live(part), strict=True
    ):
        if used:
            total += _sum(connection_cost(architecture, place, name) for name in cell.connections)
            total += _sum(operation_cost(architecture, place, name) for name in cell.operations)
    return total


def _sum(costs: Iterable[Cost]) -> Cost:
    return sum(costs, start=Cost())
