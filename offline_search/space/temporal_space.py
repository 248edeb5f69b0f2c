# SPDX-License-Identifier: Apache-2.0
"""A search space of temporal cells over one network: which operators each lag has, if any.

Its YAML file has one entry, `temporal`, with `lags` and `operators` (see `temporal.Edge`).
Importing this module registers it with `load_space`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final

from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.presets import preset
from offline_search.space.search_space import (
    SPACE_READERS,
    Gene,
    Point,
    SearchSpace,
    Slot,
    StageSpace,
)
from offline_search.space.temporal import Edge, TemporalCell
from offline_search.space.temporal_cell import temporal_operator

NONE: Final = "none"
"""A slot's candidate that stands for nothing; beside others it says nothing."""


@dataclass(frozen=True)
class TemporalSpace(SearchSpace):
    """See the module. It has no gene; a slot is a lag.

    Attributes:
        backbone: The network that gets a cell.
        lags: In images, rising.
    """

    backbone: Architecture
    lags: tuple[int, ...]

    @staticmethod
    def of(
        name: str, backbone: Architecture, lags: tuple[int, ...], operators: tuple[str, ...]
    ) -> TemporalSpace:
        """The space over that network; a cell that it has already is left aside."""
        return TemporalSpace(
            name=name,
            input_sizes=(max(backbone.input_size),),
            stems=((backbone.stem_width, backbone.stem_out),),
            stages=tuple(
                StageSpace(stage.stride, len(stage.layers), (stage.width,))
                for stage in backbone.stages
            ),
            operators=operators,
            heads=(backbone.head,),
            backbone=replace(backbone, cell=None),
            lags=lags,
        )

    def __post_init__(self) -> None:
        """Checks that all of it can be built.

        Raises:
            ArchitectureError: Something cannot be; the message names it.
        """
        for name in self.operators:
            temporal_operator(name)
        self.whole()

    def over(self, backbone: Architecture) -> TemporalSpace:
        """The same cells over another network."""
        other = TemporalSpace.of(self.name, backbone, self.lags, self.operators)
        return replace(other, paper=self.paper)

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """See `SearchSpace`."""
        return ()

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """See `SearchSpace`; the layer is the lag."""
        return tuple(Slot(0, lag, (NONE, *self.operators)) for lag in self.lags)

    @property
    def size(self) -> int:
        """Number of cells: any operators, or none, at every lag."""
        return prod(1 << len(self.operators) for _ in self.lags)

    def whole(self) -> Architecture:
        """With every operator at every lag."""
        edges = tuple(Edge(lag, self.operators) for lag in self.lags)
        return replace(self.backbone, cell=TemporalCell(edges))

    def least(self) -> tuple[Architecture, ...]:
        """With one operator at one lag, each of them in turn."""
        edges = (Edge(self.lags[0], (name,)) for name in self.operators)
        return tuple(replace(self.backbone, cell=TemporalCell((edge,))) for edge in edges)

    def architecture(self, point: Point, outputs: int) -> Architecture:
        """See `SearchSpace`; without a cell where no lag has an operator."""
        if point.choices or len(point.opened) != len(self.slots):
            raise ArchitectureError(f"the point is not of the space {self.name}")
        if outputs != self.backbone.head.outputs:
            raise ArchitectureError(
                f"the network that is to get a cell has {self.backbone.head.outputs} outputs, the "
                f"object {outputs} keypoints: give the seed network of that object"
            )
        kept = [tuple(name for name in names if name != NONE) for names in point.opened]
        edges = tuple(Edge(lag, names) for lag, names in zip(self.lags, kept, strict=True) if names)
        return replace(self.backbone, cell=TemporalCell(edges) if edges else None)

    def point(self, architecture: Architecture) -> Point:
        """See `SearchSpace`."""
        cell = architecture.cell
        held = {} if cell is None else {edge.lag: edge.operators for edge in cell.edges}
        opened = tuple(held.get(lag, (NONE,)) for lag in self.lags)
        if self.architecture(Point((), opened), architecture.head.outputs) != architecture:
            raise ArchitectureError(
                f"architecture {architecture.digest[:12]} is not of the space {self.name}"
            )
        return Point((), opened)


def _read(name: str, document: Mapping[str, Any], folder: Path) -> TemporalSpace:
    entry = dict(document["temporal"])
    lags, operators = tuple(entry.pop("lags")), tuple(entry.pop("operators"))
    # Until a search says what network it is to be.
    return TemporalSpace.of(name, preset("small", 1), lags, operators, **entry)


SPACE_READERS["temporal"] = _read
