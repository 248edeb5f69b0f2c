# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn

from offline_search.space.kits import kit
from offline_search.space.network import Layer, Place
from offline_search.space.operators import OPERATORS
from offline_search.space.oriented import OrientedBatchNorm2d

CHANGING = tuple(name for name in sorted(OPERATORS) if not OPERATORS[name].same_shape)


def lived_in(names: tuple[str, ...], outputs: int, stride: int, turns: int) -> Layer:
    """A layer whose norms do something."""
    torch.manual_seed(0)
    place = Place(names, 16, outputs, stride)
    layer = Layer(place.build(kit(turns), name) for name in names)
    for module in layer.modules():
        if isinstance(module, (nn.BatchNorm2d, OrientedBatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
    return layer.eval()


@pytest.mark.parametrize("turns", [1, 4])
@pytest.mark.parametrize(
    ("names", "outputs", "stride"),
    [
        (CHANGING, 24, 2),
        (CHANGING, 24, 1),
        (tuple(sorted(OPERATORS)), 16, 1),
        (("sep_k3", "skip"), 16, 1),
        (("coord_attn", "mb_k3_e3", "skip"), 16, 1),
        (("coord_attn",), 16, 1),
        (("conv_k3",), 16, 1),
        (("skip",), 16, 1),
    ],
)
def test_it_gives_the_mean(names: tuple[str, ...], outputs: int, stride: int, turns: int) -> None:
    layer = lived_in(names, outputs, stride, turns)
    x = torch.randn(2, 16, 12, 12)
    with torch.no_grad():
        expected = layer(x)
        torch.testing.assert_close(layer.plain()(x), expected, rtol=1e-4, atol=1e-5)
        # The layer itself is as it was.
        torch.testing.assert_close(layer(x), expected, rtol=0.0, atol=0.0)


def test_nothing_is_divided_or_scaled_where_all_operators_end_in_a_norm() -> None:
    layer = lived_in(("mb_k3_e3", "sep_k3", "skip"), 16, 1, 1).plain()
    kinds = {node.target for node in torch.fx.symbolic_trace(layer).graph.nodes}
    assert not any(getattr(kind, "__name__", "") in ("truediv", "mul") for kind in kinds)
