# SPDX-License-Identifier: Apache-2.0
"""A search space of fabrics over one backbone: what of each cell is kept, and how wide they are.

Its YAML file has one entry, `fabric`, with `backbone` (a preset, or a JSON file as a search or a
training leaves it, looked for beside the YAML), `input_size` (px; the backbone's own may be left
out), `depth`, `cut` and `vector` (see `fabric.Fabric`; the last may be left out) and `widths`.
Importing this module registers it with `load_space`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from offline_search.space.architecture import Architecture, ArchitectureError, Head
from offline_search.space.fabric import CANDIDATES, OPERATIONS, Cell, Fabric, Part, Place, grid
from offline_search.space.fabric_architecture import FabricArchitecture, over, taps
from offline_search.space.presets import preset
from offline_search.space.search_space import (
    SPACE_READERS,
    Gene,
    Point,
    SearchSpace,
    Slot,
    StageSpace,
)

Parts = tuple[tuple[str, tuple[int, ...]], ...]
"""Name and keypoints of each part of an object."""


@dataclass(frozen=True)
class FabricSpace(SearchSpace):
    """See the module. Its only gene is the width; a cell has two slots, connections and operations.

    Attributes:
        backbone: Its stem and stages are those of all networks.
        depth, cut, vector: See `Fabric`.
        widths: Channels of the finest scale, ascending.
        parts: Of the object; none: one of all keypoints.
    """

    backbone: Architecture
    depth: int
    cut: int
    widths: tuple[int, ...]
    vector: int = 0
    parts: Parts = ()

    @staticmethod
    def of(
        name: str,
        backbone: Architecture,
        depth: int,
        cut: int,
        widths: tuple[int, ...],
        vector: int = 0,
    ) -> FabricSpace:
        """The space over that backbone, whose head is not used."""
        head = Head("heatmap", (), 1, sic=False, mask=True)
        return FabricSpace(
            name=name,
            input_sizes=(max(backbone.input_size),),
            stems=((backbone.stem_width, backbone.stem_out),),
            stages=tuple(
                StageSpace(stage.stride, len(stage.layers), (stage.width,))
                for stage in backbone.stages
            ),
            operators=OPERATIONS,
            heads=(head,),
            backbone=replace(backbone, head=head),
            depth=depth,
            cut=cut,
            widths=widths,
            vector=vector,
        )

    def __post_init__(self) -> None:
        """Checks that all of it can be built.

        Raises:
            ArchitectureError: Something cannot be; the message names it.
        """
        if not self.widths or list(self.widths) != sorted(set(self.widths)):
            raise ArchitectureError(
                f"space {self.name}: widths must be ascending, got {self.widths}"
            )
        for one in self.widths:
            self.whole(one, max((max(points) + 1 for _, points in self.parts), default=1))

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """See `SearchSpace`."""
        return (Gene("width", self.widths),)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Of each cell's connections and of its operations; their stage is the part's number."""
        return tuple(
            Slot(part, 2 * number + turn, names)
            for part in range(max(1, len(self.parts)))
            for number, place in enumerate(self.places)
            for turn, names in enumerate((place.sources, OPERATIONS))
        )

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Of a fabric's cells."""
        return grid(self.depth, self.cut, len(taps(self.backbone)))

    def whole(self, width: int, outputs: int) -> FabricArchitecture:
        """With every edge, all of even weight; alpha and beta are learned."""
        frame = replace(self.backbone, head=replace(self.heads[0], outputs=outputs))
        parts = self.parts or (("whole", tuple(range(outputs))),)
        alpha = (0.0,) * len(CANDIDATES)
        made = tuple(Part(name, points, alpha, self._cells) for name, points in parts)
        return over(frame, Fabric(width, self.depth, self.cut, made, vector=self.vector))

    def architecture(self, point: Point, outputs: int) -> FabricArchitecture:
        """See `SearchSpace`; what is kept has even weights."""
        if len(point.choices) != 1 or len(point.opened) != len(self.slots):
            raise ArchitectureError(f"the point is not of the space {self.name}")
        frame = self.whole(self.widths[point.choices[0]], outputs)
        pairs = iter(zip(point.opened[::2], point.opened[1::2], strict=True))
        parts = tuple(
            replace(
                part,
                cells=tuple(
                    Cell(connections, (0.0,) * len(connections), operations)
                    for connections, operations in (next(pairs) for _ in part.cells)
                ),
            )
            for part in frame.fabric.parts
        )
        return replace(frame, fabric=replace(frame.fabric, parts=parts))

    def point(self, architecture: Architecture) -> Point:
        """See `SearchSpace`; alpha and beta do not matter."""
        if isinstance(architecture, FabricArchitecture):
            fabric = architecture.fabric
            frame = self.whole(fabric.width, architecture.head.outputs)
            groups = [(part.name, part.keypoints) for part in fabric.parts]
            evened = replace(fabric, parts=frame.fabric.parts, learned=True)
            alike = replace(architecture, fabric=evened) == frame
            known = groups == [(part.name, part.keypoints) for part in frame.fabric.parts]
            if alike and known and fabric.width in self.widths:
                cells = [cell for part in fabric.parts for cell in part.cells]
                opened = tuple(
                    names for cell in cells for names in (cell.connections, cell.operations)
                )
                if len(opened) == len(self.slots):
                    return Point((self.widths.index(fabric.width),), opened)
        raise ArchitectureError(
            f"architecture {architecture.digest[:12]} is not of the space {self.name}"
        )

    @cached_property
    def _cells(self) -> tuple[Cell, ...]:
        return tuple(Cell(place.sources, (0.0,) * len(place.sources)) for place in self.places)


def _read(name: str, document: Mapping[str, Any], folder: Path) -> FabricSpace:
    entry = dict(document["fabric"])
    backbone = _backbone(str(entry.pop("backbone")), folder)
    side = int(entry.pop("input_size", backbone.input_size[0]))
    backbone = replace(backbone, input_size=(side, side))
    widths = tuple(int(width) for width in entry.pop("widths"))
    return FabricSpace.of(name, backbone, widths=widths, **entry)


def _backbone(source: str, folder: Path) -> Architecture:
    if not source.endswith(".json"):
        return preset(source, 1)
    document = json.loads((folder / source).read_text())
    return Architecture.from_json(document.get("architecture", document))


SPACE_READERS["fabric"] = _read
