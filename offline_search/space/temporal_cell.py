# SPDX-License-Identifier: Apache-2.0
"""The temporal cell in torch, and the operators that its edges may hold with their cost formulas.

Spatio-temporal kernels in factors, as PV-NAS (arXiv 2011.00826) has them among its candidates:
each operator is a spatial one on the features of one lag, and the sum over the lags is the temporal
factor. None has a bias or a norm, so the zeros that stand for an absent image add exactly zero; the
last convolution of each starts at zero, so a network that gains a cell starts as it was (ours).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from offline_search.space.checks import ArchitectureError
from offline_search.space.kits import Kit
from offline_search.space.macs import Cost, Size
from offline_search.space.temporal import Edge, TemporalCell

_SLIM: Final = 4  # channels for each of a bottleneck's


@dataclass(frozen=True)
class TemporalOperator:
    """One candidate: maps (B, C, h, w) to the same shape, zeros to zeros.

    Attributes:
        name: Its name in an `Edge`.
        build: (kit, C) -> module, whose last layer is a convolution.
        price: (kit, C, (h, w)) -> cost.
    """

    name: str
    build: Callable[[Kit, int], nn.Sequential]
    price: Callable[[Kit, int, Size], Cost]


def _depthwise(name: str, kernel: int) -> TemporalOperator:
    return TemporalOperator(
        name,
        lambda kit, width: nn.Sequential(kit.depthwise(width, kernel)),
        lambda kit, width, size: kit.depthwise_cost(width, kernel, size),
    )


def _slim(kit: Kit, width: int) -> int:
    return max(kit.turns, width // _SLIM // kit.turns * kit.turns)


def _mix(kit: Kit, width: int) -> nn.Sequential:
    middle = _slim(kit, width)
    return nn.Sequential(kit.dense(width, middle, 1), nn.ReLU(), kit.dense(middle, width, 1))


def _mix_price(kit: Kit, width: int, size: Size) -> Cost:
    middle = _slim(kit, width)
    return kit.dense_cost(width, middle, 1, size) + kit.dense_cost(middle, width, 1, size)


def _separable(kit: Kit, width: int) -> nn.Sequential:
    return nn.Sequential(kit.depthwise(width, 3), nn.ReLU(), kit.dense(width, width, 1))


def _separable_price(kit: Kit, width: int, size: Size) -> Cost:
    return kit.depthwise_cost(width, 3, size) + kit.dense_cost(width, width, 1, size)


TEMPORAL_OPERATORS: Final = {
    operator.name: operator
    for operator in (
        _depthwise("t_scale", 1),
        _depthwise("t_dw3", 3),
        _depthwise("t_dw5", 5),
        TemporalOperator("t_mix", _mix, _mix_price),
        TemporalOperator("t_sep3", _separable, _separable_price),
    )
}
"""A factor a channel, depthwise 3x3 and 5x5, 1x1 through a quarter of the channels, separable."""


def temporal_operator(name: str) -> TemporalOperator:
    """The operator of that name.

    Raises:
        ArchitectureError: There is none.
    """
    if name not in TEMPORAL_OPERATORS:
        known = ", ".join(TEMPORAL_OPERATORS)
        raise ArchitectureError(f"unknown temporal operator {name!r}; there are {known}")
    return TEMPORAL_OPERATORS[name]


class EdgeModule(nn.Module):
    """The mean of an edge's operators."""

    def __init__(self, edge: Edge, kit: Kit, width: int) -> None:
        """On features of `width` channels."""
        super().__init__()
        self.operators = nn.ModuleDict(
            {name: temporal_operator(name).build(kit, width) for name in edge.operators}
        )
        for module in self.operators.values():
            assert isinstance(module, nn.Sequential)
            last = module[-1].weight
            assert isinstance(last, Tensor)
            nn.init.zeros_(last)

    def forward(self, x: Tensor) -> Tensor:
        """Aligned features of the edge's lag (B, C, h, w) -> what they add."""
        outputs = [operator(x) for operator in self.operators.values()]
        total: Tensor = outputs[0]
        for output in outputs[1:]:
            total = total + output
        return total if len(outputs) == 1 else total * (1.0 / len(outputs))


class CellModule(nn.Module):
    """See `temporal`."""

    def __init__(self, cell: TemporalCell, kit: Kit, width: int) -> None:
        """On features of `width` channels."""
        super().__init__()
        self.edges = nn.ModuleDict(
            {str(edge.lag): EdgeModule(edge, kit, width) for edge in cell.edges}
        )

    def forward(self, features: Tensor, past: Tensor) -> Tensor:
        """Features (B, C, h, w), those of the lags (B, L, C, h, w), aligned -> (B, C, h, w)."""
        for index, edge in enumerate(self.edges.values()):
            features = features + edge(past[:, index])
        return features
