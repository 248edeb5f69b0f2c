# SPDX-License-Identifier: Apache-2.0
"""A backbone with fabrics over its features, as a plain immutable value (see `fabric`).

Importing this module lets `Architecture.from_json` read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from offline_search.space.architecture import (
    READERS,
    STEM_STRIDE,
    Architecture,
    ArchitectureError,
)
from offline_search.space.fabric import (
    FINEST,
    SCALES,
    Cell,
    Fabric,
    Part,
    Place,
    grid,
    require,
)


@dataclass(frozen=True, kw_only=True)
class FabricArchitecture(Architecture):
    """An ordinary stem and stages, the backbone, whose features of all strides go into fabrics.

    Attributes:
        fabric: See `Fabric`. The head says of what kind, and how many, the maps are; it has no
            layers of its own.
    """

    fabric: Fabric

    def __post_init__(self) -> None:
        """Checks that backbone, fabrics and head fit."""
        super().__post_init__()
        head = self.head
        plain = head.kind == "heatmap" and not head.width and not head.sic
        require(plain, "needs a heatmap head without layers (width (), sic false)")
        require(self.turns == 1, "the backbone must be one of turns 1")
        require(self.cell is None, "has no temporal cell: its features are of several scales")
        deepest = max(place.scale for place in self.places)
        step = FINEST << deepest
        for side in self.input_size:
            require(side % step == 0, f"input_size {self.input_size} must be multiples of {step}")
        seen: set[int] = set()
        for part in self.fabric.parts:
            require(
                len(part.cells) == len(self.places),
                f"part {part.name} has {len(part.cells)} cells, the grid {len(self.places)}",
            )
            for place, cell in zip(self.places, part.cells, strict=True):
                missing = set(cell.connections) - set(place.sources)
                require(not missing, f"layer {place.layer}: nothing is {missing} there")
            seen.update(part.keypoints)
        wanted = set(range(head.outputs))
        require(seen == wanted, f"its parts have keypoints {sorted(seen)}, not {sorted(wanted)}")

    @cached_property
    def taps(self) -> tuple[int, ...]:
        """See `taps`."""
        return taps(self)

    @cached_property
    def feature_widths(self) -> tuple[int, ...]:
        """Channels of the features, for each of `taps`."""
        widths = [stage.width for stage in self.stages for _ in stage.layers]
        return tuple(widths[index] for index in self.taps)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Of each fabric's cells."""
        return grid(self.fabric.depth, self.fabric.cut, len(self.taps))

    def live(self, part: Part) -> tuple[bool, ...]:
        """For each cell whether anything of it reaches the maps."""
        wanted = {(self.fabric.depth - 1, 0)}
        for place, cell in zip(reversed(self.places), reversed(part.cells), strict=True):
            if (place.layer, place.scale) in wanted:
                wanted |= {(place.layer - 1, place.reads(name)) for name in cell.connections}
        return tuple((place.layer, place.scale) in wanted for place in self.places)

    def read_features(self, part: Part) -> tuple[int, ...]:
        """Scales of the backbone's features that the part's live cells read."""
        first = [
            (place, cell)
            for place, cell, used in zip(self.places, part.cells, self.live(part), strict=True)
            if used and place.layer == self.fabric.cut
        ]
        return tuple(sorted({p.reads(name) for p, cell in first for name in cell.connections}))

    def scale_size(self, scale: int) -> tuple[int, int]:
        """(height, width) of that scale's maps."""
        stride = FINEST << scale
        return self.input_size[0] // stride, self.input_size[1] // stride

    def maps_of(self, part: Part) -> tuple[int, ...]:
        """Indices of the maps that a part gives: its keypoints', and the mask's where there is."""
        mask = (self.head.outputs,) if self.head.mask else ()
        return (*part.keypoints, *mask)

    @property
    def output_stride(self) -> float:
        """See `Architecture`."""
        return float(FINEST)

    @property
    def map_size(self) -> tuple[int, int]:
        """See `Architecture`."""
        return self.scale_size(0)


def taps(backbone: Architecture) -> tuple[int, ...]:
    """For each scale of a backbone the index of its last layer.

    Raises:
        ArchitectureError: It has none of the finest scale, or coarser ones than fabrics have.
    """
    last: dict[int, int] = {}
    stride, index = STEM_STRIDE, -1
    for stage in backbone.stages:
        stride *= stage.stride
        index += len(stage.layers)
        last[stride] = index
    strides = [FINEST << scale for scale in range(SCALES) if FINEST << scale in last]
    require(
        FINEST in last and max(last) == strides[-1],
        f"the backbone must have a stage of stride {FINEST} and end at one of at most "
        f"{FINEST << SCALES - 1}, its strides are {sorted(last)}",
    )
    return tuple(last[stride] for stride in strides)


def over(backbone: Architecture, fabric: Fabric) -> FabricArchitecture:
    """That architecture's stem and stages with fabrics in place of its head's layers."""
    given = {field.name: getattr(backbone, field.name) for field in fields(Architecture)}
    return FabricArchitecture(**given, fabric=fabric)


def _read(document: Mapping[str, Any]) -> FabricArchitecture:
    described = dict(document)
    entry = dict(described.pop("fabric"))
    try:
        entry["parts"] = tuple(_part(part) for part in entry["parts"])
        return over(Architecture.from_json(described), Fabric(**entry))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArchitectureError(f"fabric: not of the expected form ({error!r})") from error


def _part(document: Mapping[str, Any]) -> Part:
    cells = tuple(
        Cell(**{name: tuple(values) for name, values in cell.items()}) for cell in document["cells"]
    )
    keypoints = tuple(int(index) for index in document["keypoints"])
    return Part(str(document["name"]), keypoints, tuple(document["alpha"]), cells)


READERS["fabric"] = _read
