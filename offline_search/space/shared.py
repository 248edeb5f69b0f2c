# SPDX-License-Identifier: Apache-2.0
"""One backbone with a head for each of several objects. It exists in training only.

Importing this module registers `SharedArchitecture` with `build` and `cost`, so that the training
loop takes it as it takes an `Architecture`; `branch` gives an object's ordinary network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor, nn

from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.cost import Cost, cost, head_cost
from offline_search.space.network import Network, build


@dataclass(frozen=True, kw_only=True)
class SharedArchitecture(Architecture):
    """An architecture whose head is there once for each object, with outputs of its own.

    Attributes:
        outputs: Keypoints of each object; `head.outputs` is the first one's.
    """

    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        """Checks every field."""
        super().__post_init__()
        if len(self.outputs) < 2 or self.outputs[0] != self.head.outputs:
            raise ArchitectureError(
                f"architecture: outputs {self.outputs} must be those of two or more objects, the "
                f"first of them the head's {self.head.outputs}"
            )
        if self.cell is not None:
            raise ArchitectureError(
                "architecture: networks that share a backbone have no temporal cell; add one to "
                "each object's network afterwards"
            )

    @staticmethod
    def of(architecture: Architecture, outputs: Sequence[int]) -> SharedArchitecture:
        """That architecture for objects of so many keypoints, whatever its own head's outputs."""
        first = with_outputs(architecture, outputs[0])
        return SharedArchitecture(**_fields(first), outputs=tuple(outputs))

    @property
    def members(self) -> tuple[Architecture, ...]:
        """Each object's ordinary architecture."""
        alone = Architecture(**_fields(self))
        return tuple(with_outputs(alone, outputs) for outputs in self.outputs)


def with_outputs(architecture: Architecture, outputs: int) -> Architecture:
    """The same architecture for an object of so many keypoints."""
    return replace(architecture, head=replace(architecture.head, outputs=outputs))


def _fields(architecture: Architecture) -> dict[str, Any]:
    return {field.name: getattr(architecture, field.name) for field in fields(Architecture)}


class SharedHead(nn.Module):
    """A head for each object; of a batch, sample i belongs to object i modulo their number.

    What lies before it sees the whole batch at once: its batch norms normalise by the mixture of
    all objects, in training as by their running statistics later. Those of a head see the samples
    of its own object alone, as they will on the robot.
    """

    def __init__(self, heads: Iterable[nn.Module]) -> None:
        """`heads` in the order of the objects."""
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        """Features (B, C, h, w) -> for each object its head's outputs of its share of B."""
        count = len(self.heads)
        return tuple(head(x[place::count]) for place, head in enumerate(self.heads))


def branch(network: Network, place: int) -> Network:
    """An object's ordinary network, whose parts are the shared network's own, not copies."""
    shared, head = network.architecture, network.head
    assert isinstance(shared, SharedArchitecture)
    assert isinstance(head, SharedHead)
    alone = Network(shared.members[place], network.stem, network.layers, head.heads[place])
    return alone.train(network.training)


@build.register
def _(architecture: SharedArchitecture, *, seed: int | None = None) -> Network:
    members = [build(member, seed=seed) for member in architecture.members]
    heads = SharedHead(member.head for member in members)
    return Network(architecture, members[0].stem, members[0].layers, heads)


@cost.register
def _(architecture: SharedArchitecture) -> Cost:
    """MACs of all objects' networks, one crop each; parameters of the backbone count once."""
    first, *others = architecture.members
    macs = sum(cost(member).macs for member in architecture.members)
    params = cost(first).params + sum(head_cost(member).params for member in others)
    return Cost(macs, params)
