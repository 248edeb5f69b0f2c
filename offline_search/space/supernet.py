# SPDX-License-Identifier: Apache-2.0
"""Weights that all architectures of a search space share.

A network of the space has the leading slices of the widest network's weights: a convolution of
24 to 40 channels uses the first 24 and 40 of the same operator's at the same place (slimmable
networks, Yu et al., arXiv 1812.08928; Once-for-All, arXiv 1908.09791). What is run is the very
network that would be built for the architecture, with those slices put in place of its own
weights: a training step costs what that network costs, and nothing is written twice.

Operators of one family share further: a smaller kernel is the middle of the largest, a smaller
expansion its first channels. Each weight is then trained several times as often.

Batch norm uses the statistics of the batch while weights are shared. `inherit` makes an ordinary
network of one architecture, whose statistics are then measured (`calibrate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from offline_search.space.architecture import Architecture
from offline_search.space.gates import gated_mean
from offline_search.space.kits import kit
from offline_search.space.network import Layer, Network, build, build_head, build_stem, places
from offline_search.space.operators import make_of
from offline_search.space.remap import remap_body, remap_head
from offline_search.space.search_space import Point, SearchSpace


class GatedLayer(nn.Module):
    """A layer whose operators' outputs are weighed by gates."""

    def __init__(self, operators: Iterable[nn.Module], gates: Tensor) -> None:
        """`gates` (n,) belong to the operators in their order."""
        super().__init__()
        self.operators = nn.ModuleList(operators)
        self.gates = gates

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        return gated_mean([branch(x) for branch in self.operators], self.gates)


class Supernet(nn.Module):
    """The shared weights, and networks that use them."""

    def __init__(self, space: SearchSpace, outputs: int, seed: int, *, apart: bool = False) -> None:
        """Freshly initialised weights for an object of `outputs` keypoints.

        Args:
            space: The architectures.
            outputs: Keypoints.
            seed: Of the weights.
            apart: Operators of one family have weights of their own.
        """
        super().__init__()
        self.space = space
        self.outputs = outputs
        self._make: Callable[[str], str] = str if apart else make_of
        self._parts: dict[tuple[Any, ...], nn.Module] = {}
        self.families = [
            tuple(dict.fromkeys(map(self._make, slot.candidates))) for slot in space.slots
        ]
        widest = self._widest()
        self.body = build(widest, seed=seed)
        self.body.head = nn.Identity()
        # Heads differ in kind, and a linear layer over cells fits one input size only.
        self.heads = nn.ModuleDict()
        self._framed: dict[str, Architecture] = {}
        for head in space.necked_heads:
            for size in space.input_sizes:
                wanted = replace(
                    widest, input_size=(size, size), head=replace(head, outputs=outputs)
                )
                key = self._head_key(wanted)
                if key not in self.heads:
                    self.heads[key] = build(wanted, seed=seed).head
                    self._framed[key] = wanted

    def start_from(self, seed: Network) -> None:
        """Takes over a trained network's weights, see `remap`.

        Raises:
            ArchitectureError: The network is one of turns.
        """
        self.body.load_state_dict(remap_body(seed, self.body))
        for key, head in self.heads.items():
            head.load_state_dict(remap_head(seed, head, self._framed[key]))

    def _widest(self) -> Architecture:
        choices = tuple(
            max(range(len(gene.choices)), key=lambda i, g=gene: g.choices[i])  # type: ignore[misc]
            if gene.name not in ("head", "neck", "keypoints")
            else 0
            for gene in self.space.genes
        )
        widest = self.space.architecture(Point(choices, tuple(self.families)), self.outputs)
        # The widest stem need not be the last in the list, nor both of its widths one stem's.
        return replace(
            widest,
            stem_width=max(width for width, _ in self.space.stems),
            stem_out=max(width for _, width in self.space.stems),
        )

    def _head_key(self, architecture: Architecture) -> str:
        head = replace(architecture.head, outputs=1)
        index = self.space.necked_heads.index(head)
        per_size = head.kind == "simcc"
        return f"{index}_{architecture.input_size[0]}" if per_size else str(index)

    def run(
        self, architecture: Architecture, x: Tensor, gates: Sequence[Tensor] | None = None
    ) -> Any:
        """The outputs of one architecture's network with the shared weights.

        Args:
            architecture: Of the space.
            x: (B, 3, H, W) float32 RGB in 0..255, of its input size.
            gates: For each slot those of its open operators; they weigh the outputs and receive
                gradients. None: all are one.
        """
        network = self._skeleton(architecture, gates)
        tensors = self._weights(architecture, network.named_parameters())
        return functional_call(network, tensors, (x,))

    def inherit(self, architecture: Architecture) -> Network:
        """An ordinary network of that architecture with a copy of the shared weights."""
        network = build(architecture)
        weights = self._weights(architecture, network.named_parameters())
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(weights[name])
        return network.to(next(self.parameters()).device)

    def _skeleton(self, architecture: Architecture, gates: Sequence[Tensor] | None) -> Network:
        """The architecture's network without weights; its norms use each batch's own statistics.

        Its parts are kept: making them takes longer than some of them take to run.
        """
        make = kit(architecture.turns)
        layers: list[nn.Module] = []
        for slot, place in enumerate(places(architecture)):
            shape = (place.inputs, place.outputs, place.stride)
            operators = [
                self._part(("layer", slot, name, *shape), partial(place.build, make, name))
                for name in place.names
            ]
            layers.append(Layer(operators) if gates is None else GatedLayer(operators, gates[slot]))
        stem = (architecture.stem_width, architecture.stem_out)
        head = (architecture.head, architecture.input_size, architecture.stages[-1].width)
        return Network(
            architecture,
            self._part(("stem", *stem), partial(build_stem, architecture)),
            layers,
            self._part(("head", *head), partial(build_head, architecture)),
        )

    def _part(self, key: tuple[Any, ...], make: Callable[[], nn.Module]) -> nn.Module:
        if key not in self._parts:
            with torch.device("meta"):
                part = make()
            for module in part.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.track_running_stats = False
                    module.running_mean = module.running_var = module.num_batches_tracked = None
            self._parts[key] = part
        return self._parts[key]

    def _weights(
        self, architecture: Architecture, wanted: Iterable[tuple[str, nn.Parameter]]
    ) -> dict[str, Tensor]:
        """Slices of the shared weights by the names of the architecture's own network."""
        slots = architecture.layers
        head = f"heads.{self._head_key(architecture)}."
        found = {}
        for name, parameter in wanted:
            tensor = self.shared[self._shared_name(name, slots, head)]
            found[name] = _part_of(tensor, parameter.shape)
        return found

    @cached_property
    def shared(self) -> dict[str, nn.Parameter]:
        """All weights by name; to collect them anew takes longer than a small step."""
        return dict(self.named_parameters())

    def _shared_name(self, name: str, slots: Sequence[tuple[str, ...]], head: str) -> str:
        """layers.SLOT.operators.I.rest counts open operators; the shared one all candidates."""
        parts = name.split(".")
        if parts[0] == "head":
            return head + name.removeprefix("head.")
        if parts[0] == "layers":
            slot = int(parts[1])
            family = self._make(slots[slot][int(parts[3])])
            parts[3] = str(self.families[slot].index(family))
        return ".".join(["body", *parts])


def _part_of(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The first channels, and of kernels the middle."""
    starts = [0 if axis < 2 else (tensor.shape[axis] - n) // 2 for axis, n in enumerate(shape)]
    return tensor[tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))]


@torch.no_grad()
def calibrate(network: Network, images: Iterable[Tensor]) -> Network:
    """Measures the batch norms' statistics anew, in place; returns the network for evaluation.

    Args:
        network: With weights whose statistics are not known.
        images: Batches (B, 3, H, W) float32 RGB in 0..255.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    network.train()
    for batch in images:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()
