# SPDX-License-Identifier: Apache-2.0
"""Cell-based neural fabrics in torch (PoseNFS, arXiv 1909.07068), see `fabric`.

Importing this module registers `FabricArchitecture` with `build`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import offline_search.space.fabric_cost  # noqa: F401  # `build` asks for the cost
from offline_search.space.cost import cost
from offline_search.space.fabric import (
    CANDIDATES,
    CONNECTIONS,
    DILATED,
    FINER,
    SAME,
    SKIP,
    ZERO,
    Cell,
    Part,
    Place,
)
from offline_search.space.fabric_architecture import FabricArchitecture
from offline_search.space.kits import PlainKit, kit
from offline_search.space.network import Layer, Network, build, build_stem, places
from offline_search.space.operators import normed

_KIT: Final = PlainKit()
_LEAST: Final = 1e-4
"""Of a squared length: where it vanishes, its logarithm must have a gradient."""


class _Up(nn.Module):
    """Doubles height and width, pixel centres kept."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _connection(name: str, inputs: int, outputs: int) -> nn.Module:
    if name == SAME:
        return nn.Identity()
    if name == FINER:
        return normed(_KIT, _KIT.dense(inputs, outputs, 3, 2), outputs, act=False)
    up = normed(_KIT, _KIT.dense(inputs, outputs, 1), outputs, act=False)
    return nn.Sequential(up, _Up())


def _separable(width: int, dilation: int = 1) -> list[nn.Module]:
    return [
        _KIT.depthwise(width, 3, dilation=dilation),
        _KIT.dense(width, width, 1),
        nn.BatchNorm2d(width, affine=False),
        nn.ReLU(inplace=True),
    ]


def _operation(name: str, width: int) -> nn.Module:
    if name == SKIP:
        return nn.Identity()
    if name == DILATED:
        return nn.Sequential(*_separable(width, 2))
    return nn.Sequential(*_separable(width), *_separable(width))


class CellModule(nn.Module):
    """One cell: ReLU(3 sum_k softmax(beta)_k conn_k), then |O| sum_o softmax(alpha)_o o, then 1x1.

    What was dropped has no share of the softmax; the factors stay 3 and |O|. So dropping what has
    weight zero changes nothing.
    """

    beta: Tensor

    def __init__(self, architecture: FabricArchitecture, place: Place, cell: Cell) -> None:
        """`cell` at its place."""
        super().__init__()
        fabric = architecture.fabric
        width = fabric.channels(place.scale)
        self.sources = {name: place.reads(name) for name in cell.connections}
        self.connections = nn.ModuleDict(
            {
                name: _connection(name, fabric.channels(scale), width)
                for name, scale in self.sources.items()
            }
        )
        self.operations = nn.ModuleDict({n: _operation(n, width) for n in cell.operations})
        _add_logits(self, "beta", cell.beta, learned=fabric.learned)
        self.kept = [CANDIDATES.index(name) for name in (ZERO, *cell.operations)]
        self.keep = _KIT.scalars(width, width)
        self.fixed: tuple[Sequence[float], Sequence[float]] | None = None

    def forward(self, layer: Mapping[int, Tensor], alpha: Tensor) -> Tensor:
        """Maps (B, C_s, h_s, w_s) of the layer before by scale, logits of `CANDIDATES` -> maps."""
        shares, strengths = self.fixed or self.weights(alpha)
        inputs = [
            share * connection(layer[self.sources[name]])
            for share, (name, connection) in zip(shares, self.connections.items(), strict=True)
        ]
        x = F.relu(_sum(inputs))
        outputs = [
            strength * operation(x)
            for strength, operation in zip(strengths, self.operations.values(), strict=True)
        ]
        y: Tensor = self.keep(_sum(outputs))
        return y

    def weights(self, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """What connections and operations are multiplied by, in their order."""
        shares = len(CONNECTIONS) * self.beta.softmax(0)
        strengths = len(CANDIDATES) * alpha[self.kept].softmax(0)[1:]
        return shares, strengths

    def fix(self, alpha: Tensor) -> None:
        """Makes constants of the weights, for inference alone."""
        shares, strengths = self.weights(alpha.detach())
        self.fixed = shares.tolist(), strengths.tolist()


def _sum(terms: Iterable[Tensor]) -> Tensor:
    first, *others = terms
    for other in others:
        first = first + other
    return first


def _add_logits(module: nn.Module, name: str, values: Sequence[float], *, learned: bool) -> None:
    """A parameter where it is trained; else a buffer, which is saved like one."""
    tensor = torch.tensor(values, dtype=torch.float32)
    if learned:
        module.register_parameter(name, nn.Parameter(tensor))
    else:
        module.register_buffer(name, tensor)


class PartModule(nn.Module):
    """The fabric of a part: features of the backbone's scales -> its maps (B, M, h, w)."""

    alpha: Tensor

    def __init__(self, architecture: FabricArchitecture, part: Part) -> None:
        """With the cells that reach the maps."""
        super().__init__()
        fabric = architecture.fabric
        _add_logits(self, "alpha", part.alpha, learned=fabric.learned)
        self.reduce = nn.ModuleDict(
            {
                str(scale): _KIT.scalars(architecture.feature_widths[scale], fabric.channels(scale))
                for scale in architecture.read_features(part)
            }
        )
        grid = zip(architecture.places, part.cells, architecture.live(part), strict=True)
        self.places = [(place, cell) for place, cell, used in grid if used]
        self.cells = nn.ModuleDict(
            {place.name: CellModule(architecture, place, cell) for place, cell in self.places}
        )
        self.maps = nn.Sequential(nn.ReLU(), *_maps(architecture, part))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """See the class."""
        before = {int(scale): reduce(features[int(scale)]) for scale, reduce in self.reduce.items()}
        layer: dict[int, Tensor] = {}
        number = self.places[0][0].layer
        for (place, _), cell in zip(self.places, self.cells.values(), strict=True):
            if place.layer > number:
                before, layer, number = layer, {}, place.layer
            layer[place.scale] = cell(before, self.alpha)
        maps: Tensor = self.maps(layer[0])
        return maps

    def plain(self) -> nn.Module:
        """Itself with constants for alpha and beta, as `oriented.to_plain` asks for."""
        for cell in self.cells.values():
            assert isinstance(cell, CellModule)
            cell.fix(self.alpha)
        return self


class Squash(nn.Module):
    """Vectors to the logits of |v|^2 / (1 + |v|^2): (B, M n, h, w) -> (B, M, h, w)."""

    def __init__(self, length: int) -> None:
        """`length` is n, channels of a vector."""
        super().__init__()
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        """See the class; log p / (1 - p) = log |v|^2."""
        vectors: Tensor = x.unflatten(1, (-1, self.length))
        return (vectors.square().sum(2) + _LEAST).log()


def _maps(architecture: FabricArchitecture, part: Part) -> list[nn.Module]:
    fabric, count = architecture.fabric, len(architecture.maps_of(part))
    if fabric.vector:
        return [_KIT.scalars(fabric.width, count * fabric.vector), Squash(fabric.vector)]
    maps = _KIT.scalars(fabric.width, count)
    assert isinstance(maps.weight, Tensor)
    nn.init.normal_(maps.weight, std=0.01)  # untrained, it prefers no place
    return [maps]


class FabricHead(nn.Module):
    """All parts' fabrics: features of the backbone's scales -> logits (B, K, h, w), stride 4.

    A keypoint of several parts gets the sum of their maps, and so does the mask, which is of all.
    """

    def __init__(self, architecture: FabricArchitecture) -> None:
        """On the backbone's features."""
        super().__init__()
        fabric = architecture.fabric
        self.parts = nn.ModuleList(PartModule(architecture, part) for part in fabric.parts)
        given = [index for part in fabric.parts for index in architecture.maps_of(part)]
        found = [
            [place for place, index in enumerate(given) if index == wanted]
            for wanted in range(architecture.head.maps)
        ]
        most = max(map(len, found))
        # One map more, of zeros, for what fewer parts have than the most.
        self.padded = any(len(places) < most for places in found)
        self.orders = [
            [places[turn] if turn < len(places) else len(given) for places in found]
            for turn in range(most)
        ]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """See the class."""
        maps = torch.cat([part(features) for part in self.parts], dim=1)
        if self.padded:
            maps = torch.cat((maps, torch.zeros_like(maps[:, :1])), dim=1)
        orders = [torch.tensor(order, device=maps.device) for order in self.orders]
        return _sum(maps.index_select(1, order) for order in orders)


class Tapped(nn.Sequential):
    """Layers one after another that give what some of them give."""

    def __init__(self, layers: Iterable[nn.Module], taps: Sequence[int]) -> None:
        """`taps` are the indices of those whose outputs are wanted."""
        super().__init__(*layers)
        self.taps = tuple(taps)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, h, w) -> the tapped outputs."""
        found = []
        for index, layer in enumerate(self):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


@build.register
def _(architecture: FabricArchitecture, *, seed: int | None = None) -> Network:
    cost(architecture)  # refuses illegal operators with a clear message
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        stem = build_stem(architecture)
        make = kit(architecture.turns)
        layers = [
            Layer(place.build(make, name) for name in place.names) for place in places(architecture)
        ]
        network = Network(architecture, stem, (), FabricHead(architecture))
    network.layers = Tapped(layers, architecture.taps)
    return network
