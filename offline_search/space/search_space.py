# SPDX-License-Identifier: Apache-2.0
"""A search space: all architectures that choices of structure and open operators can spell.

A point of the space chooses one value for each *gene* (input size, stem, the stages' widths, head,
and neck and number of keypoints where the space leaves a choice) and opens one or more of the
candidate operators of each *slot* (layer). Spaces are YAML files;
`small` and `tiny` are parts of `full` by their configuration alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, combinations, islice, product
from math import log10, prod
from pathlib import Path
from typing import Any, Final

import yaml

from offline_search.space.architecture import (
    NO_NECK,
    Architecture,
    ArchitectureError,
    Head,
    Neck,
    Stage,
)
from offline_search.space.operators import operator

SPACES: Final = Path(__file__).with_name("spaces")
# Of a space's heads: the number of keypoints is the object's, not the space's.
_ANY = 1
_WIDTH: Final = "width_{}"


@dataclass(frozen=True)
class Gene:
    """A choice of one among several values.

    Attributes:
        name: input_size, stem, width_0 (of the first stage) and so on, head, neck, keypoints.
        choices: The values.
    """

    name: str
    choices: tuple[Any, ...]


@dataclass(frozen=True)
class Slot:
    """A layer's place, and what may be opened there.

    Attributes:
        stage, layer: Indices.
        candidates: Names of operators.
    """

    stage: int
    layer: int
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """One architecture of a space.

    Attributes:
        choices: For each gene the index of its value.
        opened: For each slot the names of the open operators, in the order of its candidates.
    """

    choices: tuple[int, ...]
    opened: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class StageSpace:
    """What may vary in a stage: its width; `layers` is how many slots it has."""

    stride: int
    layers: int
    widths: tuple[int, ...]


@dataclass(frozen=True)
class SearchSpace:
    """See the module's docstring.

    Attributes:
        name: Of the space.
        input_sizes: Sides of the square input, px.
        stems: (filters of the 3x3, channels after the 1x1).
        stages: See `StageSpace`.
        operators: Candidates of every layer where they are legal. The first layer of a stage
            changes shape, so what keeps the shape is no candidate there.
        heads: See `Head`; their number of outputs is replaced by the object's.
        necks: Between backbone and head, see `Head.neck`; none: no network has one.
        keypoints: How many of the object's keypoints, in their order, a network may find; none:
            all of them.
        paper: Whose space it is, or after whose; it decides nothing.
    """

    name: str
    input_sizes: tuple[int, ...]
    stems: tuple[tuple[int, int], ...]
    stages: tuple[StageSpace, ...]
    operators: tuple[str, ...]
    heads: tuple[Head, ...]
    necks: tuple[Neck, ...] = field(default=(), kw_only=True)
    keypoints: tuple[int, ...] = field(default=(), kw_only=True)
    paper: str = field(default="", kw_only=True, compare=False)

    def __post_init__(self) -> None:
        """Checks that there is a choice everywhere and that every choice can be built.

        Raises:
            ArchitectureError: Something cannot be; the message names it.
        """
        if not self.slots or not self.slots[0].candidates:
            raise ArchitectureError(f"space {self.name}: needs a stage and an operator for it")
        for gene in (*self.genes, Gene("operators", self.operators)):
            if not gene.choices or len(set(gene.choices)) < len(gene.choices):
                raise ArchitectureError(
                    f"space {self.name}: {gene.name} needs different values, got {gene.choices}"
                )
        if self.necks and any(head.neck != NO_NECK for head in self.heads):
            raise ArchitectureError(
                f"space {self.name}: necks are a gene of their own or parts of heads, not both"
            )
        opened = tuple(slot.candidates[:1] for slot in self.slots)
        for index, gene in enumerate(self.genes):
            for choice in range(len(gene.choices)):
                choices = [0] * len(self.genes)
                choices[index] = choice
                self.architecture(Point(tuple(choices), opened), max(self.keypoints, default=_ANY))

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """Of the structure."""
        widths = [Gene(_WIDTH.format(i), stage.widths) for i, stage in enumerate(self.stages)]
        return (
            Gene("input_size", self.input_sizes),
            Gene("stem", self.stems),
            *widths,
            Gene("head", self.heads),
            *([Gene("neck", self.necks)] if self.necks else []),
            *([Gene("keypoints", self.keypoints)] if self.keypoints else []),
        )

    @cached_property
    def necked_heads(self) -> tuple[Head, ...]:
        """Every head with every neck that it may have."""
        if not self.necks:
            return self.heads
        return tuple(replace(head, neck=neck) for head in self.heads for neck in self.necks)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Of all stages, in the order of computation."""
        changing = tuple(name for name in self.operators if not operator(name).same_shape)
        return tuple(
            Slot(index, layer, self.operators if layer else changing)
            for index, stage in enumerate(self.stages)
            for layer in range(stage.layers)
        )

    @property
    def size(self) -> int:
        """Number of architectures: any non-empty subset of the candidates of every slot."""
        structures = prod(len(gene.choices) for gene in self.genes)
        subsets = prod((1 << len(slot.candidates)) - 1 for slot in self.slots)
        return structures * subsets

    @property
    def log10_size(self) -> float:
        """Decimal logarithm of `size`."""
        return log10(self.size)

    @property
    def largest_input(self) -> int:
        """Side of the largest input, px."""
        return max(self.input_sizes)

    def architecture(self, point: Point, outputs: int) -> Architecture:
        """The architecture of a point, for an object of that many keypoints.

        Raises:
            ArchitectureError: The point is not of this space, or the object has fewer keypoints.
        """
        if len(point.choices) != len(self.genes) or len(point.opened) != len(self.slots):
            raise ArchitectureError(f"the point is not of the space {self.name}")
        of = {g.name: g.choices[i] for g, i in zip(self.genes, point.choices, strict=True)}
        size, (stem_width, stem_out) = of["input_size"], of["stem"]
        layers = iter(point.opened)
        stages = tuple(
            Stage(of[_WIDTH.format(i)], stage.stride, tuple(islice(layers, stage.layers)))
            for i, stage in enumerate(self.stages)
        )
        found = of.get("keypoints", outputs)
        if found > outputs:
            raise ArchitectureError(
                f"space {self.name}: networks of {found} keypoints need an object that has them, "
                f"this one has {outputs}"
            )
        head = replace(of["head"], outputs=found, neck=of.get("neck", of["head"].neck))
        return Architecture((size, size), stem_width, stem_out, stages, head)

    def point(self, architecture: Architecture) -> Point:
        """Inverse of `architecture`.

        Raises:
            ArchitectureError: The architecture is not of this space.
        """
        head = architecture.head
        values = (
            architecture.input_size[0],
            (architecture.stem_width, architecture.stem_out),
            *(stage.width for stage in architecture.stages),
            replace(head, outputs=_ANY, neck=NO_NECK if self.necks else head.neck),
            *([head.neck] if self.necks else []),
            *([head.outputs] if self.keypoints else []),
        )
        opened = architecture.layers
        try:
            choices = tuple(
                gene.choices.index(value) for gene, value in zip(self.genes, values, strict=True)
            )
            ordered = tuple(
                tuple(sorted(names, key=slot.candidates.index))
                for slot, names in zip(self.slots, opened, strict=True)
            )
            rebuilt = self.architecture(Point(choices, opened), head.outputs)
            if rebuilt != architecture:
                raise ValueError  # of another stride, say
        except ValueError:
            raise ArchitectureError(
                f"architecture {architecture.digest[:12]} is not of the space {self.name}"
            ) from None
        return Point(choices, ordered)

    def points(self) -> Iterator[Point]:
        """All of them; only for small spaces."""
        structures = product(*(range(len(gene.choices)) for gene in self.genes))
        subsets = [tuple(_subsets(slot.candidates)) for slot in self.slots]
        for choices in structures:
            for opened in product(*subsets):
                yield Point(choices, opened)

    def contains(self, other: SearchSpace) -> bool:
        """Whether every architecture of `other` is one of this space.

        A stage of fewer layers counts as one whose last layers are skipped, which changes nothing
        of what is computed.
        """
        spare = "skip" in self.operators
        return (
            len(self.stages) == len(other.stages)
            and [gene.name for gene in self.genes] == [gene.name for gene in other.genes]
            and set(other.operators) <= set(self.operators)
            and all(
                set(theirs.choices) <= set(ours.choices)
                for ours, theirs in zip(self.genes, other.genes, strict=True)
            )
            and all(
                ours.stride == theirs.stride
                and (ours.layers == theirs.layers or (spare and ours.layers > theirs.layers))
                for ours, theirs in zip(self.stages, other.stages, strict=True)
            )
        )

    def to_json(self) -> dict[str, Any]:
        """What `fpg-pose space --json` prints."""
        return {
            "name": self.name,
            "size": str(self.size),
            "log10_size": round(self.log10_size, 3),
            "layers": len(self.slots),
            "operators": list(self.operators),
            "slots": [
                {"stage": slot.stage, "layer": slot.layer, "candidates": list(slot.candidates)}
                for slot in self.slots
            ],
            "genes": [
                {"name": gene.name, "choices": [describe_choice(value) for value in gene.choices]}
                for gene in self.genes
            ],
        }


def describe_choice(value: Any) -> str:
    """A gene's value in a few characters: `128`, `16-12`, `heatmap 48-32`, `heatmap 48-32 spp`."""
    if isinstance(value, Head):
        neck = [] if value.neck == NO_NECK else [value.neck]
        return " ".join([value.kind, "-".join(str(width) for width in value.width), *neck])
    return "-".join(str(part) for part in value) if isinstance(value, tuple) else str(value)


def load_space(source: str | Path) -> SearchSpace:
    """A space by its name (full, small, tiny), or from a YAML file of the same form.

    Raises:
        ArchitectureError: There is none, or the file does not describe one.
    """
    path = Path(source)
    if path.suffix not in (".yaml", ".yml"):
        path = SPACES / f"{source}.yaml"
        if not path.exists():
            names = ", ".join(space_names())
            raise ArchitectureError(
                f"unknown search space {source}; there are {names}, or give a YAML file"
            )
    try:
        document = yaml.safe_load(path.read_text())
        read = next((SPACE_READERS[entry] for entry in SPACE_READERS if entry in document), _space)
        space = read(path.stem, document, path.parent)
        return replace(space, paper=str(document.get("paper", "")))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ArchitectureError(f"{path}: describes no search space ({error!r})") from error


SPACE_READERS: Final[dict[str, Callable[[str, Mapping[str, Any], Path], SearchSpace]]] = {}
"""(name, document, its folder) -> a space of another kind, by the entry that only this kind has."""


def space_names() -> tuple[str, ...]:
    """Spaces that come with the program."""
    return tuple(sorted(path.stem for path in SPACES.glob("*.yaml")))


def _space(name: str, document: Mapping[str, Any], _folder: Path) -> SearchSpace:
    return SearchSpace(
        name=name,
        input_sizes=tuple(document["input_sizes"]),
        stems=tuple((width, outputs) for width, outputs in document["stems"]),
        stages=tuple(
            StageSpace(stage["stride"], stage["layers"], tuple(stage["widths"]))
            for stage in document["stages"]
        ),
        operators=tuple(document["operators"]),
        heads=tuple(
            Head(**{**head, "width": tuple(head["width"])}, outputs=_ANY)
            for head in document["heads"]
        ),
        necks=tuple(document.get("necks", ())),
        keypoints=tuple(document.get("keypoints", ())),
    )


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every non-empty one, in the order of `names`."""
    return chain.from_iterable(combinations(names, n) for n in range(1, len(names) + 1))
