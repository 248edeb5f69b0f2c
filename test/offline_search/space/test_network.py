# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from offline_search.space import Architecture, ArchitectureError, Head, Stage, cost
from offline_search.space.kits import kit
from offline_search.space.network import Layer, build
from offline_search.space.operators import OPERATORS, operator
from offline_search.space.presets import PRESETS, preset

KINDS = ("heatmap", "simcc", "locator")


def random_architecture(seed: int) -> Architecture:
    """Any legal point: 1 to 3 operators a layer, all heads, odd widths, non-square inputs."""
    rng = random.Random(seed)
    turns = rng.choice((1, 4))
    stem_out = inputs = rng.choice((4, 8) if turns == 4 else (4, 7, 8))
    stages = []
    strides = [2] + [rng.choice((1, 2)) for _ in range(rng.randint(0, 3))]
    for stride in strides:
        width = rng.choice((4, 8, 12) if turns == 4 else (5, 8, 12))
        layers = []
        for index in range(rng.randint(1, 3)):
            first = index == 0
            legal = [
                name
                for name, op in OPERATORS.items()
                if op.legal(inputs, width, stride if first else 1)
            ]
            layers.append(tuple(rng.sample(sorted(legal), rng.randint(1, 3))))
            inputs = width
        stages.append(Stage(width, stride, tuple(layers)))
    kind = KINDS[seed % 3]
    widths = tuple(
        rng.choice((4, 8) if turns == 4 else (3, 6))
        for _ in range(rng.randint(kind == "locator", 2))
    )
    mask = kind == "heatmap" and rng.random() < 0.5
    sic, bins = rng.random() < 0.5, rng.choice((1, 2))
    head = Head(kind, widths, rng.randint(1, 5), sic, bins, mask)
    size = (32 * rng.randint(1, 2), 32 * rng.randint(1, 2))
    stem_width = rng.choice((4, 8) if turns == 4 else (3, 8))
    if kind != "locator" and rng.random() < 0.3:
        head = replace(head, neck="spp")
    return Architecture(size, stem_width, stem_out, tuple(stages), head, turns)


def counted(architecture: Architecture) -> tuple[float, int]:
    """MACs by PyTorch's own counter, and parameters of the built network."""
    network = build(architecture, seed=0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, *architecture.input_size))
    return counter.get_total_flops() / 2, sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("block", range(10))
def test_the_cost_of_random_architectures_is_what_pytorch_counts(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        architecture = random_architecture(seed)
        price = cost(architecture)
        assert (price.macs, price.params) == counted(architecture), architecture.to_json()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_cost_of_every_preset_is_what_pytorch_counts(name: str) -> None:
    price = cost(preset(name, 11))
    assert (price.macs, price.params) == counted(preset(name, 11))


@pytest.mark.parametrize(
    ("name", "outputs", "lowest", "highest"),
    [
        ("demo", 16, 10e6, 27e6),
        ("small", 16, 36e6, 42e6),
        ("small_any_roll", 16, 36e6, 42e6),
        ("locator", 1, 8e6, 18e6),
    ],
)
def test_presets_stay_within_their_budgets(
    name: str, outputs: int, lowest: float, highest: float
) -> None:
    assert lowest <= cost(preset(name, outputs)).macs <= highest


@pytest.mark.parametrize("turns", [1, 4])
@pytest.mark.parametrize("name", sorted(OPERATORS))
@pytest.mark.parametrize("place", [(8, 8, 1), (8, 12, 1), (8, 8, 2), (4, 12, 2)])
def test_every_operator_keeps_shapes_and_its_price(
    name: str, place: tuple[int, int, int], turns: int
) -> None:
    inputs, outputs, stride = place
    operator, make = OPERATORS[name], kit(turns)
    if not operator.legal(*place):
        return
    module = operator.build(make, *place).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = module(torch.rand(2, inputs, 10, 14))
    assert y.shape == (2, outputs, 10 // stride, 14 // stride)
    price = operator.price(make, inputs, outputs, stride, (10, 14))
    assert counter.get_total_flops() == 2 * 2 * price.macs
    assert sum(p.numel() for p in module.parameters()) == price.params


@pytest.mark.parametrize("turns", [1, 4])
@pytest.mark.parametrize("name", sorted(set(OPERATORS) - {"coord_attn"}))
def test_residual_operators_start_as_the_identity(name: str, turns: int) -> None:
    module = OPERATORS[name].build(kit(turns), 8, 8, 1).eval()
    x = torch.rand(1, 8, 6, 6)
    with torch.no_grad():
        assert torch.equal(module(x), x)


def test_attention_keeps_position() -> None:
    torch.manual_seed(0)
    attention = OPERATORS["coord_attn"].build(kit(1), 16, 16, 1).eval()
    x = torch.zeros(1, 16, 8, 8)
    x[:, :, 2, 5] = 1.0
    x[:, :, 6, 1] = 3.0
    with torch.no_grad():
        ratio = attention(x) / x.clamp_min(1e-9)
    assert not torch.allclose(ratio[0, :, 2, 5], ratio[0, :, 6, 1], atol=1e-4)


def test_a_layer_is_the_mean_of_its_operators() -> None:
    torch.manual_seed(0)
    names = ("sep_k3", "mb_k5_e3", "ghost_k3")
    layer = Layer(operator(name).build(kit(1), 8, 12, 2) for name in names).eval()
    x = torch.rand(1, 8, 8, 8)
    with torch.no_grad():
        expected = sum(op(x) for op in layer.operators) / 3
        assert torch.allclose(layer(x), expected, atol=1e-6)


def test_skip_alone_changes_nothing() -> None:
    x = torch.rand(1, 8, 4, 4)
    layer = Layer([operator("skip").build(kit(1), 8, 8, 1)])
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_have_the_shapes_that_the_architecture_promises(kind: str) -> None:
    stages = (Stage(8, 2, (("sep_k3",),)), Stage(12, 2, (("sep_k3",),)))
    size = (64, 96)
    architecture = Architecture(size, 4, 4, stages, Head(kind, (8,), 5))  # type: ignore[arg-type]
    outputs = build(architecture, seed=0).eval()(torch.zeros(2, 3, *size))
    height, width = architecture.map_size
    if kind == "heatmap":
        assert outputs.shape == (2, 5, height, width)
    elif kind == "simcc":
        assert [tuple(o.shape) for o in outputs] == [(2, 5, width), (2, 5, height)]
    else:
        assert [tuple(o.shape) for o in outputs] == [(2, 5, height, width), (2, 4, height, width)]
        assert (outputs[1] > 0).all()


def test_equal_seeds_give_equal_weights_and_leave_the_global_stream_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b = build(preset("demo", 4), seed=3), build(preset("demo", 4), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    c = build(preset("demo", 4), seed=4)
    assert not torch.equal(next(a.parameters()), next(c.parameters()))


def test_illegal_and_unknown_operators_are_refused_with_their_place() -> None:
    head = Head("heatmap", (8,), 3)
    skip = Architecture((32, 32), 4, 8, (Stage(8, 2, (("skip",),)),), head)
    with pytest.raises(ArchitectureError, match="skip cannot stand in stage 0"):
        build(skip)
    unknown = Architecture((32, 32), 4, 8, (Stage(8, 2, (("warp",),)),), head)
    with pytest.raises(ArchitectureError, match="unknown operator 'warp'"):
        cost(unknown)
    with pytest.raises(ArchitectureError, match="unknown preset"):
        preset("gigantic", 3)


def test_batch_norms_are_all_trainable() -> None:
    network = build(preset("small", 16), seed=0)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(norm.affine for norm in norms)
