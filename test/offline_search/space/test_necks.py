# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from offline_search.space import Architecture, ArchitectureError, Head
from offline_search.space.necks import build_neck
from offline_search.space.network import build
from offline_search.space.operators import last_norm
from offline_search.space.presets import preset
from offline_search.space.remap import remap
from offline_search.space.search_space import Point, load_space
from offline_search.space.supernet import Supernet

BARE = replace(preset("demo", 4), input_size=(64, 64))


def necked(architecture: Architecture = BARE, **changes: Any) -> Architecture:
    return replace(architecture, head=replace(architecture.head, neck="spp", **changes))


def test_a_trained_network_that_gets_a_neck_begins_as_it_was() -> None:
    seed, images = build(BARE, seed=0).eval(), 255 * torch.rand(2, 3, 64, 64)
    grown = build(necked(), seed=1)
    grown.load_state_dict(remap(seed, grown))
    assert torch.equal(grown.eval()(images), seed(images))


def test_the_pyramid_adds_what_the_maxima_of_growing_windows_say() -> None:
    torch.manual_seed(0)
    neck = build_neck(6, necked()).eval()
    norm = last_norm(neck)
    assert norm is not None
    torch.nn.init.ones_(norm.weight)
    x = torch.randn(1, 6, 16, 16)
    with torch.no_grad():
        into, pyramid, out = neck.body
        narrow = into(x)
        windows = [F.max_pool2d(narrow, side, 1, side // 2) for side in (1, 5, 9, 13)]
        stacked = torch.cat(windows, 1)
        weights = torch.cat([level.weight for level in pyramid.levels], 1)
        expected = x + out(F.conv2d(stacked, weights))
        assert torch.allclose(neck(x), expected, atol=1e-5)


def test_networks_of_one_neck_share_its_weights_and_those_without_have_none() -> None:
    space = replace(load_space("tiny"), necks=("none", "spp"))
    supernet = Supernet(space, 4, seed=0)
    opened = tuple(slot.candidates[:1] for slot in space.slots)
    images = 255 * torch.rand(2, 3, 64, 64)
    genes = (0,) * (len(space.genes) - 1)
    for neck, shown in ((0, False), (1, True)):
        network = space.architecture(Point((*genes, neck), opened), 4)
        inherited = supernet.inherit(network).train()
        assert any("neck" in name for name, _ in inherited.named_parameters()) == shown
        assert torch.allclose(supernet.run(network, images), inherited(images), atol=1e-5)
        assert space.point(network).choices[-1] == neck


def test_an_architecture_without_a_neck_is_written_as_before_there_were_any() -> None:
    assert "neck" not in BARE.to_json()["head"]
    written = necked().to_json()
    assert written["head"]["neck"] == "spp"
    assert Architecture.from_json(written) == necked()
    assert necked().digest != BARE.digest


def test_a_neck_that_is_none_of_ours_and_one_of_a_locator_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="unknown neck 'giraffe'"):
        Head("heatmap", (8,), 4, neck="giraffe")  # type: ignore[arg-type]
    with pytest.raises(ArchitectureError, match="locator"):
        Head("locator", (8,), 4, neck="spp")
