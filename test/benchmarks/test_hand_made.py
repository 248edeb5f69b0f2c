# SPDX-License-Identifier: Apache-2.0
"""The rivals of searched networks."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from benchmarks.search import HAND_MADE
from offline_search.space.architecture import Head
from offline_search.space.cost import cost
from offline_search.space.network import build

if find_spec("timm") is None:
    pytest.skip("timm is not installed (make bench-search)", allow_module_level=True)

from benchmarks.hand_made import BACKBONES, HandMade, HandMadeError, fitted, hand_made

KEYPOINTS = 16
HEAD = Head("heatmap", (32, 24), KEYPOINTS, mask=True)
NARROW = HandMade("resnet18", 0.1, (96, 96), HEAD)


def test_the_benchmark_knows_each_of_them() -> None:
    assert tuple(BACKBONES) == HAND_MADE


@pytest.mark.parametrize("backbone", HAND_MADE)
def test_each_uses_its_budget_up_and_nothing_for_features_that_no_one_reads(backbone: str) -> None:
    rival = hand_made(backbone, 10_000_000, KEYPOINTS)
    assert 9_500_000 <= cost(rival).macs <= 10_000_000
    network = build(rival, seed=0)
    assert sum(p.numel() for p in network.parameters()) == cost(rival).params
    maps = network(torch.rand(2, 3, *rival.input_size) * 255)
    assert maps.shape == (2, KEYPOINTS + 1, *rival.map_size) == (2, 17, 24, 24)
    assert network.backbone(torch.zeros(2, 3, 96, 96))[-1].shape[2:] == (6, 6)
    maps.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_wider_one_costs_more_and_a_larger_budget_has_a_larger_input() -> None:
    assert cost(NARROW).macs < cost(HandMade("resnet18", 0.2, (96, 96), HEAD)).macs
    rival = hand_made("resnet18", 30_000_000, KEYPOINTS)
    assert (rival.input_size, rival.map_size, rival.output_stride) == ((128, 128), (32, 32), 4.0)


def test_a_seed_decides_the_weights_and_nothing_else() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (build(NARROW, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_digest_tells_networks_apart() -> None:
    wider = HandMade("resnet18", 0.2, (96, 96), HEAD)
    assert NARROW.digest == HandMade("resnet18", 0.1, (96, 96), HEAD).digest != wider.digest


def test_what_cannot_be_had_is_said() -> None:
    with pytest.raises(HandMadeError, match="no hand-made backbone 'vgg'; there are"):
        HandMade("vgg", 1.0, (96, 96), HEAD)
    with pytest.raises(HandMadeError, match="multiples of 16"):
        HandMade("lcnet", 1.0, (100, 100), HEAD)
    with pytest.raises(HandMadeError, match="heatmap head is needed, not simcc"):
        HandMade("lcnet", 1.0, (96, 96), Head("simcc", (32,), KEYPOINTS))
    with pytest.raises(HandMadeError, match=r"costs at least .* more than 1\.0"):
        fitted("efficientnet_lite0", 1_000_000, (96, 96), HEAD)
