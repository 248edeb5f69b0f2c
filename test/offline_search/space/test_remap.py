# SPDX-License-Identifier: Apache-2.0
"""What a network takes over from its seed, number by number."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from offline_search.space import Architecture, ArchitectureError, Head, Stage
from offline_search.space.network import Network, build
from offline_search.space.remap import remap, remap_weight
from offline_search.space.search_space import SearchSpace, StageSpace
from offline_search.space.supernet import Supernet

HEAD = Head("heatmap", (8, 6), 5, mask=True)
SEED = Architecture(
    (32, 32),
    6,
    4,
    (
        Stage(8, 2, (("mb_k3_e3",), ("mb_k5_e3", "sep_k3"), ("skip",))),
        Stage(12, 2, (("mb_k3_e6",), ("coord_attn", "ghost_k3"))),
    ),
    HEAD,
)


def trained(architecture: Architecture, seed: int = 0) -> Network:
    """As after a training: nothing is zero or one any more, statistics are measured."""
    network = build(architecture, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor += 0.2 + 0.2 * torch.rand(tensor.shape, generator=rng)
            else:
                tensor += 7
    return network.eval()


def started(target: Architecture, seed: Network, fresh: int = 1) -> Network:
    network = build(target, seed=fresh)
    network.load_state_dict(remap(seed, network))
    return network.eval()


def with_layers(*stages: tuple[tuple[str, ...], ...]) -> Architecture:
    parts = zip(SEED.stages, stages, strict=True)
    return replace(SEED, stages=tuple(replace(stage, layers=layers) for stage, layers in parts))


@pytest.mark.parametrize("kind", ["heatmap", "simcc", "locator"])
def test_a_network_from_itself_is_itself_bit_by_bit(kind: str) -> None:
    head = replace(HEAD, kind=kind, mask=False)
    for turns, architecture in ((1, replace(SEED, head=head)), (4, oriented())):
        seed = trained(architecture)
        assert seed.architecture.turns == turns
        before = {name: value.clone() for name, value in seed.state_dict().items()}
        after = started(architecture, seed).state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())
        assert all(torch.equal(seed.state_dict()[name], value) for name, value in before.items())


def oriented() -> Architecture:
    stages = (Stage(8, 2, (("mb_k3_e3",), ("conv_k3",))),)
    return Architecture((32, 32), 8, 4, stages, Head("heatmap", (8,), 3), turns=4)


def test_a_wider_network_of_larger_kernels_begins_with_its_seeds_outputs() -> None:
    seed = trained(
        replace(SEED, stages=(SEED.stages[0], Stage(12, 2, (("mb_k3_e3",), ("sep_k3",)))))
    )
    wide = replace(
        seed.architecture,
        stem_width=9,
        stem_out=7,
        stages=(
            Stage(11, 2, (("mb_k7_e6",), ("mb_k7_e6", "dw_k11"), ("skip",))),
            Stage(15, 2, (("mb_k5_e6",), ("sep_k5",))),
        ),
        head=replace(HEAD, width=(10, 9)),
    )
    x = 255 * torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = seed(x)
        assert torch.allclose(started(wide, seed)(x), expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(build(wide, seed=1).eval()(x), expected, rtol=0.1, atol=0.1)


def test_what_is_new_in_a_wider_network_can_learn() -> None:
    seed = trained(with_layers((("mb_k3_e3",),), (("mb_k3_e3",),)))
    network = started(with_layers((("mb_k3_e6",),), (("mb_k3_e6",),)), seed).train()
    x = 255 * torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    network(x).square().mean().backward()
    project = weight(network, 0, 0, 2)
    assert project.grad is not None
    assert (project[:, 12:] == 0).all()  # the new channels are not read yet,
    assert (project.grad[:, 12:] != 0).any()  # but will be


def test_widths_are_first_channels_and_kernels_the_middle() -> None:
    seed = torch.arange(2 * 3 * 5 * 5).reshape(2, 3, 5, 5).float()
    smaller = remap_weight(seed, torch.full((1, 2, 3, 3), 9.0))
    assert torch.equal(smaller, seed[:1, :2, 1:4, 1:4])
    fresh = torch.full((3, 4, 7, 7), 9.0)
    larger = remap_weight(seed, fresh)
    assert torch.equal(larger[:2, :3, 1:6, 1:6], seed)
    assert larger[:2].sum() == seed.sum()  # zeros around it, and nothing from new channels
    assert (larger[2] == 9).all()  # a new channel is as it was
    turned = remap_weight(seed.transpose(0, 1), fresh.transpose(0, 1), outputs=1)
    assert torch.equal(turned, larger.transpose(0, 1))
    assert (fresh == 9).all()


def test_a_deeper_stage_repeats_the_seeds_last_layer() -> None:
    seed = trained(with_layers((("mb_k3_e3",), ("mb_k5_e3",)), (("mb_k3_e6",),)))
    deep = with_layers((("mb_k3_e3",), *3 * (("mb_k5_e3",),)), (("mb_k3_e6",), ("mb_k3_e6",)))
    network = started(deep, seed)
    layers = network.layers
    for layer in (1, 2, 3):
        assert same(layers[layer], seed.layers[1])
    assert same(layers[4], seed.layers[2])
    # Also where the seed's last layer took another width in: of its kernels then the first ones.
    expand, of_seed = weight(network, 5, 0, 0), weight(seed, 2, 0, 0)
    assert torch.equal(expand[:48, :8], of_seed)
    assert (expand[:48, 8:] == 0).all()


def test_skipped_and_missing_makes_take_from_the_nearest_layer_before() -> None:
    seed = trained(with_layers((("mb_k3_e3", "sep_k3"), ("skip",)), (("mb_k3_e3",),)))
    other = with_layers((("ghost_k3",), ("sep_k3", "conv_k3")), (("mb_k3_e3",),))
    fresh, network = build(other, seed=1), started(other, seed)
    assert same(network.layers[0], fresh.layers[0])
    assert torch.equal(weight(network, 1, 0, 0)[:4], weight(seed, 0, 1, 0))
    assert same(operator(network, 1, 1), operator(fresh, 1, 1))


def test_of_several_alike_the_same_operator_counts_and_else_the_largest() -> None:
    seed = trained(with_layers((("mb_k3_e3", "mb_k7_e3"),), (("mb_k3_e3",),)))
    for name, index in (("mb_k3_e3", 0), ("mb_k7_e3", 1), ("mb_k7_e6", 1)):
        network = started(with_layers(((name,),), (("mb_k3_e3",),)), seed)
        found = weight(network, 0, 0, 1)
        assert torch.equal(found[:12], weight(seed, 0, index, 1))


def test_what_has_no_counterpart_stays_fresh() -> None:
    seed = trained(SEED)
    longer = replace(SEED, stages=(*SEED.stages, Stage(12, 1, (("mb_k3_e3",),))))
    assert same(started(longer, seed).layers[5], build(longer, seed=1).layers[5])
    for head in (Head("simcc", (8,), 5), replace(HEAD, outputs=7), replace(HEAD, mask=False)):
        other = replace(SEED, head=head)
        network, fresh = started(other, seed), build(other, seed=1)
        assert same(network.layers, seed.layers)
        assert same(network.head.maps, fresh.head.maps)
        assert same(network.head, fresh.head) == (head.kind == "simcc")
    with pytest.raises(ArchitectureError, match="turns 1, this one 4"):
        remap(seed, build(oriented()))


def test_a_supernet_that_starts_from_a_network_runs_that_network() -> None:
    operators = {name for names in SEED.layers for name in names}
    space = SearchSpace(
        name="mini",
        input_sizes=(32, 48),
        stems=((6, 4), (8, 8)),
        stages=(StageSpace(2, 3, (8, 12)), StageSpace(2, 2, (12, 20))),
        operators=(*sorted(operators), "mb_k7_e6", "dw_k11"),
        heads=(Head("simcc", (12,), 1), replace(HEAD, outputs=1)),
    )
    supernet = Supernet(space, HEAD.outputs, seed=1)
    seed = trained(SEED)
    supernet.start_from(seed)
    expected = dict(seed.named_parameters())
    for name, parameter in supernet.inherit(SEED).named_parameters():
        assert torch.equal(parameter, expected[name]), name


def operator(network: Network, layer: int, index: int) -> nn.Module:
    return network.get_submodule(f"layers.{layer}.operators.{index}")


def weight(network: Network, layer: int, index: int, part: int) -> Tensor:
    """Of a convolution of an operator: 0 expands, 1 is depthwise, 2 projects."""
    return operator(network, layer, index).get_parameter(f"body.{part}.0.weight")


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(equal(first[n], second[n]) for n in first)


def equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)
