# SPDX-License-Identifier: Apache-2.0
"""Cell-based neural fabrics as plain immutable values.

PoseNFS (arXiv 1909.07068). A fabric is a grid of cells: scale s has stride 4 x 2^s, and `width` x
2^s channels; layer j has min(j + 2, 4, depth - j) cells, and the first `cut` layers are the
backbone's features. A cell reads cells of the layer before (connections, weighed by the softmax of
beta) and sends the sum through operations (weighed by the softmax of alpha). Each part of the
object has a fabric of its own for its keypoints, over one backbone. The layout of cells and their
sizes are those of the released code (github.com/yangsenius/PoseNFS, commit dd84036).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

from offline_search.space.architecture import ArchitectureError

FINEST: Final = 4
"""Stride of scale 0, and of the maps."""
SCALES: Final = 4
SAME, FINER, COARSER = "same", "finer", "coarser"
CONNECTIONS: Final = {SAME: 0, FINER: -1, COARSER: 1}
"""Where a connection comes from: by how much its scale differs."""
ZERO: Final = "zero"
SKIP, DILATED, SEPARABLE = "skip", "dilated", "separable"
CANDIDATES: Final = (ZERO, SKIP, DILATED, SEPARABLE)
"""All operations, in the order of alpha. `zero` has a share of the softmax, and costs nothing."""
OPERATIONS: Final = CANDIDATES[1:]
_DEEPEST: Final = 32


def require(condition: bool, message: str) -> None:
    """Refuses a fabric with that message unless the condition holds.

    Raises:
        ArchitectureError: It does not.
    """
    if not condition:
        raise ArchitectureError(f"fabric: {message}")


@dataclass(frozen=True)
class Cell:
    """What is kept of a cell.

    Attributes:
        connections: Names of `CONNECTIONS`, in that order.
        beta: Their logits.
        operations: Names of `OPERATIONS`, in that order.
    """

    connections: tuple[str, ...]
    beta: tuple[float, ...]
    operations: tuple[str, ...] = OPERATIONS

    def __post_init__(self) -> None:
        """Checks every field."""
        for names, known in ((self.connections, tuple(CONNECTIONS)), (self.operations, OPERATIONS)):
            ordered = tuple(name for name in known if name in names)
            require(
                len(names) > 0 and names == ordered, f"a cell needs some of {known}, got {names}"
            )
        _logits(self.beta, len(self.connections), "beta")


@dataclass(frozen=True)
class Part:
    """The fabric of a part of the object.

    Attributes:
        name: The part's.
        keypoints: Indices of those that the fabric has maps of; the mask is everyone's.
        alpha: Logits of `CANDIDATES`, shared by the cells.
        cells: Layer by layer, in a layer from the finest scale on.
    """

    name: str
    keypoints: tuple[int, ...]
    alpha: tuple[float, ...]
    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        """Checks every field but the cells' number, which is the fabric's."""
        unlike = len(set(self.keypoints)) == len(self.keypoints) > 0
        require(unlike, f"part {self.name} needs different keypoints, got {self.keypoints}")
        _logits(self.alpha, len(CANDIDATES), "alpha")


def _logits(values: tuple[float, ...], count: int, name: str) -> None:
    numbers = all(isinstance(value, int | float) and isfinite(value) for value in values)
    require(len(values) == count and numbers, f"{name} must be {count} numbers, got {values}")


@dataclass(frozen=True)
class Place:
    """Where a cell is, and what it could read.

    Attributes:
        layer, scale: In the grid.
        sources: Names of the connections that there are here.
    """

    layer: int
    scale: int
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the cell among those of its fabric."""
        return f"{self.layer}_{self.scale}"

    def reads(self, connection: str) -> int:
        """Scale of the cell of the layer before that this connection comes from."""
        return self.scale + CONNECTIONS[connection]


def grid(depth: int, cut: int, features: int) -> tuple[Place, ...]:
    """All cells in the order of computation, over a backbone with features of so many scales.

    Raises:
        ArchitectureError: There is no such grid.
    """
    require(
        1 <= cut < depth <= _DEEPEST, f"needs 1 <= cut < depth <= {_DEEPEST}, got {cut}, {depth}"
    )
    before, found = features, []
    for layer in range(cut, depth):
        count = min(layer + 2, SCALES, depth - layer)
        for scale in range(count):
            sources = tuple(
                name for name, step in CONNECTIONS.items() if 0 <= scale + step < before
            )
            require(
                len(sources) > 0,
                f"the backbone has features of {features} scales from stride {FINEST} on; layer "
                f"{layer} of {depth} needs {count - 1} or more",
            )
            found.append(Place(layer, scale, sources))
        before = count
    return tuple(found)


@dataclass(frozen=True)
class Fabric:
    """The fabrics of all parts.

    Attributes:
        width: Channels of the finest scale: 64 in the paper (its factor 16).
        depth: Layers, those of the backbone included.
        cut: Of these, the ones that the backbone takes the place of.
        parts: See `Part`.
        learned: Whether alpha and beta are trained with the weights; else they stay as they are.
        vector: Channels of a keypoint's vector v in each cell of the map, where a map's value is
            |v|^2 / (1 + |v|^2); 0: maps are numbers.
    """

    width: int
    depth: int
    cut: int
    parts: tuple[Part, ...]
    learned: bool = True
    vector: int = 0

    def __post_init__(self) -> None:
        """Checks what the parts do not check."""
        whole = isinstance(self.width, int) and self.width > 0
        require(whole, f"width must be a positive integer, got {self.width!r}")
        require(isinstance(self.learned, bool), "learned must be true or false")
        known = isinstance(self.vector, int) and self.vector >= 0
        require(known, f"vector must be 0 or more, got {self.vector!r}")
        require(len(self.parts) > 0, "at least one part is needed")

    def channels(self, scale: int) -> int:
        """Of the cells of that scale."""
        return self.width << scale
