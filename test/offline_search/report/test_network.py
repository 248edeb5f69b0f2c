# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from offline_search.report.network import draw, parts
from offline_search.space.architecture import Architecture, Head, Stage
from offline_search.space.presets import PRESETS, preset


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_drawn_with_all_its_layers(name: str) -> None:
    architecture = preset(name, 7)
    drawn = parts(architecture.to_json())
    assert [len(part.strips) for part in drawn[1:-1]] == [
        len(stage.layers) for stage in architecture.stages
    ]
    root = ET.fromstring(draw(architecture.to_json()))
    assert len(list(root.iter("rect"))) == sum(len(part.strips) for part in drawn)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_drawn_output_size_is_the_networks_own(name: str) -> None:
    architecture = preset(name, 7)
    assert parts(architecture.to_json())[-1].size == architecture.map_size


def test_several_operators_of_a_layer_are_named_together() -> None:
    stage = Stage(16, 2, (("mb_k3_e3", "sep_k3"),))
    architecture = Architecture((64, 64), 8, 8, (stage,), Head("simcc", (16,), 4))
    drawn = parts(architecture.to_json())
    assert drawn[1].strips == ("mb_k3_e3 + sep_k3",)
    assert drawn[-1].size == architecture.map_size
    assert "mb_k3_e3 + sep_k3" in draw(architecture.to_json())


def test_a_mask_is_one_more_channel_of_the_head() -> None:
    stage = Stage(16, 2, (("sep_k3",),))
    plain = Architecture((64, 64), 8, 8, (stage,), Head("heatmap", (16,), 4))
    masked = Architecture((64, 64), 8, 8, (stage,), Head("heatmap", (16,), 4, mask=True))
    assert parts(plain.to_json())[-1].channels == plain.head.maps
    assert parts(masked.to_json())[-1].channels == masked.head.maps
    assert "mask" in parts(masked.to_json())[-1].title
