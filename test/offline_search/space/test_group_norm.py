# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from offline_search.space.architecture import Architecture, ArchitectureError, Head, Stage
from offline_search.space.cost import cost
from offline_search.space.group_norm import GroupNormed, channels_of_a_group
from offline_search.space.network import Network, build

STAGES = (
    Stage(16, 2, (("mb_k3_e3",), ("sep_k3", "coord_attn"))),
    Stage(20, 2, (("ghost_k3",), ("conv_k3", "skip"))),
)
PLAIN = Architecture((32, 32), 8, 12, STAGES, Head("heatmap", (12,), 5, mask=True))


@pytest.fixture
def network() -> Network:
    return build(GroupNormed.of(PLAIN), seed=0)


def standardised(network: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in network.named_modules()
        if parametrize.is_parametrized(module, "weight")
    }


def test_no_batch_norm_is_left_nor_any_running_statistic(network: Network) -> None:
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert any(isinstance(module, nn.GroupNorm) for module in network.modules())
    assert list(network.buffers()) == []


def test_weights_of_each_output_channel_have_mean_0_and_deviation_1(network: Network) -> None:
    found = standardised(network)
    kinds = {type(module).__mro__[1] for module in found.values()}
    assert kinds == {nn.Conv2d, nn.ConvTranspose2d}
    for module in found.values():
        assert isinstance(module.weight, torch.Tensor)
        rows = module.weight.detach()
        rows = rows.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else rows
        rows = rows.flatten(1)
        torch.testing.assert_close(rows.mean(1), torch.zeros(len(rows)), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            rows.std(1, correction=0), torch.ones(len(rows)), atol=2e-2, rtol=0
        )


def test_depthwise_kernels_and_the_last_layer_stay_as_they_are(network: Network) -> None:
    left = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and name not in standardised(network)
    ]
    assert {module.groups > 1 or module.bias is not None for module in left} == {True}
    assert any(module.groups == 1 for module in left)


def test_gradients_reach_every_weight(network: Network) -> None:
    # Scales that start at zero keep gradients from what is in front of them, at first.
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.ones_(module.weight)
    output = network(torch.rand(2, 3, 32, 32) * 255)
    output.pow(2).mean().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_a_sample_is_computed_alike_whatever_else_is_in_its_batch(network: Network) -> None:
    images = torch.rand(3, 3, 32, 32) * 255
    torch.testing.assert_close(network(images)[:1], network(images[:1]), atol=1e-4, rtol=1e-4)


def test_it_has_the_parameters_of_the_ordinary_network_and_starts_from_its_scales() -> None:
    ours, plain = build(GroupNormed.of(PLAIN), seed=3), build(PLAIN, seed=3)
    assert cost(GroupNormed.of(PLAIN)) == cost(PLAIN)
    assert sum(p.numel() for p in ours.parameters()) == cost(PLAIN).params
    scales = [m.weight for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
    groups = [m.weight for m in ours.modules() if isinstance(m, nn.GroupNorm)]
    assert any(not bool(scale.any()) for scale in scales)
    for scale, group in zip(scales, groups, strict=True):
        assert torch.equal(scale, group)


def test_a_copy_computes_the_same_and_shares_no_weights(network: Network) -> None:
    twin = copy.deepcopy(network)
    image = torch.rand(1, 3, 32, 32) * 255
    before = network(image)
    assert torch.equal(before, twin(image))
    with torch.no_grad():
        for weight in twin.parameters():
            weight.add_(torch.randn_like(weight))
    assert torch.equal(before, network(image))
    assert not torch.equal(before, twin(image))


@pytest.mark.parametrize(
    ("width", "channels"), [(8, 8), (16, 16), (24, 12), (40, 10), (96, 16), (17, 17), (1, 1)]
)
def test_groups_are_as_large_as_they_can_be_up_to_16(width: int, channels: int) -> None:
    assert channels_of_a_group(width) == channels


def test_networks_of_turns_are_refused() -> None:
    stages = tuple(replace(stage, layers=(("conv_k3",),)) for stage in STAGES)
    turning = replace(PLAIN, stages=stages, turns=4)
    with pytest.raises(ArchitectureError, match="4 turns"):
        GroupNormed.of(turning)
