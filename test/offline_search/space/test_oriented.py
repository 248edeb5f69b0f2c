# SPDX-License-Identifier: Apache-2.0
"""Networks of `turns=4` must commute with quarter turns of the image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from offline_search.space import Architecture, ArchitectureError, Head, Stage
from offline_search.space.kits import kit
from offline_search.space.network import Network, build
from offline_search.space.operators import OPERATORS
from offline_search.space.oriented import TURNS, OrientedBatchNorm2d, to_plain

LAYERS = (("mb_k3_e3", "sep_k5"), ("coord_attn", "dw_k11"), ("ghost_k3", "sep_k3_d2", "conv_k3"))


def oriented(kind: str = "heatmap", layers: tuple[tuple[str, ...], ...] = LAYERS) -> Architecture:
    stages = (Stage(16, 2, (("sep_k3_d2", "mb_k7_e3"),)), Stage(24, 2, layers[:1] + layers))
    neck = "none" if kind == "locator" else "spp"
    head = Head(kind, (16, 8), 5, neck=neck)  # type: ignore[arg-type]
    return Architecture((64, 64), 8, 16, stages, head, turns=4)


def scrambled(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """In evaluation mode, with norms at values that hide no mistake and statistics of noise."""
    generator = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, OrientedBatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(layer.bias, -0.3, 0.3, generator=generator)
    module.train()
    with torch.no_grad():
        for _ in range(20):
            module(torch.rand(shape, generator=generator) * 255)
    return module.eval()


def turn_fields(maps: Tensor, quarters: int) -> Tensor:
    """What a quarter turn of the image does to maps of fields."""
    fields = maps.unflatten(1, (-1, TURNS)).roll(quarters, dims=2).flatten(1, 2)
    return torch.rot90(fields, quarters, (-2, -1))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_operator_commutes_with_quarter_turns(name: str, stride: int) -> None:
    outputs = 8 if OPERATORS[name].same_shape else 12
    if not OPERATORS[name].legal(8, outputs, stride):
        return
    module = scrambled(OPERATORS[name].build(kit(4), 8, outputs, stride), (4, 8, 16, 16))
    x = torch.rand(1, 8, 16, 16) * 255
    with torch.no_grad():
        for quarters in (1, 2, 3):
            turned = module(turn_fields(x, quarters))
            assert torch.allclose(turned, turn_fields(module(x), quarters), atol=1e-3)
        # and it is no constant, for which that would be no feat
        assert module(x).std() > 1e-3


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_heatmaps_turn_with_the_picture(quarters: int) -> None:
    network = scrambled(build(oriented(), seed=0), (4, 3, 64, 64))
    image = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        maps = network(image)
        turned = network(torch.rot90(image, quarters, (-2, -1)))
    expected = torch.rot90(maps, quarters, (-2, -1))
    assert torch.allclose(turned, expected, atol=1e-4 * float(maps.abs().max()))
    assert not torch.allclose(turned, maps, atol=1e-2 * float(maps.std()))


def outputs_of(network: nn.Module, image: Tensor) -> list[Tensor]:
    result: Any = network(image)
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("kind", ["heatmap", "simcc", "locator"])
def test_the_plain_twin_computes_the_same_with_ordinary_layers(kind: str) -> None:
    network = scrambled(build(oriented(kind), seed=0), (4, 3, 64, 64))
    image = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        expected = outputs_of(network, image)
        twin = to_plain(network)
        for a, b in zip(expected, outputs_of(twin, image), strict=True):
            assert torch.allclose(a, b, atol=1e-5 * float(a.abs().max()))
    assert isinstance(twin, Network)
    assert not any("riented" in type(m).__name__ for m in twin.modules())


def test_weights_are_a_quarter_of_an_ordinary_networks() -> None:
    a = sum(p.numel() for p in build(oriented(), seed=0).parameters())
    plain = Architecture(**{**oriented().__dict__, "turns": 1})
    b = sum(p.numel() for p in build(plain, seed=0).parameters())
    assert 0.2 < a / b < 0.35


def test_widths_that_are_no_multiple_of_four_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="width 6 must be a multiple of 4"):
        Architecture((64, 64), 8, 8, (Stage(6, 2, (("sep_k3",),)),), Head("heatmap", (8,), 5), 4)
    with pytest.raises(ArchitectureError, match="turns must be 1 or 4"):
        Architecture((64, 64), 8, 8, (Stage(8, 2, (("sep_k3",),)),), Head("heatmap", (8,), 5), 2)
